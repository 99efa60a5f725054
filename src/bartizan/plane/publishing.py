"""Gives the nodes what is to be enforced: policies and live data, each change as one release."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from bartizan.compile import Compiled
from bartizan.compile.split import Split
from bartizan.rollout.standing import Standing
from bartizan.rollout.state import Live, State, divided, state_of
from bartizan.telemetry.changes import CHANGES, Changes
from bartizan.xds.control import ControlServer
from bartizan.xds.plan import difference, in_order
from bartizan.xds.release import Release, Resource

_log = logging.getLogger("bartizan")

Make: TypeAlias = Callable[[Compiled, Live, State | None], State]


class Publisher:
    """Holds what the nodes hold. `make` puts policies and live data together; `folder` is where changes are noted."""

    def __init__(self, server: ControlServer, make: Make, standing: Standing, folder: Path) -> None:
        self.server, self.standing = server, standing
        self.state: State | None = None
        self.loosens: tuple[str, ...] = ()
        """What the policies to come loosen."""
        self.place = "everywhere"
        """Where what is published decides."""
        self.split: Split | None = None
        """The canary by caller that is wanted."""
        self.split_error = ""
        """What Envoys said against it."""
        self._make = make
        self._changes = Changes(folder / CHANGES)
        self._held: dict[tuple[str, str], Resource] = {}

    async def bring(self, compiled: Compiled, alive: Live, began: float) -> bool:
        """Brings the nodes to these policies and this live data. False if an Envoy refused the policies; then the ones before are back.

        `began` is when the change came, in seconds of `time.perf_counter`.
        """
        await self._unmark(compiled, began)
        state = self.state
        there = state.split if state is not None and state.marks else None
        if state is not None and state.compiled is not compiled and state.live != alive:
            # Live data first and apart: a revision that Envoy refuses must not take a revocation back with it.
            await self._publish(divided(state_of(state.compiled, alive, state), there, state), began)
        if not await self._publish(divided(self._make(compiled, alive, self.state), there, self.state), began):
            return False
        await self._divide(began)
        return True

    async def _unmark(self, compiled: Compiled, began: float) -> None:
        """If the canary by caller ends, nobody is the candidate's any more before what it judges by goes."""
        state = self.state
        if state is None or state.split is None or not state.marks:
            return
        revision = self.split.revision if self.split is not None else ""
        if revision != state.split.revision or compiled.snapshot.revision not in {state.split.active, revision}:
            await self._publish(state.unmarked(), began)

    async def _divide(self, began: float) -> None:
        """Begins the canary by caller that is wanted, or brings it up to date: apart, because an Envoy may refuse it."""
        state, wanted = self.state, self.split
        if state is None or wanted is None or state.split is wanted or state.compiled.snapshot.revision != wanted.active:
            return
        error, others = self.standing.error, state.split is None or state.split.callers != wanted.callers
        if not await self._publish(divided(state, wanted, state), began):
            self.split_error, self.standing.error = self.standing.error, error
        elif others:
            _log.info("revision %s judges %s, as canary", wanted.revision, wanted.callers)
            await self._note({"revision": wanted.revision, "before": wanted.active, "on": "canary", "for": str(wanted.callers)})

    async def _publish(self, state: State, began: float) -> bool:
        """Gives a state to every node. False if an Envoy refused it; then the one before is back everywhere."""
        step, held = difference(self._held, state.resources())
        revision = state.compiled.snapshot.revision
        if not step.changed and not step.removed and revision == self.standing.revision:
            self.state = state
            return True
        sequence = self.server.next_sequence()
        release = Release(sequence, revision, state.live.generation, in_order(step))
        outcomes = await self.server.publish(release)
        errors = {node: outcome.error for node, outcome in outcomes.items() if outcome.error}
        if errors:
            self.standing.error = "; ".join(f"{node}: {error}" for node, error in sorted(errors.items()))
            _log.error("revision %s isn't taken; this is an error of Bartizan's own: %s", revision, self.standing.error)
            return False
        self._held, self.state = held, state
        standing = self.standing
        standing.publishes += 1
        standing.sequence, standing.generation = sequence, state.live.generation
        if outcomes and all(outcome.acknowledged for outcome in outcomes.values()):
            standing.enforced_ms = (time.perf_counter() - began) * 1000
        if standing.revision != revision:
            await self._tell(revision, len(outcomes))
        return True

    async def _tell(self, revision: str, nodes: int) -> None:
        standing = self.standing
        where = {"on": self.place} if self.place != "everywhere" else {}
        await self._note({"revision": revision, "before": standing.revision, **where})
        standing.revision, standing.since = revision, time.time()
        took = f" in {standing.enforced_ms:.0f} ms" if nodes and standing.enforced_ms is not None else ""
        _log.info(
            "revision %s is active on %d node(s)%s%s", revision, nodes, took, "" if self.place == "everywhere" else f", as {self.place}"
        )

    async def _note(self, change: dict[str, object]) -> None:
        told = {**change, "generation": self.standing.generation, "loosens": self.loosens}
        await asyncio.to_thread(self._changes.note, told)
