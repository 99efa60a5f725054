"""The ADS server, spoken to over gRPC as Envoy speaks."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from bartizan.envoy import message, message_type
from bartizan.lib.sockets import socket_folder
from bartizan.xds.release import CLUSTER, ENDPOINTS, LISTENER, ROUTES, Position, Release, Resource, Step, resource
from bartizan.xds.server import AdsServer

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
REQUEST = "envoy.service.discovery.v3.DeltaDiscoveryRequest"
RESPONSE = "envoy.service.discovery.v3.DeltaDiscoveryResponse"
A, A2, B = resource(ROUTES, "a", b"a"), resource(ROUTES, "a", b"a2"), resource(ROUTES, "b", b"b")
WEB = resource(LISTENER, "web", b"web")


class Envoy:
    """Asks for clusters, listeners and the routes a and b; takes everything but what it is told to refuse."""

    def __init__(self, server: "Served") -> None:
        self._channel = grpc.aio.insecure_channel(f"unix:{server.path}", options=[("grpc.use_local_subchannel_pool", 1)])
        self.got: dict[str, bytes] = {}
        self.log: list[str] = []
        self.refuses: set[bytes] = set()
        self.deaf = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        call = self._channel.stream_stream(
            METHOD, request_serializer=lambda m: m.SerializeToString(), response_deserializer=message_type(RESPONSE).FromString
        )()
        for type_url, names in ((CLUSTER, ()), (LISTENER, ()), (ROUTES, ("a", "b")), (ENDPOINTS, ("up",))):
            await call.write(message(REQUEST, type_url=type_url, resource_names_subscribe=names))
        async for said in call:
            while self.deaf.is_set():
                await asyncio.sleep(0.01)
            error = self._take(said)
            status = {"error_detail": {"code": 3, "message": error}} if error else {}
            await call.write(message(REQUEST, type_url=said.type_url, response_nonce=said.nonce, **status))

    def _take(self, said: object) -> str:
        bad = [one.name for one in said.resources if one.resource.value in self.refuses]  # type: ignore[attr-defined]
        self.log += [f"+{one.name}" for one in said.resources] + [f"-{name}" for name in said.removed_resources]  # type: ignore[attr-defined]
        if bad:
            return f"bad {bad[0]}: bz_secret"
        for one in said.resources:  # type: ignore[attr-defined]
            assert one.resource.type_url == said.type_url  # type: ignore[attr-defined]
            self.got[one.name] = one.resource.value
        for name in said.removed_resources:  # type: ignore[attr-defined]
            self.got.pop(name, None)
        return ""

    async def leave(self) -> None:
        self._task.cancel()
        await self._channel.close()


class Served(AdsServer):
    """A server with its path, whose Envoys are sent away at its end."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, answer_s=0.5)
        self.path = path
        self.envoys: list[Envoy] = []

    async def envoy(self) -> Envoy:
        self.envoys.append(Envoy(self))
        while not self.connected:
            await self.changed()
        return self.envoys[-1]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    served = Served(socket_folder(tmp_path) / "ads.sock")
    await served.start()
    yield served
    for envoy in served.envoys:
        await envoy.leave()
    await served.stop()


def release(sequence: int, *steps: Step) -> Release:
    return Release(sequence, f"r{sequence}", 1, steps)


def step(*changed: Resource, removed: tuple[tuple[str, str], ...] = ()) -> Step:
    return Step(changed, removed)


async def test_the_socket_is_for_its_owner(server: Served) -> None:
    assert server.path.stat().st_mode & 0o777 == 0o600
    assert server.path.parent.stat().st_mode & 0o777 == 0o700


async def test_nothing_is_answered_before_there_is_a_state(server: Served) -> None:
    envoy = await server.envoy()
    await asyncio.sleep(0.2)
    assert not envoy.log
    outcome = await server.apply(release(1, step(WEB, A)))
    assert outcome.acknowledged and outcome.error is None
    assert envoy.got == {"web": b"web", "a": b"a"}
    assert server.acknowledged


