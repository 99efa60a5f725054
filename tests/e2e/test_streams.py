"""Streams: events come as they are sent, WebSockets where enabled, gRPC both ways, and an aborted stream never leaks a byte to another."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.e2e.gateway import Gateway, free_port, gateway, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")
ABORTED = 1000

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
blocking: {attempts: 1000000}
---
kind: Api
name: live
paths: [/live]
upstream: http://127.0.0.1:UPSTREAM
websocket: true
timeout: 0s
---
kind: Api
name: plain
paths: [/plain]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Api
name: echo
paths: [/test.Echo]
upstream: {endpoints: [{url: "http://127.0.0.1:GRPC"}], protocol: h2}
timeout: 0s
---
kind: Consumer
name: acme
---
kind: Authenticate
name: callers
any: [api_key]
"""


async def _unary(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    metadata = {key: value for key, value in context.invocation_metadata() or ()}
    return request + b"|" + json.dumps(sorted(metadata)).encode()


async def _both_ways(requests: AsyncIterator[bytes], _: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request.upper()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gw(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    server, port = grpc.aio.server(), free_port()
    handlers = {"Unary": grpc.unary_unary_rpc_method_handler(_unary), "Both": grpc.stream_stream_rpc_method_handler(_both_ways)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    with upstream() as echo:
        text = FILES.replace("UPSTREAM", str(echo)).replace("GRPC", str(port))
        async with gateway(tmp_path_factory.mktemp("streams"), {"all.yaml": text}) as made:
            _, key = made.new_key("acme")
            made.client.headers["x-api-key"] = key

            async def known() -> bool:
                return (await made.get("/plain")).status_code == 200

            await made.eventually(known)
            yield made
    await server.stop(None)


async def test_events_come_as_they_are_sent(gw: Gateway) -> None:
    arrived = []
    async with gw.client.stream("GET", "/live/events?n=5&tag=e") as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            if line:
                arrived.append((time.monotonic(), line))
    assert [line for _, line in arrived] == [f"data: e{i}" for i in range(5)]
    assert arrived[-1][0] - arrived[0][0] > 0.25, "the events were held back and came together"


async def test_a_websocket_where_it_is_enabled_and_only_for_who_may(gw: Gateway) -> None:
    url, key = f"ws://127.0.0.1:{gw.port}", str(gw.client.headers["x-api-key"])
    async with connect(f"{url}/live/socket", additional_headers={"x-api-key": key}) as socket:
        for text in ("hello", "again"):
            await socket.send(text)
            assert await asyncio.wait_for(socket.recv(), 3) == text
    for path, headers, status in (
        ("/live/socket", {}, 401),
        ("/live/socket", {"x-api-key": "bz_wrong"}, 401),
        ("/plain/socket", {"x-api-key": key}, 403),
    ):
        with pytest.raises(InvalidStatus) as caught:
            async with connect(url + path, additional_headers=headers):
                pass
        assert caught.value.response.status_code == status, path


async def test_grpc_passes_and_a_refusal_is_grpcs_own(gw: Gateway) -> None:
    key = (("x-api-key", str(gw.client.headers["x-api-key"])),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{gw.port}") as channel:
        unary = channel.unary_unary("/test.Echo/Unary")
        said, _, seen = (await unary(b"hello", metadata=key)).partition(b"|")
        assert said == b"hello"
        assert not [name for name in json.loads(seen) if name.startswith(("x-bartizan", "x-api-key"))]
        call = channel.stream_stream("/test.Echo/Both")(metadata=key)
        for text in (b"one", b"two"):
            await call.write(text)
            assert await call.read() == text.upper()
        await call.done_writing()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await unary(b"hello")
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.aio.AioRpcError) as missing:
            await channel.unary_unary("/test.Nothing/Here")(b"x", metadata=key)
        assert missing.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_aborted_streams_never_leak_a_byte_to_another_caller(gw: Gateway) -> None:
    async def aborted(mark: str) -> None:
        async with gw.client.stream("GET", f"/live/events?n=50&tag={mark}-") as answer:
            async for _ in answer.aiter_bytes():
                return

    async def whole(mark: str) -> None:
        body = f"{mark}:" * 200
        answer = await gw.request("POST", f"/live/{mark}", content=body)
        assert answer.status_code == 200
        assert answer.json()["body"] == body
        assert answer.json()["path"] == f"/live/{mark}"
        events = (await gw.get(f"/live/events?n=1&tag={mark}-")).text
        assert events == f"data: {mark}-0\n\n"

    for _ in range(ABORTED // 50):
        await asyncio.gather(*(aborted(secrets.token_hex(8)) for _ in range(50)), *(whole(secrets.token_hex(8)) for _ in range(8)))
