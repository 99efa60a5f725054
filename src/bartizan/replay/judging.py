"""The candidate's answer beside what was decided then. What the record can't bear is neither the same nor another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bartizan.replay.asking import Evidence
from bartizan.replay.outcome import Recorded

Change = Literal["same", "newly refused", "newly allowed", "refused by another", "untold"]


@dataclass(frozen=True, slots=True)
class Decider:
    """A policy of the candidate that decides on a route, and what it asks for."""

    policy: str
    needs: frozenset[str]

    def lacks(self, evidence: Evidence) -> tuple[str, ...]:
        """What it asks for that a record doesn't tell."""
        return tuple(sorted(need for need in self.needs if not evidence.tells(need)))


@dataclass(frozen=True, slots=True)
class Answered:
    """What the candidate says, and who has a say in it."""

    refused: bool
    by: str
    api: str
    route: str
    deciders: tuple[Decider, ...] = ()
    """In the order of the chain."""
    preflights: str = ""
    """The policy that answers preflights there; empty if none does."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a request."""

    change: Change
    policy: str = ""
    """The policy that makes the difference: the one that refuses now, or refused then; or the one that can't be told."""
    lacks: tuple[str, ...] = ()
    """What the record would have to tell."""


_SAME = Judged("same")


def judged(recorded: Recorded, evidence: Evidence, answered: Answered, method: str) -> Judged:
    """What became of a request of this method."""
    if method == "OPTIONS" and answered.preflights and recorded.by != "Cors":
        return Judged("untold", answered.preflights, ('request.headers["origin"]',))
    return _refused(recorded, evidence, answered) if answered.refused else _allowed(recorded, evidence, answered)


def _refused(recorded: Recorded, evidence: Evidence, answered: Answered) -> Judged:
    """All policies must let it through, so one that surely refuses is enough, whatever the others would say."""
    asked = _up_to(answered.by, answered.deciders)
    if asked and asked[-1].policy == answered.by and (lacks := asked[-1].lacks(evidence)):
        return Judged("untold", answered.by, lacks)
    if not recorded.refused:
        return Judged("newly refused", answered.by)
    # One before it that can't be told may have refused already: then who does can't be told, but that it is refused.
    if recorded.by == answered.by or any(one.lacks(evidence) for one in asked):
        return _SAME
    return Judged("refused by another", answered.by)


def _up_to(policy: str, deciders: Sequence[Decider]) -> Sequence[Decider]:
    """The deciders up to this one; all, if it is none of them."""
    for i, one in enumerate(deciders):
        if one.policy == policy:
            return deciders[: i + 1]
    return deciders


def _allowed(recorded: Recorded, evidence: Evidence, answered: Answered) -> Judged:
    for one in answered.deciders:
        if lacks := one.lacks(evidence):
            return Judged("untold", one.policy, lacks)
    if recorded.by == "upgrade-not-enabled":
        return Judged("untold", recorded.by, ('request.headers["upgrade"]',))
    return Judged("newly allowed", recorded.by) if recorded.refused else _SAME
