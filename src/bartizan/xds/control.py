"""The control plane's side of its nodes: gives each what it lacks, and knows how each stands."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import grpc

from bartizan.lib.sockets import private_folder
from bartizan.xds.frames import METHOD, OPTIONS, SERVICE, Answer, Hello, Order, decoded, encoded_order
from bartizan.xds.release import Outcome, Position, Release, State, Step, Versions

_log = logging.getLogger(__name__)

Plan: TypeAlias = Callable[[Step], tuple[Step, ...]]
"""Divides a difference of two states into steps that can be sent one after the other."""


def additions_first(difference: Step) -> tuple[Step, ...]:
    """All that is new or changed, then all that is gone."""
    steps = (Step(changed=difference.changed), Step(removed=difference.removed))
    return tuple(step for step in steps if step.changed or step.removed)


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """How one node stands."""

    node_id: str
    connected: bool
    position: Position
    since: float
    """Unix time at which it came to this position."""
    envoy: bool
    acknowledged: bool
    """Its Envoy has taken all of it."""
    kept: bool
    """All of it is on the node's disk: the node serves it again after a restart, even alone."""
    error: str | None
    took_s: float
    """How long its last release took, from its arrival at the node to Envoy's word."""


class _Writer(Protocol):
    async def write(self, message: bytes) -> None: ...


