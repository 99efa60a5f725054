"""The ADS server of one node: holds all resources, tells Envoy what changes, and waits for its word."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from typing import Protocol, TypeAlias

import grpc

from bartizan.envoy import message
from bartizan.lib.sockets import private_folder
from bartizan.xds.dialogue import Dialogue, Holding, Refusal, Request, Response
from bartizan.xds.release import CLUSTER, ENDPOINTS, EXTENSION, LISTENER, Key, Outcome, Position, Release, Resource, State, Step, rank

_log = logging.getLogger(__name__)
_SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
_REQUEST = "envoy.service.discovery.v3.DeltaDiscoveryRequest"
_RESPONSE = "envoy.service.discovery.v3.DeltaDiscoveryResponse"
_OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
Adapt: TypeAlias = Callable[[Resource], Resource]
_ADAPTED = frozenset({LISTENER, EXTENSION})
_EDS = 3  # envoy.config.cluster.v3.Cluster.DiscoveryType


class _Writer(Protocol):
    """grpc.aio's ServicerContext, as far as we use it."""

    async def write(self, message: Response) -> None: ...


class _Answer(Enum):
    ACKNOWLEDGED = auto()
    REFUSED = auto()
    LATE = auto()
    ABSENT = auto()


class _View:
    """What Envoy gets of what is held."""

    def __init__(self, state: State, adapt: Adapt) -> None:
        self._state, self._adapt = state, adapt

    def of(self, type_url: str) -> Mapping[str, Resource]:
        held = self._state.of(type_url)
        return {name: self._adapt(one) for name, one in held.items()} if type_url in _ADAPTED else held


class _Stream:
    """One Envoy that is connected."""

    def __init__(self, state: Holding) -> None:
        self.dialogue = Dialogue(state)
        self.outgoing: asyncio.Queue[Response] = asyncio.Queue()

    def send(self, responses: Iterable[Response]) -> None:
        for response in responses:
            self.outgoing.put_nowait(response)

    async def write(self, to: _Writer) -> None:
        while True:
            await to.write(await self.outgoing.get())