async def test_steps_arrive_in_order_and_removals_last(server: Served) -> None:
    envoy = await server.envoy()
    await server.apply(release(1, step(WEB, A)))
    envoy.log.clear()
    await server.apply(release(2, step(A2, B), step(resource(CLUSTER, "up", b""), removed=(WEB.key,))))
    assert envoy.log == ["+a", "+b", "+up", "-web"]
    assert envoy.got == {"a": b"a2", "b": b"b", "up": b""}


async def test_what_is_refused_is_undone(server: Served) -> None:
    envoy = await server.envoy()
    await server.apply(release(1, step(WEB, A)))
    envoy.refuses = {b"bad"}
    outcome = await server.apply(release(2, step(A2), step(B, resource(LISTENER, "web", b"bad")), step(removed=(A.key,))))
    assert not outcome.acknowledged
    assert outcome.error == "Envoy refuses Listener web: bad web: ***"
    assert server.problem == outcome.error
    assert envoy.got == {"web": b"web", "a": b"a"}
    assert server.state.of(ROUTES).keys() == {"a"}
    assert server.position == Position(1, "r1", 1)
    assert server.acknowledged
    assert (await server.apply(release(3, step(A2)))).acknowledged
    assert server.problem is None


async def test_without_an_envoy_it_is_held(server: Served) -> None:
    outcome = await server.apply(release(1, step(WEB), step(A)))
    assert (outcome.acknowledged, outcome.error) == (False, None)
    assert outcome.took_s < 0.3
    assert server.position.sequence == 1
    envoy = await server.envoy()
    while not server.acknowledged:
        await server.changed()
    assert envoy.got == {"web": b"web", "a": b"a"}


async def test_an_envoy_that_is_about_to_come_is_waited_for(server: Served) -> None:
    applying = asyncio.create_task(server.apply(release(1, step(WEB)), connect_s=5))
    await asyncio.sleep(0.1)
    await server.envoy()
    assert (await applying).acknowledged


async def test_an_envoy_that_does_not_answer_is_not_waited_for_for_ever(server: Served) -> None:
    envoy = await server.envoy()
    await server.apply(release(1, step(WEB, A)))
    envoy.deaf.set()
    outcome = await server.apply(release(2, step(A2), step(B)))
    assert (outcome.acknowledged, outcome.error) == (False, None)
    assert 0.4 < outcome.took_s < 0.9
    envoy.deaf.clear()
    while not server.acknowledged:
        await server.changed()
    assert envoy.got == {"web": b"web", "a": b"a2", "b": b"b"}


async def test_an_envoy_that_leaves_in_between_does_not_stop_a_release(server: Served) -> None:
    envoy = await server.envoy()
    await server.apply(release(1, step(WEB, A)))
    envoy.deaf.set()
    applying = asyncio.create_task(server.apply(release(2, step(A2), step(B))))
    await asyncio.sleep(0.1)
    await envoy.leave()
    assert (await applying).acknowledged is False
    assert server.position.sequence == 2
    assert server.state.of(ROUTES).keys() == {"a", "b"}


async def test_the_endpoints_of_a_changed_cluster_are_sent_again(server: Served) -> None:
    envoy = await server.envoy()
    body = message("envoy.config.cluster.v3.Cluster", name="c", type="EDS", eds_cluster_config={"service_name": "up"}).SerializeToString()
    await server.apply(release(1, step(WEB, resource(CLUSTER, "c", body), resource(ENDPOINTS, "up", b"1"))))
    envoy.log.clear()
    await server.apply(release(2, step(resource(CLUSTER, "c", body + b"\x22\x02\x08\x09"))))
    assert envoy.log == ["+c", "+up"]


async def test_what_was_loaded_waits_for_its_opening(server: Served) -> None:
    server.load(Position(4, "kept", 2), [WEB, A])
    envoy = await server.envoy()
    await asyncio.sleep(0.1)
    assert not envoy.log
    server.open()
    while not server.acknowledged:
        await server.changed()
    assert envoy.got == {"web": b"web", "a": b"a"}
    assert server.position.revision == "kept"