class _Node:
    """One node, connected now or once."""

    def __init__(self, hello: Hello) -> None:
        self.node_id = hello.node_id
        self.report = hello.report
        self.held: Versions = hello.held
        """What it holds, as long as that isn't what the control plane holds."""
        self.level: int | None = None
        """The edit of the control plane's state that it holds."""
        self.outgoing: asyncio.Queue[Order] = asyncio.Queue()
        self.gone = asyncio.Event()
        self.busy = asyncio.Lock()
        self.since = time.time()
        self.took_s = 0.0
        self._orders = 0
        self._waiting: dict[int, asyncio.Future[Answer]] = {}

    async def send(self, release: Release, seconds: float) -> Outcome:
        """The release's outcome; neither acknowledged nor an error if the node left or is late."""
        self._orders += 1
        answer = self._waiting[self._orders] = asyncio.get_running_loop().create_future()
        self.outgoing.put_nowait(Order(self._orders, release))
        leaving = asyncio.ensure_future(self.gone.wait())
        try:
            await asyncio.wait((answer, leaving), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            self._waiting.pop(self._orders, None)
        if not answer.done():
            self.gone.set()  # it is late: it says anew what it holds when it is back
            return Outcome(False)
        told = answer.result()
        return Outcome(told.acknowledged, told.error, told.took_s)

    def heard(self, answer: Answer) -> None:
        if answer.report.position != self.report.position:
            self.since = time.time()
        self.report = answer.report
        if answer.id:
            self.took_s = answer.took_s
            waiting = self._waiting.get(answer.id)
            if waiting and not waiting.done():
                waiting.set_result(answer)

    def status(self) -> NodeStatus:
        report, connected = self.report, not self.gone.is_set()
        return NodeStatus(
            node_id=self.node_id,
            connected=connected,
            position=report.position,
            since=self.since,
            envoy=connected and report.envoy,
            acknowledged=connected and report.acknowledged,
            kept=report.kept,
            error=report.problem,
            took_s=self.took_s,
        )


class ControlServer:
    """Holds the newest state and brings every node to it. Nodes that come before the first `publish` are left as they are."""

    def __init__(self, path: Path, *, plan: Plan = additions_first, answer_s: float = 30.0) -> None:
        self._path = path
        self._plan = plan
        self._answer_s = answer_s
        self._state = State()
        self._position = Position()
        self._edit = 0
        self._ready = asyncio.Event()
        self._publishing = asyncio.Lock()
        self._nodes: dict[str, _Node] = {}
        self._news = asyncio.Event()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        private_folder(self._path.parent)
        server = self._server = grpc.aio.server(options=OPTIONS)
        handler = grpc.stream_stream_rpc_method_handler(self._talk)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
        server.add_insecure_port(f"unix:{self._path}")
        await server.start()
        self._path.chmod(0o600)

    async def stop(self) -> None:
        if self._server:
            await self._server.stop(None)

    def nodes(self) -> tuple[NodeStatus, ...]:
        return tuple(node.status() for _, node in sorted(self._nodes.items()))

    @property
    def position(self) -> Position:
        return self._position

    async def changed(self) -> None:
        """Returns when a node came, went or reported."""
        await self._news.wait()

    async def publish(self, release: Release) -> dict[str, Outcome]:
        """Brings every connected node to the release's state. If one refuses it, it is taken back everywhere."""
        async with self._publishing:
            before, edit = self._position, self._edit
            undo = [self._state.take(step) for step in release.steps]
            outcomes = await self._spread(release)
            refusing = sorted(node_id for node_id, outcome in outcomes.items() if outcome.error)
            if not refusing:
                return outcomes
            for step in reversed(undo):
                self._state.take(step)
            for node in map(self._nodes.__getitem__, refusing):
                node.level = self._edit + 1 if node.level == edit else None  # a node undoes what it refuses
            await self._spread(Release(before.sequence, before.revision, before.generation, tuple(reversed(undo))))
            back = f"taken back, because {', '.join(refusing)} refuses it"
            return {node_id: outcome if outcome.error else Outcome(False, back) for node_id, outcome in outcomes.items()}

    async def _spread(self, release: Release) -> dict[str, Outcome]:
        """Sends a release that leads to the state held now."""
        self._edit += 1
        self._position = release.position
        self._ready.set()
        nodes = [node for node in self._nodes.values() if not node.gone.is_set()]
        outcomes = await asyncio.gather(*(self._bring(node, release) for node in nodes))
        return {node.node_id: outcome for node, outcome in zip(nodes, outcomes, strict=True)}

    async def _bring(self, node: _Node, release: Release | None = None) -> Outcome:
        """Brings a node to the state held now: by `release` if it holds the state before, else by what it lacks."""
        async with node.busy:
            edit, level = self._edit, node.level
            if level == edit:
                return Outcome(node.report.acknowledged)
            if release is None or level != edit - 1:
                release = self._difference(node.held)
            outcome = await node.send(release, self._answer_s)
            if outcome.error is None:
                node.level = edit
                node.held = {}
            return outcome

    def _difference(self, held: Mapping[str, dict[str, str]]) -> Release:
        position = self._position
        steps = self._plan(self._state.lacking(dict(held)))
        return Release(position.sequence, position.revision, position.generation, steps)

    async def _talk(self, requests: AsyncIterator[bytes], context: _Writer) -> None:
        greeting = await anext(aiter(requests), None)
        if greeting is None:
            return
        node = self._welcome(decoded(Hello, greeting))
        tasks = [asyncio.create_task(work) for work in (self._listen(node, requests), self._speak(node, context), node.gone.wait())]
        _log.info("node %s is connected", node.node_id)
        self._tell()
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            node.gone.set()
            for task in tasks:
                task.cancel()
            self._tell()
            _log.info("node %s is gone", node.node_id)

    def _welcome(self, hello: Hello) -> _Node:
        node, former = _Node(hello), self._nodes.get(hello.node_id)
        if former:
            former.gone.set()
            if former.report.position == node.report.position:
                node.since, node.took_s = former.since, former.took_s
        self._nodes[node.node_id] = node
        return node

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _listen(self, node: _Node, requests: AsyncIterator[bytes]) -> None:
        async for data in requests:
            node.heard(decoded(Answer, data))
            self._tell()

    async def _speak(self, node: _Node, context: _Writer) -> None:
        await self._ready.wait()
        catching_up = asyncio.create_task(self._bring(node))
        try:
            while True:
                await context.write(encoded_order(await node.outgoing.get()))
        finally:
            catching_up.cancel()