class AdsServer:
    """Serves Envoy over the unix socket `path`. Answers nothing until it has been given a state, so that an Envoy never starts empty."""

    def __init__(self, path: Path, *, answer_s: float = 10.0, adapt: Adapt | None = None) -> None:
        """`adapt`: what Envoy gets in a listener's or an extension's place. What is held, hashed and kept is as it came."""
        self._path = path
        self._answer_s = answer_s
        self._adapt = adapt
        self._streams: set[_Stream] = set()
        self._refusals: list[Refusal] = []
        self._open = asyncio.Event()
        self._applying = asyncio.Lock()
        self._news = asyncio.Event()
        self._server: grpc.aio.Server | None = None
        self.state = State()
        self.position = Position()
        self.problem: str | None = None
        """What Envoy refused, until the next release."""
        self._touched: set[Key] = set()
        """What has changed since Envoy had everything."""
        self._unkept: dict[Key, Resource | None] = {}
        """What Envoy has taken and the disk hasn't; None is what is gone."""
        self._settled_at = self._kept_at = Position()

    async def start(self) -> None:
        private_folder(self._path.parent)
        handler = grpc.stream_stream_rpc_method_handler(self._talk, request_deserializer=_request, response_serializer=_response)
        server = self._server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"DeltaAggregatedResources": handler}),))
        server.add_insecure_port(f"unix:{self._path}")
        await server.start()
        self._path.chmod(0o600)

    async def stop(self) -> None:
        if self._server:
            await self._server.stop(None)

    @property
    def connected(self) -> bool:
        return bool(self._streams)

    @property
    def serving(self) -> bool:
        """What is held is given to an Envoy that asks."""
        return self._open.is_set()

    @property
    def applying(self) -> bool:
        return self._applying.locked()

    @property
    def acknowledged(self) -> bool:
        """An Envoy is there and has taken everything that is held."""
        return self._quiet() and not self._refusals and not self._applying.locked()

    @property
    def kept(self) -> bool:
        """All that is held is on disk."""
        return not self._touched and not self._unkept and self._kept_at == self.position

    def unkept(self) -> Release | None:
        """What Envoy has acknowledged and isn't on disk yet."""
        at = self._settled_at
        if not self._unkept and self._kept_at == at:
            return None
        changed = tuple(one for one in self._unkept.values() if one)
        removed = tuple(key for key, one in self._unkept.items() if one is None)
        return Release(at.sequence, at.revision, at.generation, (Step(changed, removed),))

    def note_kept(self, release: Release) -> None:
        """An `unkept()` release is on disk. What Envoy has taken since then isn't."""
        for step in release.steps:
            written = {key: None for key in step.removed} | {one.key: one for one in step.changed}
            self._unkept = {key: one for key, one in self._unkept.items() if key not in written or written[key] is not one}
        self._kept_at = release.position
        self.tell()

    async def changed(self) -> None:
        """Returns when a stream came, went or spoke, or when the state changed or was kept."""
        await self._news.wait()

    def load(self, position: Position, resources: Iterable[Resource]) -> None:
        """Holds what was kept on disk. Envoy gets it after `open()` or the first `apply()`."""
        self.state.take(Step(tuple(resources)))
        self.position = self._settled_at = self._kept_at = position

    def open(self) -> None:
        """Serves what is held from now on."""
        self._open.set()
        self.tell()

    def given(self, type_url: str) -> Mapping[str, Resource]:
        """What Envoy gets of this type."""
        return _View(self.state, self._adapt).of(type_url) if self._adapt else self.state.of(type_url)

    async def give_again(self, type_url: str, prefix: str) -> None:
        """Gives Envoy the resources whose names begin so, because what is made of them has changed."""
        async with self._applying:
            self._push(Step(tuple(one for name, one in self.state.of(type_url).items() if name.startswith(prefix))))
            await self._answer(self._answer_s)
        self.tell()

    async def apply(self, release: Release, *, connect_s: float = 0.0) -> Outcome:
        """Leads Envoy through the steps of a release. What it refuses is undone, here and in Envoy.

        If no Envoy is connected, the release is held, and one that connects within `connect_s` is waited for.
        """
        async with self._applying:
            clock = asyncio.get_running_loop().time
            started, before, touched = clock(), self.position, set(self._touched)
            self._refusals.clear()
            self.position = release.position
            undo, answer = await self._walk(release.steps, connect_s)
            took_s = clock() - started
            if answer is _Answer.REFUSED:
                _log.error("release %d of revision %s is undone", release.sequence, release.revision)
                self.position = before
                await self._undo(undo)
                self._touched = touched
            else:
                self.problem = None
        self.tell()
        return Outcome(answer is _Answer.ACKNOWLEDGED, self.problem if answer is _Answer.REFUSED else None, took_s)

    async def _walk(self, steps: tuple[Step, ...], connect_s: float) -> tuple[list[Step], _Answer]:
        undo: list[Step] = []
        held_back = not self._open.is_set()
        answer = _Answer.ACKNOWLEDGED
        for step in steps:
            undo.append(self._take(step))
            self._push(step)
            if held_back or answer in (_Answer.LATE, _Answer.ABSENT):
                continue  # Envoy will get it whole, or isn't worth waiting for once more
            answer = await self._answer(self._answer_s)
            if answer is _Answer.REFUSED:
                return undo, answer
        self.open()
        if held_back or answer is not _Answer.LATE:
            answer = await self._connected_answer(connect_s)
        return undo, answer

    async def _connected_answer(self, connect_s: float) -> _Answer:
        with suppress(TimeoutError):
            async with asyncio.timeout(connect_s):
                while not self._streams:
                    await self.changed()
        return await self._answer(self._answer_s)

    async def _undo(self, steps: list[Step]) -> None:
        problem = self.problem
        for step in reversed(steps):
            self._refusals.clear()
            self._take(step)
            self._push(step)
            if await self._answer(self._answer_s) is _Answer.REFUSED:
                _log.error("Envoy refuses what it served before: %s", self.problem)
        self.problem = problem

    async def _answer(self, seconds: float) -> _Answer:
        try:
            async with asyncio.timeout(seconds):
                while self._streams and not self._quiet():
                    await self.changed()
        except TimeoutError:
            return _Answer.LATE
        if self._refusals:
            return _Answer.REFUSED
        return _Answer.ACKNOWLEDGED if self._streams else _Answer.ABSENT

    def _quiet(self) -> bool:
        return bool(self._streams) and all(stream.dialogue.quiet for stream in self._streams)

    def _take(self, step: Step) -> Step:
        self._touched.update(one.key for one in step.changed)
        self._touched.update(step.removed)
        return self.state.take(step)

    def _push(self, step: Step) -> None:
        changed: defaultdict[str, dict[str, Resource]] = defaultdict(dict)
        removed: defaultdict[str, list[str]] = defaultdict(list)
        for one in (*step.changed, *self._endpoints_of(step)):
            changed[one.type_url][one.name] = self._adapt(one) if self._adapt and one.type_url in _ADAPTED else one
        for type_url, name in step.removed:
            removed[type_url].append(name)
        for stream in self._streams:
            for type_url in sorted(changed, key=rank):
                stream.send(stream.dialogue.push(type_url, changed[type_url].values(), ()))
            for type_url in sorted(removed, key=rank, reverse=True):
                stream.send(stream.dialogue.push(type_url, (), removed[type_url]))

    def _endpoints_of(self, step: Step) -> list[Resource]:
        """The endpoints of changed clusters: Envoy waits 15 s for them to be sent again, though it has them."""
        held = self.state.of(ENDPOINTS)
        if not held:
            return []
        names = (_endpoints_name(one.body) for one in step.changed if one.type_url == CLUSTER)
        return [held[name] for name in names if name in held]

    async def _talk(self, requests: AsyncIterator[Request], context: _Writer) -> None:
        stream = _Stream(_View(self.state, self._adapt) if self._adapt else self.state)
        if not self._streams and not self._applying.locked():
            self._refusals.clear()  # of an Envoy that is gone
        self._streams.add(stream)
        writing = asyncio.create_task(stream.write(context))
        self.tell()
        try:
            await self._open.wait()
            async for request in requests:
                responses, refusal = stream.dialogue.receive(request)
                stream.send(responses)
                if refusal:
                    self._refused(refusal)
                self.tell()
        finally:
            self._streams.discard(stream)
            writing.cancel()
            self.tell()

    def _refused(self, refusal: Refusal) -> None:
        _log.error("%s", refusal)
        self._refusals.append(refusal)
        self.problem = "; ".join(map(str, self._refusals))

    def _settle(self) -> None:
        for type_url, name in self._touched:
            self._unkept[type_url, name] = self.state.of(type_url).get(name)
        self._touched.clear()
        self._settled_at = self.position

    def tell(self) -> None:
        """Wakes those who wait for `changed`."""
        if self.acknowledged:
            self._settle()
        news, self._news = self._news, asyncio.Event()
        news.set()


def _endpoints_name(body: bytes) -> str:
    """The name under which a cluster asks for its endpoints, empty if it doesn't."""
    cluster = message(CLUSTER.rpartition("/")[2])
    cluster.MergeFromString(body)
    name: str = cluster.eds_cluster_config.service_name or cluster.name
    return name if cluster.type == _EDS else ""


def _request(data: bytes) -> Request:
    sent = message(_REQUEST)
    sent.MergeFromString(data)
    return Request(
        type_url=sent.type_url,
        subscribe=tuple(sent.resource_names_subscribe),
        unsubscribe=tuple(sent.resource_names_unsubscribe),
        held=dict(sent.initial_resource_versions),
        nonce=sent.response_nonce,
        error=sent.error_detail.message if sent.HasField("error_detail") else None,
    )


def _response(response: Response) -> bytes:
    type_url = response.type_url
    resources = [
        {"name": one.name, "version": one.version, "resource": {"type_url": type_url, "value": one.body}} for one in response.resources
    ]
    answer = message(_RESPONSE, type_url=type_url, nonce=response.nonce, resources=resources, removed_resources=response.removed)
    data: bytes = answer.SerializeToString()
    return data
