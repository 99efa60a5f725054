"""Protect, end to end: sizes, times, what is hidden and added, with and without a declared policy."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import websockets

from tests.e2e.gateway import Gateway, gateway, upstream

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:UPSTREAM
websocket: true
---
kind: Api
name: plain
paths: [/plain]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Public
name: open
target: {except: [/orders/closed]}
reason: here only sizes are looked at
---
kind: Authenticate
name: closed
target: {api: orders, paths: [/orders/closed]}
any: [api_key]
"""

POLICIES = """
kind: Protect
name: orders
target: {api: orders}
body: 1000
hide: [server, x-backend]
security_headers: {x-frame-options: SAMEORIGIN, x-percent: "100%"}
concurrency: {requests: 2}
---
kind: Protect
name: uploads
target: {api: orders, paths: [/orders/uploads]}
body: 0
"""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gw(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("protect")
    with upstream() as port:
        async with gateway(folder, {"gateway.yaml": FILES.replace("UPSTREAM", str(port)), "policies.yaml": POLICIES}) as made:
            yield made


async def _chunks(count: int, size: int = 100) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"a" * size
        await asyncio.sleep(0)


def _told(answer: httpx.Response, status: int, kind: str) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:bartizan:problem:{kind}"


async def test_a_body_may_be_so_large_and_no_larger(gw: Gateway) -> None:
    assert len((await gw.request("POST", "/orders", content=b"a" * 1000)).json()["body"]) == 1000
    _told(await gw.request("POST", "/orders", content=b"a" * 1001), 413, "body-too-large")
    assert len((await gw.request("POST", "/orders", content=_chunks(10))).json()["body"]) == 1000
    _told(await gw.request("POST", "/orders", content=_chunks(11)), 413, "body-too-large")


async def test_a_stranger_is_told_nothing_of_sizes(gw: Gateway) -> None:
    _told(await gw.request("POST", "/orders/closed", content=b"a" * 2000), 401, "unauthenticated")


async def test_the_nearest_policy_applies_and_the_fallback_elsewhere(gw: Gateway) -> None:
    large = 11 * 1024 * 1024
    answer = await gw.request("POST", "/orders/uploads", content=_chunks(large // 65536, 65536))
    assert len(answer.json()["body"]) == large
    refused = await gw.raw(f"POST /plain HTTP/1.1\r\nhost: a\r\ncontent-length: {large}\r\n\r\n".encode())
    assert refused.startswith(b"HTTP/1.1 413 ")
    assert (await gw.request("POST", "/plain", content=b"a" * 1001)).status_code == 200


async def test_bodies_are_not_buffered(gw: Gateway) -> None:
    """The upstream has a request before the caller has sent all of it."""
    head = b"GET /plain/events?n=1 HTTP/1.1\r\nhost: a\r\ncontent-length: 500\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", gw.port)
    writer.write(head + b"a" * 10)
    async with asyncio.timeout(3):
        assert b" 200 " in await reader.readline()
    writer.close()


async def test_a_websocket_carries_more_than_a_body_may(gw: Gateway) -> None:
    async with websockets.connect(f"ws://127.0.0.1:{gw.port}/orders/socket") as socket:
        for _ in range(5):
            await socket.send("a" * 900)
            assert await socket.recv() == "a" * 900


async def test_a_request_that_only_pretends_to_be_a_websocket_is_counted(gw: Gateway) -> None:
    _told(await gw.request("POST", "/orders", content=b"a" * 1001, headers={"upgrade": "websocket"}), 413, "body-too-large")


async def test_headers_may_be_so_large_and_so_many(gw: Gateway) -> None:
    _told(await gw.get("/plain", headers={"x-a": "a" * 30_000, "x-b": "a" * 32_000}), 431, "headers-too-large")
    _told(await gw.get("/plain", headers=[(f"x-{i}", "a") for i in range(101)]), 431, "headers-too-large")
    assert (await gw.get("/plain", headers=[(f"x-{i}", "a") for i in range(80)])).status_code == 200


async def test_a_url_may_be_so_long(gw: Gateway) -> None:
    assert (await gw.get("/plain?" + "a" * 8000)).status_code == 200
    _told(await gw.get("/plain?" + "a" * 8200), 414, "url-too-long")
    _told(await gw.get("/plain/" + "a" * 8200), 414, "url-too-long")


async def test_what_tells_of_the_upstream_is_taken_out(gw: Gateway) -> None:
    leaks = '{"x-powered-by": "PHP/5.3", "x-backend": "db7", "x-runtime": "0.1"}'
    answer = await gw.get("/plain", headers={"x-answer-headers": leaks})
    assert not {"server", "x-powered-by", "x-runtime"} & set(answer.headers)
    answer = await gw.get("/orders", headers={"x-answer-headers": leaks})
    assert not {"server", "x-backend"} & set(answer.headers)
    assert not {"server"} & set((await gw.get("/nowhere")).headers)


async def test_security_headers_are_added_and_the_upstreams_own_kept(gw: Gateway) -> None:
    answer = await gw.get("/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    own = '{"x-frame-options": "SAMEORIGIN", "x-content-type-options": "off"}'
    answer = await gw.get("/plain", headers={"x-answer-headers": own})
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert answer.headers["x-content-type-options"] == "nosniff"
    answer = await gw.get("/orders")
    assert answer.headers["x-percent"] == "100%"
    refused = await gw.get("/orders/closed")
    assert refused.status_code == 401
    assert refused.headers["x-frame-options"] == "SAMEORIGIN"


async def test_an_upstream_is_given_so_much_at_once(gw: Gateway) -> None:
    async def one() -> int:
        return (await gw.get("/orders/events?n=10")).status_code

    held = [asyncio.create_task(one()) for _ in range(2)]
    await asyncio.sleep(0.4)
    _told(await gw.get("/orders"), 503, "overloaded")
    assert (await gw.get("/plain")).status_code == 200
    assert await asyncio.gather(*held) == [200, 200]
    assert (await gw.get("/orders")).status_code == 200


async def test_odd_paths_and_headers_are_refused_whatever_is_declared(gw: Gateway) -> None:
    for path in ("/plain;a=1", "/plain/a;b/c", "/plain%2fa", "/plain/%2561"):
        assert (await gw.raw(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())).startswith(b"HTTP/1.1 400 "), path
    assert (await gw.raw(b"GET /plain HTTP/1.1\r\nhost: a\r\nx_a: 1\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


async def test_a_policy_of_the_gateway_bounds_what_comes_first(gw: Gateway) -> None:
    whole = "\n---\nkind: Protect\nname: all\nurl: 256\nheaders: {size: 4KiB, count: 20}\ntimeouts: {headers: 500ms, request: 1s}\n"
    await gw.edit("policies.yaml", POLICIES + whole)

    async def shorter() -> bool:
        async with httpx.AsyncClient(base_url=gw.url) as client:
            return (await client.get("/plain?" + "a" * 300)).status_code == 414 and (
                await client.get("/plain", headers={"x-a": "a" * 5000})
            ).status_code == 431

    await gw.eventually(shorter)
    slow = await gw.raw(b"GET /plain HTTP/1.1\r\nhost: a\r\n", read_s=3)
    assert slow.startswith(b"HTTP/1.1 408 ")
    assert b"urn:bartizan:problem:too-slow" in slow
    reader, writer = await asyncio.open_connection("127.0.0.1", gw.port)
    writer.write(b"POST /plain HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\n")
    answer = b""
    with contextlib.suppress(ConnectionError):
        for _ in range(30):
            writer.write(b"a")
            await asyncio.sleep(0.1)
            with contextlib.suppress(TimeoutError):
                answer += await asyncio.wait_for(reader.read(4096), 0.01)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    told = await gw.edit("policies.yaml", POLICIES + whole.replace("name: all", "name: all\ntarget: {api: plain}"), enforced=False)
    assert {one["code"] for one in told["refused"]} == {"protect-gateway-wide"}
    await gw.edit("policies.yaml", POLICIES)
