"""The control plane's side of its nodes: gives each what it lacks, signed, and knows how each stands."""

import asyncio
import logging
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import grpc

from bartizan.lib.sockets import private_folder
from bartizan.xds.beat import EVERY_S, Beat, signed_beat
from bartizan.xds.frames import METHOD, OPTIONS, SERVICE, Answer, Hello, decoded
from bartizan.xds.member import GROUP, Member, NodeStatus, absent
from bartizan.xds.propagation import Propagation
from bartizan.xds.release import NOTE, Key, Outcome, Position, Release, State, Step
from bartizan.xds.signed import Address, Signer, encoded_order, signed

_log = logging.getLogger(__name__)
_TOMBSTONES = 10_000
_OFF_MS = 400 * 86_400_000
"""A node that claims to hold a sequence so far ahead of the clock isn't believed."""

Plan: TypeAlias = Callable[[Step], tuple[Step, ...]]
"""Divides a difference of two states into steps that can be sent one after the other."""


def additions_first(difference: Step) -> tuple[Step, ...]:
    """All that is new or changed, then all that is gone."""
    steps = (Step(changed=difference.changed), Step(removed=difference.removed))
    return tuple(step for step in steps if step.changed or step.removed)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited for what, in seconds."""

    answer_s: float = 30.0
    """For a node's answer; then its connection is given up, and it says anew what it holds."""
    others_s: float = 0.5
    """For the other nodes, when one has answered. Who is later catches up, and nothing waits for it."""
    first_s: float = 5.0
    """For the first answer of several nodes."""
    valid_s: float = 600.0
    """So long a node may take a release after it was signed."""
    clock: Callable[[], float] = time.time


class Writer(Protocol):
    """Where frames go to a node."""

    async def write(self, message: bytes) -> None: ...


