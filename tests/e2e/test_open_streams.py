"""Open streams of callers whose key is revoked, or who are blocked or removed, end within five seconds, and no other one does."""

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.e2e.gateway import Gateway, TokenIssuer, free_port, upstream
from tests.e2e.test_admin import Admin, administered
from tests.e2e.test_blocks import block, until

WITHIN_S = 5.0

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
api_keys: {headers: [x-api-key]}
---
kind: Api
name: live
paths: [/live, /other, /test.Echo]
upstream: http://127.0.0.1:UPSTREAM
websocket: true
timeout: 0s
---
kind: Api
name: stripped
paths: [/v1/stripped]
strip_path: true
upstream: http://127.0.0.1:UPSTREAM
timeout: 0s
---
kind: Api
name: echo
paths: [/test.Echo]
hosts: [grpc.example.com]
upstream: {endpoints: [{url: "http://127.0.0.1:GRPC"}], protocol: h2}
timeout: 0s
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [orders]
jwks: JWKS
---
kind: Authenticate
name: callers
any: [api_key, {jwt: corp}]
"""
PEOPLE = """
kind: Consumer
name: acme
ACME
---
kind: Consumer
name: globex
"""


async def _both_ways(requests: AsyncIterator[bytes], _: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request.upper()


@dataclass
class Opened:
    """A stream that is open, and goes on as long as it is let."""

    task: asyncio.Task[None]

    @property
    def goes_on(self) -> bool:
        return not self.task.done()

    async def ends(self, seconds: float = WITHIN_S) -> float:
        """After how many seconds it has ended."""
        began = time.monotonic()
        await asyncio.wait([self.task], timeout=seconds)
        assert self.task.done(), f"it goes on after {seconds} s"
        return time.monotonic() - began


class Streams:
    """Opens streams."""

    def __init__(self, gw: Gateway) -> None:
        self.gw = gw
        self.client = httpx.AsyncClient(base_url=gw.url, timeout=60, limits=httpx.Limits(max_connections=None))
        self.all: list[Opened] = []

    async def _opened(self, work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> Opened:
        flows = asyncio.Event()
        made = Opened(asyncio.create_task(work(flows)))
        self.all.append(made)
        waiting = asyncio.create_task(flows.wait())
        await asyncio.wait([waiting, made.task], timeout=10, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        assert flows.is_set(), made.task.exception() if made.task.done() else "it doesn't flow"
        return made

    async def sse(self, path: str = "/live", **headers: str) -> Opened:
        async def work(flows: asyncio.Event) -> None:
            with contextlib.suppress(httpx.TransportError):
                async with self.client.stream("GET", f"{path}/events?n=600", headers=headers) as answer:
                    assert answer.status_code == 200
                    async for _ in answer.aiter_bytes():
                        flows.set()

        return await self._opened(work)

    async def socket(self, *, quiet: bool = False, **headers: str) -> Opened:
        async def work(flows: asyncio.Event) -> None:
            with contextlib.suppress(ConnectionClosed):
                async with connect(f"ws://127.0.0.1:{self.gw.port}/live/socket", additional_headers=headers, ping_interval=None) as socket:
                    while True:
                        await socket.send("hello")
                        assert await socket.recv() == "hello"
                        flows.set()
                        if quiet:
                            await socket.recv()
                        await asyncio.sleep(0.1)

        return await self._opened(work)

    async def grpc(self, **headers: str) -> Opened:
        async def work(flows: asyncio.Event) -> None:
            options = [("grpc.use_local_subchannel_pool", 1), ("grpc.default_authority", "grpc.example.com")]
            async with grpc.aio.insecure_channel(f"127.0.0.1:{self.gw.port}", options=options) as channel:
                call = channel.stream_stream("/test.Echo/Both")(metadata=tuple(headers.items()))
                with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    while True:
                        await call.write(b"one")
                        if await call.read() != b"ONE":
                            return
                        flows.set()
                        await asyncio.sleep(0.1)

        return await self._opened(work)

    async def close(self) -> None:
        for one in self.all:
            one.task.cancel()
        await asyncio.gather(*(one.task for one in self.all), return_exceptions=True)
        await self.client.aclose()


@dataclass
class World:
    """A gateway with two consumers that have a key each."""

    admin: Admin
    streams: Streams
    issuer: TokenIssuer
    acme: str
    globex: str
    acme_id: str

    @property
    def gw(self) -> Gateway:
        return self.admin.gw

    async def of_each_kind(self, **headers: str) -> list[Opened]:
        made = self.streams
        return [
            await made.sse(**headers),
            await made.socket(**headers),
            await made.socket(quiet=True, **headers),
            await made.grpc(**headers),
        ]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    server, port, issuer = grpc.aio.server(), free_port(), TokenIssuer()
    handlers = {"Both": grpc.stream_stream_rpc_method_handler(_both_ways)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    with upstream() as echo:
        text = FILES.replace("UPSTREAM", str(echo)).replace("GRPC", str(port)).replace("JWKS", json.dumps({"keys": [issuer.jwk()]}))
        async with administered(tmp_path, {"all.yaml": text, "people.yaml": PEOPLE.replace("ACME", "")}) as admin:
            admin.ann = await admin.token(admin.first, "ann", "admin")  # type: ignore[attr-defined]
            gw = admin.gw
            (ident, acme), (_, globex) = gw.new_key("acme"), gw.new_key("globex")
            streams = Streams(gw)
            for key in (acme, globex):
                await until(gw, 200, path="/live", **{"x-api-key": key})
            try:
                yield World(admin, streams, issuer, acme, globex, ident)
            finally:
                await streams.close()
    await server.stop(None)


async def _revoked(world: World) -> None:
    world.gw.revoke(world.acme_id)


async def _key_blocked(world: World) -> None:
    await block(world.admin, "key", world.acme_id)


async def _consumer_blocked(world: World) -> None:
    await block(world.admin, "consumer", "acme")


async def _disabled(world: World) -> None:
    await world.gw.edit("people.yaml", PEOPLE.replace("ACME", "disabled: true"))


async def _removed(world: World) -> None:
    await world.gw.edit("people.yaml", PEOPLE.rpartition("---")[2])


@pytest.mark.parametrize("how", [_revoked, _key_blocked, _consumer_blocked, _disabled, _removed])
async def test_each_kind_of_stream_ends_and_anothers_goes_on(world: World, how: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    theirs, others = [await world.of_each_kind(**{"x-api-key": key}) for key in (world.acme, world.globex)]
    token = await world.streams.sse(authorization=f"Bearer {world.issuer.token()}")
    await asyncio.sleep(2.5)
    assert all(one.goes_on for one in (*theirs, *others, token))
    await how(world)
    took = await asyncio.gather(*(one.ends() for one in theirs))
    print(f"ended after {min(took):.2f} to {max(took):.2f} s")
    await asyncio.sleep(2.5)
    assert all(one.goes_on for one in (*others, token))
    assert [node["error"] for node in (await world.gw.status())["nodes"]] == [None]


async def test_a_stream_that_was_just_opened_ends_too(world: World) -> None:
    streams = [await world.streams.sse(**{"x-api-key": world.acme}) for _ in range(3)]
    await _revoked(world)
    await asyncio.gather(*(one.ends() for one in streams))


async def test_a_blocked_path_ends_what_flows_there_and_below(world: World) -> None:
    key = {"x-api-key": world.acme}
    theirs = [await world.streams.sse("/live", **key), await world.streams.sse("/live/a/b", **key), await world.streams.socket(**key)]
    stripped, other = await world.streams.sse("/v1/stripped/live", **key), await world.streams.sse("/other/live", **key)
    await block(world.admin, "path", "/live")
    await asyncio.gather(*(one.ends() for one in theirs))
    await asyncio.sleep(2.5)
    assert other.goes_on
    assert stripped.goes_on, "what the upstream calls the path is none of the block's matter"
    await block(world.admin, "path", "/v1/stripped")
    await stripped.ends()
    assert other.goes_on


async def test_a_blocked_address_and_a_blocked_principal_of_a_token(world: World) -> None:
    ines, bob = [await world.streams.sse(authorization=f"Bearer {world.issuer.token(sub=sub)}") for sub in ("ines", "bob")]
    await block(world.admin, "consumer", "https://idp.example.com|ines")
    await ines.ends()
    await asyncio.sleep(2.5)
    assert bob.goes_on
    await block(world.admin, "ip", "192.0.2.0/24")
    await asyncio.sleep(2.5)
    assert bob.goes_on
    await block(world.admin, "ip", "127.0.0.0/8")
    await bob.ends()


async def test_of_two_hundred_streams_those_of_the_revoked_end(world: World) -> None:
    keys = [world.acme if i % 2 else world.globex for i in range(200)]
    streams = await asyncio.gather(*(world.streams.sse(**{"x-api-key": key}) for key in keys))
    await asyncio.sleep(2.2)
    await _revoked(world)
    began = time.monotonic()
    await asyncio.gather(*(one.ends() for one, key in zip(streams, keys, strict=True) if key == world.acme))
    print(f"a hundred streams ended within {time.monotonic() - began:.2f} s")
    await asyncio.sleep(3)
    assert all(one.goes_on for one, key in zip(streams, keys, strict=True) if key == world.globex)
    assert (world.gw.state / "records" / "open.jsonl").stat().st_size < 1 << 20


@pytest.mark.parametrize("what", ["bartizan.node", "bartizan.app"])
async def test_a_crash_neither_cuts_streams_nor_saves_them(world: World, what: str) -> None:
    theirs, other = [await world.streams.sse(**{"x-api-key": key}) for key in (world.acme, world.globex)]
    await asyncio.sleep(2.2)
    os.kill(world.gw.pid(what), signal.SIGKILL)
    await _revoked(world)
    await theirs.ends(12)
    await asyncio.sleep(3)
    assert other.goes_on


async def test_each_request_has_one_record_however_long_it_took(world: World) -> None:
    answer = await world.streams.client.get("/live/events?n=45", headers={"x-api-key": world.acme})
    record = await world.gw.record(answer)
    assert record["duration_ms"] > 4000
    await asyncio.sleep(0.5)
    assert [one["request_id"] for one in world.gw.records()].count(answer.headers["x-request-id"]) == 1


async def test_a_key_that_expires_takes_its_streams_along(world: World) -> None:
    expires = time.time() + 5
    _, key = world.gw.new_key("acme", expires=expires)
    await until(world.gw, 200, path="/live", **{"x-api-key": key})
    theirs, others = [await world.streams.sse(**{"x-api-key": one}) for one in (key, world.acme)]
    await theirs.ends(expires - time.time() + WITHIN_S)
    assert time.time() >= expires
    await asyncio.sleep(2.5)
    assert others.goes_on
