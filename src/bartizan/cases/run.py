"""Asks cases of a scratch instance, and compares what it says with what is expected. Decides nothing itself."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bartizan.cases.case import Case
from bartizan.cases.check import Trial
from bartizan.model.covering import Covering
from bartizan.scratch import Scratch
from bartizan.telemetry.decision import Decision, decision_of

_AT_ONCE = 32
"""More wait for their turn here, where no clock runs for them."""
_SAID = {"allowed": "allow", "denied": "refuse"}
_DONE = {"allow": "let through", "refuse": "refused"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case."""

    trial: Trial
    record: Mapping[str, Any]
    covering: tuple[Covering, ...]
    decision: Decision
    mismatches: tuple[str, ...]
    """What isn't as expected, in sentences. None: the case passes."""

    @property
    def passed(self) -> bool:
        """Whether all is as expected."""
        return not self.mismatches


async def outcomes(scratch: Scratch, trials: Iterable[Trial]) -> list[Outcome]:
    """Asks all, many at once. The outcomes are in the order of the trials. Unavailable if Envoy has ended."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(trial: Trial) -> Outcome:
        async with turns:
            record = await scratch.record(trial.question)
        covering = scratch.covering(record)
        decision = decision_of(record, covering)
        return Outcome(trial, record, covering, decision, tuple(mismatches(trial.found.case, record, decision)))

    return list(await asyncio.gather(*map(one, trials)))


def expected(case: Case) -> str:
    """What a case expects, in words."""
    by = f" by {case.by}" if case.by else ""
    status = f" with {case.status}" if case.status else ""
    return "; ".join([_DONE[case.expect] + by + status, *(f"{policy} in shadow says {said}" for policy, said in case.shadow.items())])


def mismatches(case: Case, record: Mapping[str, Any], decision: Decision) -> Iterator[str]:
    """What isn't as the case expects, in sentences."""
    happened = "refuse" if decision.refused else "allow"
    if happened != case.expect:
        yield f"it was {_DONE[happened]}" + (f" by {decision.by}: {decision.why}" if decision.refused else "")
    elif decision.refused:
        yield from _refusal(case, record, decision)
    yield from _shadows(case, decision)


def _refusal(case: Case, record: Mapping[str, Any], decision: Decision) -> Iterator[str]:
    if case.by is None and record["api"] is None:
        # A path with a slip in it is refused too. That shows nothing about any policy.
        yield f"it came to no API: {decision.by}: {decision.why}; write `by: {decision.by}` if that is what you expect"
    if case.by is not None and decision.by != case.by:
        yield f"it was refused by {decision.by}: {decision.why}"
    if case.status is not None and record["status"] != case.status:
        yield f"it was refused with {record['status']}"


def _shadows(case: Case, decision: Decision) -> Iterator[str]:
    said: Mapping[str, str] = {one.policy: one.said for one in decision.verdicts if one.shadow}
    for policy, wanted in case.shadow.items():
        if policy not in said:
            yield f"{policy} doesn't cover the request"
        elif said[policy] not in _SAID:
            yield f"{policy} gave no verdict: {said[policy]}"
        elif _SAID[said[policy]] != wanted:
            yield f"{policy} in shadow says {_SAID[said[policy]]}"
