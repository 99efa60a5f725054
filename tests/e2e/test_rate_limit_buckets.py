"""RateLimit's buckets: exact whoever comes however fast, and as full as they were whatever is edited or restarted."""

import asyncio
import itertools
import os
import random
import signal
import time
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.e2e import crowd
from tests.e2e.gateway import Gateway, gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")
TENANT = """'request.headers["x-tenant"]'"""
CALLERS = 50_000

FRAME = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
---
{kind: Api, name: things, paths: [/things], upstream: 'http://127.0.0.1:UPSTREAM'}
---
{kind: Api, name: known, paths: [/known], upstream: 'http://127.0.0.1:UPSTREAM'}
---
{kind: Public, name: things, target: {api: things}, reason: here only limits count}
---
{kind: Authenticate, name: known, target: {api: known}, any: [api_key]}
"""
CONSUMERS = "".join(f"---\n{{kind: Consumer, name: caller{i}}}\n" for i in range(5)).removeprefix("---\n")
RULE = "{kind: Authorize, name: rule, target: {api: things}, allow: request.method == 'METHOD'}\n"
OTHER = "{kind: Api, name: other, paths: [/other], upstream: 'http://127.0.0.1:UPSTREAM'}\n---\n"
OTHER += "{kind: Public, name: other, target: {api: other}, reason: here only limits count}\n"


def of_quarter(name: str, quarter: int) -> str:
    """A name that begins so, of a policy whose buckets lie in this quarter."""
    return next(one for i in itertools.count() if zlib.crc32((one := f"{name}-{i}").encode()) % 4 == quarter)


def limit(name: str, target: str, windows: str, per: str = TENANT, more: str = "") -> str:
    return f"---\n{{kind: RateLimit, name: {name}, target: {{{target}}}, per: {per}, tiers: [{{windows: [{windows}]}}]{more}}}\n"


FIRST, BESIDE, APART = of_quarter("first", 0), of_quarter("beside", 0), of_quarter("apart", 1)
FILES = {
    "consumers.yaml": CONSUMERS,
    "rule.yaml": RULE.replace("METHOD", "GET"),
    "known.yaml": limit("known", "api: known", "200/hour", "principal.id").removeprefix("---\n"),
    "crowd.yaml": limit("crowd", "paths: [/things/crowd]", "1/hour").removeprefix("---\n"),
    "first.yaml": limit(FIRST, "paths: [/things/first]", "2/hour").removeprefix("---\n"),
    "beside.yaml": limit(BESIDE, "paths: [/things/beside]", "2/hour").removeprefix("---\n"),
    "apart.yaml": limit(APART, "paths: [/things/apart]", "2/hour").removeprefix("---\n"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstream() -> AsyncIterator[int]:
    async with crowd.upstream() as port:
        yield port


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gw(tmp_path_factory: pytest.TempPathFactory, upstream: int) -> AsyncIterator[Gateway]:
    files = {"frame.yaml": FRAME.replace("UPSTREAM", str(upstream)), **FILES}
    async with gateway(tmp_path_factory.mktemp("buckets"), files) as made:
        yield made


async def _statuses(gw: Gateway, path: str, tenant: str, count: int) -> list[int]:
    return [(await gw.get(path, headers={"x-tenant": tenant})).status_code for _ in range(count)]


async def test_it_is_exact_for_each_of_several_callers_at_once(gw: Gateway) -> None:
    """Two workers, 40 connections, each with requests of all callers."""
    keys = [gw.new_key(f"caller{i}")[1] for i in range(5)]

    async def taken() -> bool:
        return all([(await gw.get("/known", headers={"x-api-key": key})).status_code == 200 for key in keys])

    await gw.eventually(taken)
    # Those were counted, and an edit of the limit makes them full again.
    await gw.edit("known.yaml", limit("known", "api: known", "100/hour", "principal.id").removeprefix("---\n"))
    requests = [crowd.written("/known", {"x-api-key": key}) for _ in range(400) for key in keys]
    random.seed(5)
    random.shuffle(requests)
    began = time.monotonic()
    found = await crowd.statuses(gw.port, requests, connections=40)
    grown = int((time.monotonic() - began) / 36)
    for key in keys:
        mine = [status for status, request in zip(found, requests, strict=True) if key.encode() in request]
        assert len(mine) == 400 and set(mine) == {200, 429}
        assert 100 <= mine.count(200) <= 100 + grown


async def test_fifty_thousand_callers_are_each_limited_and_none_is_forgotten(gw: Gateway) -> None:
    requests = [crowd.written("/things/crowd", {"x-tenant": f"tenant-{i}"}) for i in range(CALLERS)]
    assert set(await crowd.statuses(gw.port, requests, connections=8, ahead=50)) == {200}
    # The first of them are those that were away longest.
    again = [*requests[:5000], *requests[::10]]
    assert set(await crowd.statuses(gw.port, again, connections=16)) == {429}


async def _used_up(gw: Gateway, tenant: str) -> None:
    for path in ("/things/first", "/things/beside", "/things/apart"):
        assert await _statuses(gw, path, tenant, 3) == [200, 200, 429]


async def _left(gw: Gateway, tenant: str) -> set[str]:
    """The limits with room for this tenant. One that has room has one call less."""
    found = {name: (await _statuses(gw, f"/things/{name}", tenant, 1))[0] for name in ("first", "beside", "apart")}
    return {name for name, status in found.items() if status == 200}


async def test_an_edit_of_anything_else_refills_nothing(gw: Gateway, upstream: int) -> None:
    await _used_up(gw, "a")
    edits = {
        "rule.yaml": RULE.replace("METHOD", "GET").replace("name: rule", "name: rule, description: it says the same"),
        "consumers.yaml": CONSUMERS.replace("name: caller4", "name: caller4, disabled: true"),
        "other.yaml": OTHER.replace("UPSTREAM", str(upstream)),
        "cuts.yaml": "{kind: IpAccess, name: cut, target: {paths: [/things/first]}, deny: [192.0.2.0/24]}\n",
        "protect.yaml": "{kind: Protect, name: things, target: {api: things}, body: 1000}\n",
        "shadow.yaml": limit(of_quarter("another", 2), "api: things", "1/day", more=", mode: shadow").removeprefix("---\n"),
    }
    for name, text in edits.items():
        await gw.edit(name, text)
        assert not await _left(gw, "a"), name
    gw.new_key("caller0")
    for name in ("other.yaml", "cuts.yaml", "protect.yaml", "shadow.yaml"):
        (gw.files / name).unlink()
    for name in ("rule.yaml", "consumers.yaml"):
        await gw.edit(name, FILES[name])
    assert not await _left(gw, "a")


async def test_an_edit_of_a_limit_refills_its_own_quarter_at_most(gw: Gateway) -> None:
    await _used_up(gw, "b")
    await gw.edit("apart.yaml", FILES["apart.yaml"].replace("2/hour", "3/hour"))
    assert await _left(gw, "b") == {"apart"}
    await gw.edit("first.yaml", FILES["first.yaml"].replace("2/hour", "4/hour"))
    assert await _left(gw, "b") == {"first", "beside", "apart"}
    assert await _statuses(gw, "/things/first", "b", 4) == [200] * 3 + [429]
    assert await _statuses(gw, "/things/apart", "b", 2) == [200, 429]
    for name in ("apart.yaml", "first.yaml"):
        await gw.edit(name, FILES[name])


async def test_at_no_moment_of_an_edit_is_there_no_limit(gw: Gateway) -> None:
    """What shares a bucket is edited to and fro: the routes of the revision before count in the buckets of the next."""
    other = FILES["first.yaml"].replace(f"per: {TENANT}", f"per: [route, {TENANT}]")
    edited = FILES["first.yaml"].replace("2/hour", "3/hour")
    stop, found = asyncio.Event(), []

    async def load() -> None:
        while not stop.is_set():
            found.extend(await crowd.statuses(gw.port, [crowd.written("/things/first", {"x-tenant": "moved"})] * 20))

    tasks = [asyncio.create_task(load()) for _ in range(4)]
    for text in (other, edited, other, FILES["first.yaml"]) * 3:
        await gw.edit("first.yaml", text)
    stop.set()
    await asyncio.gather(*tasks)
    assert len(found) > 1000 and set(found) == {200, 429}
    assert found.count(200) <= 13 * 3 * 2


@pytest.mark.parametrize("which", ["bartizan.app", "bartizan.node"])
async def test_a_restart_refills_nothing(gw: Gateway, which: str) -> None:
    await _used_up(gw, which)
    os.kill(gw.pid(which), signal.SIGKILL)
    assert not await _left(gw, which)

    async def connected() -> bool:
        try:
            nodes = (await gw.status())["nodes"]
        except httpx.HTTPError:
            return False
        return bool(nodes) and all(node["connected"] and node["acknowledged"] for node in nodes)

    await gw.eventually(connected, 15)
    assert not await _left(gw, which)
    await gw.edit("rule.yaml", RULE.replace("METHOD", "GET").replace("name: rule", f"name: rule, description: after {which}"))
    assert not await _left(gw, which)


async def _status(gw: Gateway, path: str, tenant: str = "layers") -> int:
    return (await _statuses(gw, path, tenant, 1))[0]


async def test_limits_of_the_gateway_an_api_and_a_path_all_hold(gw: Gateway) -> None:
    """A narrower one can't widen what a wider one limits; a floor is one more that nobody takes away."""
    whole = limit(of_quarter("whole", 3), "", "6/hour", more=", floor: true").removeprefix("---\n")
    layers = whole + limit(of_quarter("api", 2), "api: things", "4/hour") + limit(of_quarter("path", 3), "paths: [/things/deep]", "2/hour")
    layers += limit(of_quarter("wide", 1), "paths: [/things/wide]", "1000/second")
    await gw.edit("layers.yaml", layers)
    assert [await _status(gw, "/things/deep") for _ in range(3)] == [200, 200, 429]
    # What the path's own limit refused counted in the wider ones that were asked before it: in those of an earlier quarter, and in
    # those of the same that refill more slowly.
    assert [await _status(gw, "/things/wide") for _ in range(3)] == [200, 429, 429]
    assert [await _status(gw, "/things", "other") for _ in range(5)] == [200] * 4 + [429]
    for weaker in (whole.replace("floor: true", "floor: true, mode: shadow"), whole.replace("target: {}", "target: {except: [/things]}")):
        told = await gw.edit("layers.yaml", weaker, enforced=False)
        assert "floor-weakened" in {one["code"] for one in told["refused"]}
    await gw.edit("layers.yaml", whole.replace("6/hour", "3/hour") + limit("narrow", "api: things", "100/second"))
    assert [await _status(gw, "/things", "floor") for _ in range(4)] == [200] * 3 + [429]
    (gw.files / "layers.yaml").unlink()
    await gw.until(lambda now: not now["pending"])


async def test_the_first_limit_and_the_last_come_and_go_without_a_failed_request(
    tmp_path_factory: pytest.TempPathFactory, upstream: int
) -> None:
    frame = FRAME.replace("UPSTREAM", str(upstream))
    only = limit("only", "paths: [/things/limited]", "2/hour").removeprefix("---\n")
    async with gateway(tmp_path_factory.mktemp("first"), {"frame.yaml": frame, "rule.yaml": RULE.replace("METHOD", "GET")}) as gw:
        stop, found = asyncio.Event(), []

        async def load() -> None:
            async with httpx.AsyncClient(base_url=gw.url) as client:
                while not stop.is_set():
                    found.append((await client.get("/things")).status_code)

        tasks = [asyncio.create_task(load()) for _ in range(4)]
        for i in range(5):
            await gw.edit("only.yaml", only)
            assert await _statuses(gw, "/things/limited", f"round-{i}", 3) == [200, 200, 429]
            await gw.edit("only.yaml", only.replace("name: only", "name: only, mode: disabled"))
            assert await _statuses(gw, "/things/limited", f"round-{i}", 3) == [200, 200, 200]
        stop.set()
        await asyncio.gather(*tasks)
        assert len(found) > 100 and set(found) == {200}
