"""Runs rollouts: stage by stage, until they are everywhere or something is in the way; with guards that stop them by themselves."""

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pydantic import JsonValue

from bartizan.compile import Compiled
from bartizan.compile.riding import Riding, riding
from bartizan.compile.split import Callers
from bartizan.errors import BartizanError, Conflict, NotFound
from bartizan.model.releases import Canary as CanaryStage
from bartizan.model.releases import Releases
from bartizan.plane.canary import Canary
from bartizan.plane.checks import Checks, Figures, Found
from bartizan.plane.desk import Desk
from bartizan.plane.publishing import Publisher
from bartizan.rollout.asking import By
from bartizan.rollout.loosening import loosenings
from bartizan.rollout.stages import Asked, Rollout, asked, failed, noted, obstacle, passed
from bartizan.store import Event
from bartizan.telemetry.guard import Measure, Side
from bartizan.telemetry.places import REQUESTS
from bartizan.telemetry.tail import followed_everywhere

_log = logging.getLogger("bartizan")
_EVERY_S = 0.1
_TAKES_S = 15.0
_KEEP_BEFORE_S = 300.0
_BY = "rollout"
_PROMOTE = "`bartizan rollout promote` lets it go on, `abort` gives it up"
_BY_NODE = f"a canary by node would try it; {_PROMOTE}"