class _Clock:
    """Numbers that only grow: milliseconds, as long as the clock doesn't go back."""

    def __init__(self) -> None:
        self.last = 0

    def next(self, above: int = 0) -> int:
        self.last = max(self.last + 1, above + 1, time.time_ns() // 1_000_000)
        return self.last


class Sequences(Protocol):
    """Where sequence numbers come from."""

    def next(self, above: int = 0) -> int: ...


class Revocations(Protocol):
    """What is known to be revoked."""

    def lacking(self, held: Mapping[str, str]) -> tuple[str, ...]:
        """Which of a node's notes, by name and version, may say more than is known."""
        ...

    def take(self, node: str, notes: Mapping[str, bytes]) -> int:
        """Takes over what they say. The generation of live data that holds it. Unavailable if it can't be kept."""
        ...


class ControlServer:
    """Holds the newest state and brings every node to it. Nodes that come before the first `publish` are left as they are."""

    def __init__(
        self,
        path: Path,
        signer: Signer,
        *,
        plan: Plan = additions_first,
        patience: Patience | None = None,
        sequences: Sequences | None = None,
    ) -> None:
        self._path = path
        self._signer = signer
        self._plan = plan
        self._patience = patience or Patience()
        self._sequences = sequences or _Clock()
        self._clock = self._patience.clock
        self._state = State()
        self._position = Position()
        self._edit = 0
        self._newest = Release(0, "", 0, ())
        self._changed_at: dict[Key, int] = {}
        """The edit that changed each resource last, or took it away."""
        self._floor = 0
        """Who holds an edit before this one can't be told what it lacks."""
        self._ready = asyncio.Event()
        self._publishing = asyncio.Lock()
        self._nodes: dict[str, Member] = {}
        self._news = asyncio.Event()
        self._signed: dict[tuple[str, bool], tuple[float, bytes]] = {}
        """What many nodes get, as it was signed for each group, and until when: the newest release, and all that a blank node lacks."""
        self._server: grpc.aio.Server | None = None
        self.propagation = Propagation()
        self.roster: Callable[[], Mapping[str, str]] = dict
        """The nodes that belong to the fleet, connected or not, with their groups."""
        self.lane: Callable[[str], ControlServer] = lambda name: self
        """Who serves the node of this name: for a canary, another."""
        self.revocations: Revocations | None = None

    def beside(self) -> "ControlServer":
        """Another one for a few of the nodes, who come in by this one's doors: `lane` says which. It signs and numbers as this one does."""
        made = ControlServer(self._path, self._signer, plan=self._plan, patience=self._patience, sequences=self._sequences)
        made.propagation, made.revocations = self.propagation, self.revocations
        return made

    async def start(self) -> None:
        private_folder(self._path.parent)
        server = self._server = grpc.aio.server(options=OPTIONS)
        handler = grpc.stream_stream_rpc_method_handler(self.talk)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
        server.add_insecure_port(f"unix:{self._path}")
        await server.start()
        self._path.chmod(0o600)

    async def stop(self) -> None:
        if self._server:
            await self._server.stop(None)

    def nodes(self) -> tuple[NodeStatus, ...]:
        """All that are connected, were, or should be."""
        found = {name: node.status(self._lag(node)) for name, node in self._nodes.items()}
        found |= {name: absent(name, group, self.propagation.after(0)) for name, group in self.roster().items() if name not in found}
        return tuple(found[name] for name in sorted(found))

    def refusals(self) -> dict[str, str]:
        """Which nodes' Envoys refuse what is held now, and why, also if they came for it later than it was published."""
        return {name: node.refused for name, node in self._nodes.items() if node.refused and node.tried == self._edit}

    def _lag(self, node: Member) -> int:
        return 0 if node.level == self._edit else self.propagation.after(node.report.position.sequence)

    @property
    def public(self) -> bytes:
        """The key that its releases are signed by."""
        return self._signer.public

    @property
    def position(self) -> Position:
        return self._position

    def next_sequence(self) -> int:
        """A number greater than that of every release so far."""
        return self._sequences.next(self._position.sequence)

    async def changed(self) -> None:
        """Returns when a node came, went or reported."""
        await self._news.wait()

    def forget(self, name: str) -> None:
        """Ends the connection of a node that doesn't belong to the fleet any more."""
        if node := self._nodes.pop(name, None):
            node.leave()
            self._tell()

    async def publish(self, release: Release) -> dict[str, Outcome]:
        """Brings every connected node to the release's state. If an Envoy refuses it, it is taken back everywhere.

        Returns when all nodes have answered but those that are late, which catch up.
        """
        async with self._publishing:
            before = self._position
            if release.sequence <= before.sequence:
                release = replace(release, sequence=self.next_sequence())
            undo = [self._state.take(step) for step in release.steps]
            outcomes = await self._spread(release)
            refusing = sorted(name for name, outcome in outcomes.items() if outcome.error)
            if not refusing:
                return outcomes
            for step in reversed(undo):
                self._state.take(step)
            # A way back is a way on: a new sequence, and a generation that doesn't fall.
            generation = max(before.generation, release.generation)
            back = Release(self.next_sequence(), before.revision, generation, tuple(reversed(undo)))
            await self._spread(back, undone=frozenset(refusing))
            told = f"taken back, because {', '.join(refusing)} refuses it"
            return {name: outcome if outcome.error else Outcome(False, told) for name, outcome in outcomes.items()}

    async def _spread(self, release: Release, undone: frozenset[str] = frozenset()) -> dict[str, Outcome]:
        """Sends a release that leads to the state held now."""
        self._edit += 1
        self._newest, self._position = release, release.position
        self._signed.clear()
        self._remember(release.steps)
        connected = [node for node in self._nodes.values() if not node.gone.is_set()]
        for node in connected:
            node.lagging = node.lagging or bool(self._knows_better(node))
        self.propagation.begin(release.sequence, release.revision, (node.name for node in connected))
        expected = {node: node.expect(self._edit) for node in connected if not node.lagging}
        for node in connected:
            if node.name in undone and node.level == self._edit - 2:
                node.level = node.tried = self._edit  # it undid by itself what this takes back
                node.settle(self._edit, Outcome(False))
            node.due.set()
        self._ready.set()
        await self._wait(list(expected.values()))
        for node, outcome in expected.items():
            node.lagging = not outcome.done()
        return {node.name: outcome.result() if outcome.done() else Outcome(False) for node, outcome in expected.items()}

    async def _wait(self, expected: list[asyncio.Future[Outcome]]) -> None:
        """Until all are there; but one that is late holds up nobody."""
        if not expected:
            return
        patience = self._patience
        done, late = await asyncio.wait(expected, timeout=patience.others_s)
        if late and not done:
            rest_s = patience.first_s - patience.others_s if len(expected) > 1 else patience.answer_s
            await asyncio.wait(late, timeout=max(rest_s, 0), return_when=asyncio.FIRST_COMPLETED)

    def _remember(self, steps: Iterable[Step]) -> None:
        for step in steps:
            self._changed_at.update(dict.fromkeys((one.key for one in step.changed), self._edit))
            self._changed_at.update(dict.fromkeys(step.removed, self._edit))
        if len(self._changed_at) > len(self._state) + _TOMBSTONES:
            self._changed_at = {key: at for key, at in self._changed_at.items() if key[1] in self._state.of(key[0])}
            self._floor = self._edit - 1

    async def _keep(self, node: Member) -> None:
        """Brings a node to the newest state, again and again."""
        await self._ready.wait()
        await self._hear(node)
        while True:
            node.due.clear()
            while node.tried != self._edit and self._position.generation >= node.needs:
                await self._bring(node)
            await node.due.wait()

    def _knows_better(self, node: Member) -> tuple[str, ...]:
        """The notes of a node that came with others than are held here."""
        return () if node.asked or self.revocations is None else self.revocations.lacking(node.held.get(NOTE, {}))

    async def _hear(self, node: Member) -> None:
        """Takes over what the node knows to be revoked: this control plane's state may be older than what its nodes hold."""
        if (names := self._knows_better(node)) and self.revocations is not None:
            answer = await node.ask(names, self._patience.answer_s)
            if answer is None:
                return node.leave()
            told = {name: b64decode(text) for name, text in (answer.notes or {}).items() if name in names}
            node.needs = self.revocations.take(node.name, told)
        node.asked = True

    async def _beat(self, node: Member) -> None:
        """Tells a node that holds the newest that it does, again and again."""
        while True:
            await asyncio.sleep(EVERY_S)
            if node.level == self._edit and self._ready.is_set():
                beat = Beat(group=node.group, sequence=self._position.sequence, at=self._clock())
                node.beat(signed_beat(beat, self._signer))

    async def _bring(self, node: Member) -> None:
        """Sends a node what leads it to the state held now: the newest release if it holds the state before, else what it lacks."""
        if node.level is not None and node.level < self._floor:
            node.tried = self._edit
            return node.leave()  # it says anew what it holds when it is back
        edit, sequence = self._edit, self._position.sequence
        answer = await node.send(self._signed_for(node), self._patience.answer_s)
        node.tried = edit
        if answer is None:
            return node.leave()
        node.refused = answer.error or ""
        node.lagging = node.lagging and edit != self._edit
        if answer.error is None and answer.distrust is None:
            node.level, node.held = edit, {}
        if answer.acknowledged:
            self.propagation.acknowledged(sequence, node.name)
        node.settle(edit, Outcome(answer.acknowledged, answer.error, answer.took_s))

    def _signed_for(self, node: Member) -> bytes:
        newest, blank = node.level == self._edit - 1, node.level is None and node.report.position == Position()
        if not newest and not blank:
            return self._sign(self._difference(node), node.group)
        key = node.group, blank
        until, ready = self._signed.get(key, (0.0, b""))
        if self._clock() > until:
            ready = self._sign(self._difference(node) if blank else self._newest, node.group)
            self._signed[key] = self._clock() + self._patience.valid_s / 2, ready
        return ready

    def _sign(self, release: Release, group: str) -> bytes:
        return signed(release, self._state.digest, Address(group, self._clock() + self._patience.valid_s), self._signer)

    def _difference(self, node: Member) -> Release:
        level, at = node.level, self._position
        if level is None:
            lacking = self._state.lacking(node.held)
        else:
            keys = [key for key, edit in self._changed_at.items() if edit > level]
            there = [self._state.of(type_url).get(name) for type_url, name in keys]
            gone = tuple(key for key, one in zip(keys, there, strict=True) if one is None)
            lacking = Step(tuple(one for one in there if one), gone)
        return Release(self._sequence_for(node, lacking), at.revision, at.generation, self._plan(lacking))

    def _sequence_for(self, node: Member, lacking: Step) -> int:
        """The newest; or one above it, if the node claims to hold that and lacks something nevertheless."""
        held, mine = node.report.position, self._position
        same = held == mine and lacking == Step()
        if same or held.sequence < mine.sequence or held.sequence > self._clock() * 1000 + _OFF_MS:
            return mine.sequence
        self._position = replace(mine, sequence=self._sequences.next(max(held.sequence, mine.sequence)))
        return self._position.sequence

    async def talk(self, requests: AsyncIterator[bytes], context: Writer, who: tuple[str, str] | None = None) -> None:
        """One connection of a node. `who`: its name and group, if they are proven; else it is what it says: its socket is its owner's."""
        greeting = await anext(aiter(requests), None)
        if greeting is None:
            return
        hello = decoded(Hello, greeting)
        await self.lane(who[0] if who else hello.node_id).converse(hello, requests, context, who)

    async def converse(self, hello: Hello, requests: AsyncIterator[bytes], context: Writer, who: tuple[str, str] | None) -> None:
        """A connection whose greeting was read."""
        node = self._welcome(hello, who)
        work = (self._listen(node, requests), self._speak(node, context), self._keep(node), self._beat(node), node.gone.wait())
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(one) for one in work]
        _log.info("node %s is connected", node.name)
        self._tell()
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            node.leave()
            for task in tasks:
                task.cancel()
            self._tell()
            _log.info("node %s is gone", node.name)

    def _welcome(self, hello: Hello, who: tuple[str, str] | None) -> Member:
        name, group = who or (hello.node_id, GROUP)
        node, former = Member(name, group, hello, proven=who is not None), self._nodes.get(name)
        if former:
            former.leave()
            if former.report.position == node.report.position:
                node.since, node.took_s = former.since, former.took_s
        self._nodes[name] = node
        return node

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _listen(self, node: Member, requests: AsyncIterator[bytes]) -> None:
        async for data in requests:
            node.heard(decoded(Answer, data))
            self._tell()

    @staticmethod
    async def _speak(node: Member, context: Writer) -> None:
        while True:
            order, sent = await node.outgoing.get()
            await context.write(encoded_order(order))
            sent.set()
