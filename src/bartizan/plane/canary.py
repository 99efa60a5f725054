"""The canary: a candidate decides for some before it does everywhere. On some nodes, which come in by the same doors and are served apart;
or for some callers on every node, which hold both revisions then."""

import asyncio
import time
from pathlib import Path

from bartizan.compile import Compiled
from bartizan.compile.riding import Riding, riding
from bartizan.compile.split import Callers, Split
from bartizan.plane.living import Living
from bartizan.plane.publishing import Publisher
from bartizan.rollout.standing import Standing
from bartizan.rollout.state import state_of
from bartizan.xds.control import ControlServer
from bartizan.xds.member import NodeStatus


class Canary:
    """The canary of a control plane whose nodes `stable` brings what decides."""

    def __init__(self, stable: Publisher, living: Living, folder: Path) -> None:
        self._everywhere, self._stable, self._living, self._folder = stable, stable.server, living, folder
        self._publisher: Publisher | None = None
        self._split: Split | None = None
        self._joined: tuple[Compiled, Compiled] | None = None
        """The active and the candidate that the split is made of."""
        self.chosen: frozenset[str] = frozenset()
        self.candidate: Compiled | None = None
        self._stable.lane = self._lane

    def _lane(self, name: str) -> ControlServer:
        return self._publisher.server if self._publisher is not None and name in self.chosen else self._stable

    def choose(self, wanted: int | tuple[str, ...]) -> frozenset[str]:
        """The nodes for so many, or of these names: connected ones, and never all of them. None if they aren't all there."""
        connected = sorted(one.node_id for one in self._all() if one.connected)
        chosen = connected[:wanted] if isinstance(wanted, int) else [name for name in connected if name in wanted]
        enough = len(chosen) == (wanted if isinstance(wanted, int) else len(wanted)) and len(chosen) < len(connected)
        return frozenset(chosen) if enough else frozenset()

    def begin(self, candidate: Compiled, chosen: frozenset[str]) -> None:
        """From now on the candidate decides on these nodes, as soon as `bring` has given it to them."""
        self._split = None
        if self._publisher is None:
            self._publisher = Publisher(self._stable.beside(), state_of, Standing(), self._folder)
            self._publisher.place = "canary"
        self.candidate, self.chosen = candidate, chosen

    def begin_for(self, callers: Callers, candidate: Compiled, active: Compiled, found: Riding) -> None:
        """From now on the candidate judges these callers, as soon as it is published with what `follow` wants."""
        self.end_on_nodes()
        self._everywhere.split_error = ""
        self.candidate, self._joined = candidate, (active, candidate)
        self._split = Split(callers, active.snapshot.revision, candidate.snapshot.revision, found)

    async def follow(self, served: Compiled, candidate: Compiled | None) -> None:
        """Before `served` is published: says whom the candidate of now judges beside it. Nobody, if another was meant."""
        split = self._split if not self._everywhere.split_error else None
        if split is not None and served.snapshot.revision != split.revision:  # else it has been let out everywhere
            if candidate is None or (served.snapshot.revision, candidate.snapshot.revision) != (split.active, split.revision):
                split = None
            elif self._joined is None or self._joined[0] is not served or self._joined[1] is not candidate:
                # With the consumers and issuers of now.
                found = await asyncio.to_thread(riding, served, candidate)
                split = self._split = Split(split.callers, split.active, split.revision, found)
                self.candidate, self._joined = candidate, (served, candidate)
        self._everywhere.split = split

    async def bring(self, served: Compiled, candidate: Compiled | None) -> None:
        """Gives its nodes what the candidate and the live data of now say. `served`: what decides on the others."""
        if self._publisher is None or self.candidate is None:
            return
        if candidate is not None and candidate.snapshot.revision == self.candidate.snapshot.revision:
            self.candidate = candidate  # with the consumers and issuers of now
        alive = self._living.now(self.candidate, served, aside=True)
        if not await self._publisher.bring(self.candidate, alive, time.perf_counter()):
            return
        for name in self.chosen:
            self._stable.forget(name)  # it comes back at once, and is served here then

    def error(self) -> str:
        """What its nodes' Envoys say against it."""
        if self._split is not None:
            return self._everywhere.split_error
        if self._publisher is None:
            return ""
        refusals = "; ".join(f"{node}: {error}" for node, error in sorted(self._publisher.server.refusals().items()))
        return self._publisher.standing.error or refusals

    def late(self) -> str:
        """Which of its nodes haven't taken it yet, and what they say."""
        found = self.nodes()
        told = (f"{name} takes too long{_trouble(found.get(name))}" for name in sorted(self.chosen - self._taken()))
        return "; ".join(told) or "it takes too long"

    def is_out(self) -> bool:
        """Whether all its nodes have taken the candidate; or, for callers, whether the nodes have that are there."""
        if self._split is not None:
            state = self._everywhere.state
            there = state.split if state is not None and state.marks else None
            return there is not None and (there.revision, there.callers) == (self._split.revision, self._split.callers)
        if self.candidate is None or self._publisher is None:
            return False
        return self.chosen <= self._taken()

    def _taken(self) -> set[str]:
        if self.candidate is None or self._publisher is None:
            return set()
        revision = self.candidate.snapshot.revision
        return {one.node_id for one in self._publisher.server.nodes() if one.acknowledged and one.position.revision == revision}

    def end(self) -> None:
        """All are served alike again: nodes at once, callers when it is published next."""
        self._split = self._joined = None
        self.end_on_nodes()

    def end_on_nodes(self) -> None:
        """Its nodes are served as all others again."""
        chosen, self.chosen, self.candidate = self.chosen, frozenset(), None
        if self._publisher is not None:
            for name in chosen:
                self._publisher.server.forget(name)
            self._publisher = None

    def _all(self) -> tuple[NodeStatus, ...]:
        return tuple(self.nodes().values())

    def nodes(self) -> dict[str, NodeStatus]:
        """All nodes by name, whoever serves them."""
        found = {one.node_id: one for one in self._stable.nodes()}
        if self._publisher is not None:
            found |= {one.node_id: one for one in self._publisher.server.nodes()}
        return dict(sorted(found.items()))


def _trouble(node: NodeStatus | None) -> str:
    if node is None or not node.connected:
        return ", and isn't connected"
    return f": {node.error}" if node.error else ""