class Rollouts:
    """The rollouts of one desk, one at a time: a new one supersedes the one before."""

    def __init__(self, desk: Desk, publisher: Publisher, checks: Checks, canary: Canary) -> None:
        self._desk, self._publisher, self._checks, self._canary = desk, publisher, checks, canary
        self._stage: asyncio.Task[Found] | None = None
        self._of: tuple[int, int] = (0, 0)
        self._measure = Measure()
        self._measured = time.monotonic()
        self._deciding = asyncio.Lock()

    async def run(self) -> None:
        """Never returns."""
        try:
            while True:
                await self._turn()
                await asyncio.sleep(_EVERY_S)
        finally:
            await self._end_stage()

    async def watch(self) -> None:
        """Measures live traffic while the active revision has guards; without them no record is looked at. Never returns."""
        async for batch in followed_everywhere(self._checks.folder / "records", REQUESTS, self._guarded):
            now = self._desk.rollout
            under_way = now is not None and not now.ended
            if not under_way and time.monotonic() > self._measured + _KEEP_BEFORE_S:
                self._measured = time.monotonic()
                self._measure.before = Side(callers=self._measure.before.callers)
            if self._guarded():
                self._measure.count(batch, now.revision if now is not None and under_way else "")

    def _guarded(self) -> bool:
        return self._releases().guards is not None

    def _releases(self) -> Releases:
        """How changes are let out: the active revision says so, not the one that is on its way."""
        state = self._publisher.state
        return state.compiled.snapshot.gateway.releases if state is not None else Releases()

    async def ask(self, what: Asked, by: By) -> Rollout:
        """A person asks for something."""
        now = self._desk.rollout
        if now is None:
            raise NotFound("There was no rollout yet: the first revision is active at once.", code="rollout-missing")
        if what == "promote" and now.stage in {"canary", "everywhere"} and (why := self._in_the_way(now)) is not None:
            raise Conflict(f"Nobody can promote it past what it waits for: {why}.", code="rollout-waits")
        then = asked(now, what, by.author, time.time())
        if what != "approve":
            await self._end_stage()
        async with self._deciding:
            await self._desk.line.step(then)
            if then.status == "aborted":
                await self._take_back(now, By(by.author, f"aborted by {by.author}", by.origin))
        if what == "promote" and now.stage == "everywhere":
            self._desk.let_out()
        return then

    async def _make_good(self, now: Rollout) -> None:
        """It was given up and decides still: a crash, or a full disk, came before it was taken back."""
        async with self._deciding:
            if self._desk.rollout is now and self._desk.line.is_newest(now.number) and self._is_out(now):
                await self._take_back(now, By(_BY, f"taken back: {now.why}"))

    async def _ended(self, now: Rollout | None) -> None:
        """Nothing is under way, and nothing of it goes on."""
        if now is not None and now.status in {"failed", "aborted"}:
            await self._make_good(now)
        if self._canary.candidate is not None:
            await self._end_stage()
            self._end_canary()  # somebody has gone another way meanwhile

    async def _turn(self) -> None:
        now = self._desk.rollout
        if now is None or now.ended:
            await self._ended(now)
            return
        if self._publisher.state is None:
            return  # as long as nothing is active, nobody knows what is asked of a rollout
        if now.status == "paused":
            if now.out and self._canary.candidate is None:
                await self._come_back(now)
            return
        if now.number != self._of[0]:
            await self._begin(now)
        if now.stage in {"canary", "everywhere"} and (why := self._in_the_way(now)) is not None:
            if now.why != why:
                await self._desk.line.step(noted(now, time.time(), f"waits: {why}", "waiting", why))
        else:
            await self._go_on(now)

    async def _go_on(self, now: Rollout) -> None:
        """Nothing is in the way: begins its stage, or sees whether that has ended."""
        if now.status == "waiting":
            await self._desk.line.step(now := noted(now, time.time(), f"{now.stage} begins", "running"))
        if self._stage is None or self._of != (now.number, now.at):
            await self._end_stage()
            self._of = now.number, now.at
            self._stage = asyncio.create_task(self._run(now))
        if self._stage.done():
            await self._finish(now)

    async def _begin(self, now: Rollout) -> None:
        await self._end_stage()
        if self._canary.candidate is not None and self._canary.candidate.snapshot.revision != now.revision:
            self._end_canary()  # of the rollout before, which this one supersedes
        self._of = now.number, -1
        self._measure.after, self._measure.lost = Side(), set()

    def _in_the_way(self, now: Rollout) -> str | None:
        if self._is_out(now):
            return None
        releases = self._releases()
        return obstacle(now, releases, releases.closed(datetime.now(UTC)))

    def _is_out(self, now: Rollout) -> bool:
        state = self._publisher.state
        return state is not None and state.compiled.snapshot.revision == now.revision

    async def _run(self, now: Rollout) -> Found:
        """The stage that it is in."""
        if now.stage == "everywhere":
            return await self._everywhere(now)
        candidate, active = self._desk.candidate, self._desk.compiled
        if candidate is None or active is None:
            return Found(why="what was on its way out is gone")
        if now.stage == "test":
            return await self._checks.tests(candidate)
        stage = self._releases().stages[now.at - now.implied]
        if stage.canary is not None and stage.canary.by_caller:
            return await self._for_callers(stage.canary, candidate, active)
        if stage.canary is not None:
            return await self._on_nodes(stage.canary, candidate)
        return await self._checks.run(stage, candidate, active, self._report)

    async def _report(self, figures: Mapping[str, float | int | str]) -> None:
        if (now := self._desk.rollout) is not None:
            self._desk.line.rollout = now.found(figures)

    async def _on_nodes(self, stage: CanaryStage, candidate: Compiled) -> Found:
        """Has it decide on some nodes."""
        ends = time.monotonic() + _TAKES_S
        while not (chosen := self._canary.choose(stage.nodes or 1)):
            if time.monotonic() > ends:
                return Found(why="the nodes for a canary aren't connected, or there are no others beside them")
            await asyncio.sleep(_EVERY_S)
        self._canary.begin(candidate, chosen)
        return await self._on_canary(stage, {"nodes": ", ".join(sorted(chosen))})

    async def _come_back(self, now: Rollout) -> None:
        """After a restart a canary that is paused decides where it did: going back by itself might let through what it refuses."""
        stage = self._releases().stages[now.at - now.implied].canary
        candidate, active = self._desk.candidate, self._desk.compiled
        if stage is None or candidate is None or active is None:
            return
        if stage.by_caller:
            found = await asyncio.to_thread(riding, active, candidate)
            self._canary.begin_for(_callers(stage), candidate, active, found)
        elif chosen := self._canary.choose(tuple(str(now.figures[now.label]["nodes"]).split(", "))):
            self._canary.begin(candidate, chosen)
        self._desk.wake()

    async def _for_callers(self, stage: CanaryStage, candidate: Compiled, active: Compiled) -> Found:
        """Has it decide for some callers, as far as it can; if it can't at all, a person says how to go on."""
        if candidate.snapshot.revision == active.snapshot.revision:
            return Found()
        found = await asyncio.to_thread(riding, active, candidate)
        percent = stage.percent or 0.0
        share = int(percent) if percent.is_integer() else percent
        whom: Figures = {"consumers": ", ".join(stage.consumers)} if stage.consumers else {"percent": share}
        late: Figures = {"only_everywhere": ", ".join(found.apart)} if found.apart else {}
        if why := self._untriable(stage, found):
            return Found({**whom, **late}, why, undecided=True)
        self._canary.begin_for(_callers(stage), candidate, active, found)
        return await self._on_canary(stage, {**whom, **late})

    def _untriable(self, stage: CanaryStage, found: Riding) -> str:
        """Why nobody would be judged otherwise."""
        if not found.scopes:
            apart = f" ({', '.join(found.apart)})" if found.apart else ""
            return f"nothing of it can be tried on some callers{apart}: {_BY_NODE}"
        files = self._desk.files
        known = files.consumers if files is not None else {}
        if stage.consumers and not any("|" in name or name in known for name in stage.consumers):
            return f"none of the consumers for its canary is declared ({', '.join(stage.consumers)}): {_PROMOTE}"
        return ""

    async def _on_canary(self, stage: CanaryStage, whom: Figures) -> Found:
        """It decides there, and the guards watch it. It stays there until it is everywhere, or taken back."""
        ends = time.monotonic() + _TAKES_S
        await self._report(whom)
        self._desk.wake()
        while not self._canary.is_out():
            if (error := self._canary.error()) or time.monotonic() > ends:
                return Found(whom, f"the canary doesn't take it: {error or self._canary.late()}")
            await asyncio.sleep(0.01)
        now = self._desk.rollout
        if now is not None and (now.number, now.at) == self._of:
            told = ", ".join(f"{name} {value}" for name, value in whom.items())
            await self._desk.line.step(replace(noted(now, time.time(), f"{now.label} decides: {told}"), out=True))
        found = await self._watched(stage.lasts / timedelta(seconds=1), len(stage.consumers or ()))
        return Found({**whom, **found.figures}, found.why)

    async def _everywhere(self, now: Rollout) -> Found:
        """Lets it out, and has the guards watch it for a while."""
        self._publisher.standing.error = ""
        self._desk.let_out()
        while not self._is_out(now):
            if self._publisher.standing.error:
                return Found(why=f"an Envoy refuses it: {self._publisher.standing.error}")
            await asyncio.sleep(0.005)
        self._end_canary()
        guards = self._releases().guards
        return await self._watched(guards.lasts / timedelta(seconds=1)) if guards is not None else Found()

    async def _watched(self, seconds: float, callers: int = 0) -> Found:
        """What the guards say within this time. `callers`: so many are judged at all, if it is few."""
        guards = self._releases().guards
        if guards is not None and callers:
            guards = guards.model_copy(update={"refused_callers": min(guards.refused_callers, callers)})
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            if guards is not None and (tripped := list(self._measure.tripped(guards))):
                return Found(self._measure.figures(), "; ".join(tripped))
            await asyncio.sleep(_EVERY_S)
        return Found(self._measure.figures())

    async def _finish(self, now: Rollout) -> None:
        stage, self._stage = self._stage, None
        try:
            found = stage.result() if stage is not None else Found()
        except BartizanError as error:
            found = Found(why=error.message)
        at = time.time()
        if not found.why:
            then = passed(now, at, found.figures)
        elif found.undecided:
            then = noted(now.found(found.figures), at, f"paused: {found.why}", "paused", found.why)
        elif self._loosens_back(now):
            # Going back would let through what is refused now: that is a person's to decide.
            why = f"{found.why}; going back would loosen, so it stays until someone decides"
            then = noted(now.found(found.figures), at, f"paused by a guard: {why}", "paused", why)
        else:
            then = failed(now, at, found.why, found.figures)
        await self._tell(now, then, found)
        current = self._desk.rollout
        if current is None or (current.number, current.at, current.status) != (now.number, now.at, now.status):
            return  # somebody has decided otherwise meanwhile
        await self._desk.line.step(then)
        if then.status == "failed":
            await self._take_back(now, By(_BY, f"taken back: {found.why}"))

    async def _tell(self, now: Rollout, then: Rollout, found: Found) -> None:
        _log.log(logging.WARNING if found.why else logging.INFO, "revision %s: %s", now.revision, then.history[-1][1])
        details: dict[str, JsonValue] = {"stage": now.stage, "why": found.why, "figures": dict(found.figures)}
        result = "done" if not found.why else then.status
        await self._desk.line.audit(Event(_BY, "rollout.stage", f"revision/{now.revision}", _BY, result, details))

    def _loosens_back(self, now: Rollout) -> bool:
        """Whether it decides somewhere already, and the way back from it would let through what it refuses."""
        state = self._publisher.state
        if state is None:
            return False
        if now.stage == "canary" and self._canary.candidate is not None and self._canary.is_out():
            return any(loosenings(self._canary.candidate.snapshot, state.compiled.snapshot))
        if now.stage != "everywhere" or not self._is_out(now):
            return False
        before = self._desk.before
        return before is None or any(loosenings(state.compiled.snapshot, before))

    async def _take_back(self, now: Rollout, by: By) -> None:
        """The revision before decides everywhere again, if this one did."""
        self._end_canary()
        self._desk.drop()
        if self._is_out(now) or (self._desk.compiled is not None and self._desk.compiled.snapshot.revision == now.revision):
            await self._desk.roll_back(now.before, by)

    def _end_canary(self) -> None:
        self._canary.end()
        self._desk.wake()

    async def _end_stage(self) -> None:
        if self._stage is not None:
            self._stage.cancel()
            with suppress(asyncio.CancelledError, BartizanError):
                await self._stage
            self._stage = None


def _callers(stage: CanaryStage) -> Callers:
    return Callers(stage.consumers or (), stage.percent or 0.0)
