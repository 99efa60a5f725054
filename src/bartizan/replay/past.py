"""One recorded request under kept revisions: what each says of it, with the consumers and issuers of now."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bartizan.compile import Compiled, compile
from bartizan.errors import BartizanError, Invalid, NotFound
from bartizan.model.snapshot import Snapshot
from bartizan.replay.bisect import every_change, last_change
from bartizan.replay.candidate import Candidate
from bartizan.replay.outcome import NoDecision, Recorded, outcome
from bartizan.replay.run import Replay
from bartizan.replay.then import Then
from bartizan.rollout.kept import snapshot_of
from bartizan.store import Commit, Content, Store
from bartizan.store.model import DEFAULT_TEAM


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a revision says of the request."""

    refused: bool | None
    """None: it can't be told."""
    policy: str = ""
    """The policy that refuses, or what does; of what can't be told, the policy that asks for what isn't known."""
    why: str = ""
    """Why it can't be told."""
    now: bool = False
    """Whether attributes of now were used, because nobody asked for them then."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A commit that changed the answer, or the first of several of which one did."""

    before: Commit
    after: Commit
    among: tuple[Commit, ...]
    """The commits of which one did it: `after`, and those before it that can't be told."""
    was: Ruling
    became: Ruling
    documents: tuple[str, ...]
    """What the commits say otherwise: `+ Authorize/plans`."""


@dataclass(slots=True)
class Past:
    """A record, and the commits that may be asked about it, the oldest first. `live`: consumers and issuers of now."""

    record: Mapping[str, Any]
    store: Store
    commits: tuple[Commit, ...]
    live: Snapshot
    envoy: Path | None = None
    rulings: dict[str, Ruling] = field(default_factory=dict)
    """By revision: the same revision may come back under a new number."""
    _then: Then | None = None

    def __post_init__(self) -> None:
        self._recorded()
        self._then = self._judge()

    def _recorded(self) -> Recorded:
        found = outcome(self.record)
        if isinstance(found, NoDecision):
            raise Invalid(f"No revision had a say in this request: {found.reason}.", code="no-decision")
        return found

    async def turns(self, *, every: bool) -> list[Turn]:
        """The latest change to the answer of now; or `every` change, the newest first."""

        async def ask(place: int) -> bool | None:
            return (await self.ruling(self.commits[place])).refused

        if every:
            found = await every_change(len(self.commits), ask)
        else:
            one = await last_change(len(self.commits), ask)
            found = [one] if one is not None else []
        return [self._turn(low, high) for low, high in found]

    async def ruling(self, commit: Commit) -> Ruling:
        """What this commit says. Unavailable if Envoy has ended."""
        if commit.revision not in self.rulings:
            try:
                made = self._compiled(commit)
            except Invalid as error:  # what the consumers of now don't fit can't be asked
                self.rulings[commit.revision] = Ruling(None, why=error.message)
            else:
                self.rulings[commit.revision] = await self._asked(made)
        return self.rulings[commit.revision]

    async def _asked(self, made: Compiled) -> Ruling:
        async with Candidate(made, self._then, envoy=self.envoy) as candidate:
            tally = await Replay(candidate).run([self.record])
        if tally.no_decision:
            return Ruling(None, why=next(iter(tally.no_decision)))
        now, recorded = bool(tally.now), self._recorded()
        for group in tally.groups:
            match group.change:
                case "untold":
                    return Ruling(None, group.policy, f"the record doesn't tell {', '.join(group.lacks)}")
                case "newly allowed":
                    return Ruling(False, now=now)
                case "newly refused" | "refused by another":
                    return Ruling(True, group.policy, now=now)
        return Ruling(recorded.refused, recorded.by if recorded.refused else "", now=now)

    def _compiled(self, commit: Commit) -> Compiled:
        made = compile(snapshot_of(self.store.revisions.content(commit), self.live))
        if made.problems:
            raise Invalid(f"Revision {commit.revision} doesn't compile: {made.problems[0]}")
        return made

    def _judge(self) -> Then | None:
        """The revision that judged it then: it tells which attributes were asked for. None if it isn't kept."""
        try:
            commit = self.store.revisions.find(
                str(self.record.get("revision") or ""), self.commits[0].team if self.commits else DEFAULT_TEAM
            )
            return Then(self._compiled(commit))
        except (NotFound, Invalid):
            return None

    def _turn(self, low: int, high: int) -> Turn:
        before, after = self.commits[low], self.commits[high]
        was, became = self.rulings[before.revision], self.rulings[after.revision]
        return Turn(before, after, self.commits[low + 1 : high + 1], was, became, tuple(self._documents(before, after)))

    def _documents(self, before: Commit, after: Commit) -> list[str]:
        try:
            old, new = (_said(self.store.revisions.content(one)) for one in (before, after))
        except BartizanError:
            return []
        names = sorted(old.keys() | new.keys())
        signs = ((name, "+" if name not in old else "-" if name not in new else "~") for name in names if old.get(name) != new.get(name))
        return [f"{sign} {name}" for name, sign in signs]


def _said(content: Content) -> dict[str, bytes]:
    named = {f"File/{name}": body for name, body in content.files.items()}
    return {**{f"{kind}/{name}": body for (kind, name), body in content.resources.items()}, **named}