# What is to be kept


def due(server: Served) -> tuple[Position, set[Resource], set[tuple[str, str]]] | None:
    found = server.unkept()
    return found and (found.position, set(found.steps[0].changed), set(found.steps[0].removed))


def position(sequence: int) -> Position:
    return Position(sequence, f"r{sequence}", 1)


async def test_what_envoy_has_acknowledged_is_due_at_once_and_until_it_is_kept(server: Served) -> None:
    assert server.kept and server.unkept() is None
    await server.envoy()
    await server.apply(release(1, step(WEB, A), step(B)))
    assert due(server) == (position(1), {WEB, A, B}, set())
    assert not server.kept
    first = server.unkept()
    await server.apply(release(2, step(A2), step(removed=(B.key,))))
    assert first
    server.note_kept(first)
    assert not server.kept, "the second release came while the first was written"
    assert due(server) == (position(2), {A2}, {B.key})
    second = server.unkept()
    assert second
    server.note_kept(second)
    assert server.kept and server.unkept() is None


async def test_a_new_position_alone_is_kept_too(server: Served) -> None:
    server.load(position(1), [WEB, A])
    assert server.kept
    await server.envoy()
    await server.apply(release(2))
    assert not server.kept
    assert due(server) == (position(2), set(), set())


async def test_what_comes_back_while_its_removal_is_written_is_kept_again(server: Served) -> None:
    await server.envoy()
    await server.apply(release(1, step(WEB), step(removed=(A.key,))))
    written = server.unkept()
    await server.apply(release(2, step(A)))
    assert written
    server.note_kept(written)
    assert due(server) == (position(2), {A}, set())


async def test_what_no_envoy_has_taken_is_not_due(server: Served) -> None:
    await server.apply(release(1, step(WEB, A)))
    assert server.unkept() is None and not server.kept
    envoy = await server.envoy()
    while not server.acknowledged:
        await server.changed()
    assert due(server) == (position(1), {WEB, A}, set())
    envoy.deaf.set()
    await server.apply(release(2, step(A2)))
    assert due(server) == (position(1), {WEB, A}, set()), "the second isn't taken yet"
    envoy.deaf.clear()
    while not server.acknowledged:
        await server.changed()
    assert due(server) == (position(2), {WEB, A2}, set())


async def test_a_release_is_due_though_the_next_is_under_way(server: Served) -> None:
    envoy = await server.envoy()
    await server.apply(release(1, step(WEB, A)))
    envoy.deaf.set()
    applying = asyncio.create_task(server.apply(release(2, step(A2))))
    await asyncio.sleep(0.1)
    assert server.applying
    assert due(server) == (position(1), {WEB, A}, set())
    envoy.deaf.clear()
    await applying


async def test_what_is_refused_is_never_due(server: Served) -> None:
    envoy = await server.envoy()
    await server.apply(release(1, step(WEB, A)))
    first = server.unkept()
    assert first
    server.note_kept(first)
    envoy.refuses = {b"bad"}
    await server.apply(release(2, step(A2), step(resource(LISTENER, "web", b"bad"))))
    assert server.kept and server.unkept() is None
    await server.apply(release(3, step(B)))
    assert due(server) == (position(3), {B}, set())


async def test_another_state_at_a_position_that_was_kept_is_not_kept(server: Served) -> None:
    server.load(position(1), [WEB, A])
    envoy = await server.envoy()
    server.open()
    while not server.acknowledged:
        await server.changed()
    envoy.deaf.set()
    await server.apply(release(1, step(A2)))
    assert not server.kept and server.unkept() is None, "no Envoy has taken it"
    envoy.deaf.clear()
    while not server.acknowledged:
        await server.changed()
    assert not server.kept
    assert due(server) == (position(1), {A2}, set())
