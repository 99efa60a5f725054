"""What each stage of a rollout looks at before the next one begins: tests, recorded requests, live requests beside the active revision."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

from bartizan.cases import Judge, Kept, case_files, kept, outcomes, trials
from bartizan.compile import Compiled
from bartizan.model.releases import Replay as ReplayStage
from bartizan.model.releases import Shadow, Stage
from bartizan.replay import Candidate, Records, Replay, Tally, Window
from bartizan.replay.asking import NOBODY, SOMEONE, WRONG
from bartizan.replay.judging import Change
from bartizan.replay.then import Then
from bartizan.scratch import Scratch
from bartizan.telemetry.places import REQUESTS
from bartizan.telemetry.tail import followed_everywhere

_log = logging.getLogger("bartizan")
_NAMED = 10
_MOST_TOLD = 100
Figures: TypeAlias = Mapping[str, float | int | str]


@dataclass(frozen=True, slots=True)
class Found:
    """What a stage has found. `why` says what is wrong; empty if nothing is."""

    figures: Figures = field(default_factory=dict)
    why: str = ""
    undecided: bool = False
    """It can't be told whether something is wrong: a person says how to go on."""


Report = Callable[[Figures], Awaitable[None]]
"""Told how far a stage is."""


@dataclass(frozen=True, slots=True)
class Checks:
    """The stages that decide nothing yet. `files`: where test files are; `folder`: where the records are."""

    files: Path
    folder: Path

    async def run(self, stage: Stage, candidate: Compiled, active: Compiled, report: Report) -> Found:
        """Runs a stage to its end; that of tests is `tests`."""
        if stage.replay is not None:
            return await self._replay(stage.replay, candidate, active)
        if stage.shadow is not None:
            return await self._shadow(stage.shadow, candidate, active, report)
        raise ValueError(stage.name)

    def has_tests(self) -> bool:
        """Whether there are test files."""
        return bool(case_files(self.files).paths)

    async def tests(self, candidate: Compiled) -> Found:
        """The policy tests and invariants beside the policies, asked of the candidate."""
        reading = case_files(self.files).read()
        asked, wrong = trials(reading.found, candidate)
        judge = await asyncio.to_thread(Judge, candidate)
        if problems := (*reading.problems, *wrong, *judge.problems(reading.invariants)):
            return Found({"problems": len(problems)}, f"the tests can't be run: {problems[0]}")
        async with Scratch(candidate.snapshot) as scratch:
            found = await outcomes(scratch, asked)
            held = await kept(scratch, judge, reading.invariants)
        failing = [f"{one.trial.found.case.name!r}: {one.mismatches[0]}" for one in found if not one.passed]
        failing += [f"the invariant {one.found.name!r}{_shown(one)}" for one in held if not one.passed]
        every = len(found) + len(held)
        figures = {"cases": len(found), "invariants": len(held), "failed": len(failing)}
        return Found(figures, f"{len(failing)} of {every} tests fail, such as {failing[0]}" if failing else "")

    async def _replay(self, stage: ReplayStage, candidate: Compiled, active: Compiled) -> Found:
        window = Window(datetime.now(UTC) - stage.last)
        with Records.folder(self.folder / "records", window, stage.most) as records:
            async with Candidate(candidate, Then(active)) as asked:
                tally = await Replay(asked).run(records.read())
        return _judged(tally, stage.refused, stage.allowed)

    async def _shadow(self, stage: Shadow, candidate: Compiled, active: Compiled, report: Report) -> Found:
        """Every request that the record tells of is judged by the candidate too, in an instance of its own: no answer waits for it."""
        ends = time.monotonic() + stage.lasts / timedelta(seconds=1)
        chance = random.Random()  # noqa: S311 - a sample, not a secret
        async with Candidate(candidate, Then(active)) as asked:
            replay = Replay(asked)
            following = followed_everywhere(self.folder / "records", REQUESTS)
            told = 0
            while time.monotonic() < ends and not (stage.requests and replay.tally.judged >= stage.requests):
                batch = await _next(following, ends)
                await replay.run(one for one in batch if stage.sample >= 1 or chance.random() < stage.sample)
                found = _judged(replay.tally, stage.refused, stage.allowed)
                told = _told(replay.tally, candidate.snapshot.revision, told)
                if found.why:
                    return found
                await report(found.figures)
        return _judged(replay.tally, stage.refused, stage.allowed)


def _shown(broken: Kept) -> str:
    """The request that breaks it."""
    found = broken.counterexample
    if found is None:
        return ""
    return f": {found.suspect.person.name} {'gets' if found.confirmed else 'may get'} {found.question.method} {found.question.path}"


async def _next(following: AsyncIterator[list[dict[str, Any]]], ends: float) -> list[dict[str, Any]]:
    """The next records; none if there are none until then."""
    try:
        async with asyncio.timeout(max(0.0, ends - time.monotonic())):
            return await anext(following)
    except TimeoutError:
        return []


def _judged(tally: Tally, refused: int, allowed: int) -> Found:
    figures: dict[str, float | int | str] = {
        "requests": tally.records,
        "judged": tally.judged,
        "newly_refused": tally.counts["newly refused"],
        "newly_allowed": tally.counts["newly allowed"],
        "untold": tally.counts["untold"],
        "covered": _covered(tally),
    }
    bounds: tuple[tuple[Change, int], ...] = (("newly refused", refused), ("newly allowed", allowed))
    for change, most in bounds:
        count = tally.counts[change]
        if count > most:
            return Found(figures, f"{count} of {tally.judged} requests are {change}{_example(tally, change)}; {most} may be")
    return Found(figures)


def _told(tally: Tally, revision: str, before: int) -> int:
    """Tells each new mismatch as it comes, up to a hundred. How many groups of requests there are now."""
    for group, seen in [*tally.groups.items()][before:_MOST_TOLD]:
        if group.change != "untold":
            where = group.where
            sample = f", request {seen.samples[0]}" if seen.samples else ""
            told = f"{where.method} {where.api}{where.route} by {where.who or 'nobody known'} ({group.policy}{sample})"
            _log.warning("shadow of revision %s: %s: %r", revision, group.change, told)  # quoted, because callers chose some of it
    return len(tally.groups)


def _covered(tally: Tally) -> str:
    """Whose requests were judged, as far as a line has room."""
    names = [name for name, _ in tally.callers.most_common() if name not in {"", NOBODY, SOMEONE, WRONG}]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return " ".join(sorted(names[:_NAMED])) + more or "nobody with a credential"


def _example(tally: Tally, change: Change) -> str:
    groups = [(seen.count, group, seen) for group, seen in tally.groups.items() if group.change == change]
    if not groups:
        return ""
    count, group, seen = max(groups, key=lambda one: one[0])
    sample = f", such as {seen.samples[0]}" if seen.samples else ""
    return f": {count} of them {group.where.method} {group.where.api}{group.where.route} by {group.where.who} ({group.policy}{sample})"
