"""RateLimit, end to end: who shares a bucket, which limit is whose, and what those are told who are refused."""

import asyncio
import itertools
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.e2e import crowd, http2
from tests.e2e.gateway import Gateway, TokenIssuer, free_port, gateway, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")
ISSUER = TokenIssuer()
TENANT = """'request.headers["x-tenant"]'"""

FRAME = """
kind: Gateway
name: edge
listeners:
  - {name: web, address: "127.0.0.1:{port}"}
  - {name: proxied, address: "127.0.0.1:PROXIED", trusted_proxies: [127.0.0.1]}
attributes: {plan: string, team: string}
---
kind: Api
name: things
paths: [/things]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Api
name: known
paths: [/known]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Api
name: east
hosts: [east.example]
paths: [/same]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Api
name: west
hosts: [west.example]
paths: [/same]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Consumer
name: gold
attributes: {plan: gold, team: red}
---
kind: Consumer
name: silver
attributes: {plan: silver, team: red}
---
kind: Consumer
name: plain
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [orders]
jwks: {file: jwks.json}
attributes: {team: team}
---
kind: Authenticate
name: callers
target: {api: known}
any: [api_key, {jwt: corp}]
---
kind: Public
name: strangers
reason: here only limits count
---
kind: Authorize
name: few
target: {api: known, paths: [/known/few]}
allow: principal.plan == "gold"
"""


def of_quarter(name: str, quarter: int) -> str:
    """A name that begins so, of a policy whose buckets lie in this quarter."""
    return next(one for i in itertools.count() if zlib.crc32((one := f"{name}-{i}").encode()) % 4 == quarter)


def limit(name: str, paths: str, per: str, tiers: str = "{windows: [2/hour]}", more: str = "") -> str:
    return f"---\nkind: RateLimit\nname: {name}\ntarget: {{paths: [{paths}]}}\nper: {per}\ntiers: [{tiers}]\n{more}\n"


TIERS = """
  {when: 'principal.plan == "gold"', windows: [4/hour]},
  {when: 'principal.plan == "silver"', windows: [6/hour]},
  {when: 'principal.plan != "gold"', windows: [1/hour]},
  {windows: [2/hour]}"""
POLICIES = "".join(
    [
        limit("header", "/things/header", TENANT),
        limit("method", "/things/method", "request.method"),
        limit("source", "/things/source", "source.ip"),
        limit("route", "/things/route, /things/route/deep", "route"),
        limit("elsewhere", "/things/route/deep/er", TENANT, "{windows: [1000/day]}"),
        limit("same", "/same", "route"),
        limit("id", "/known/id", "principal.id"),
        limit("key", "/known/key", "principal.key"),
        limit("team", "/known/team", "principal.team"),
        limit("id-method", "/known/id-method", "[principal.id, request.method]"),
        limit("source-header", "/things/source-header", f"[source.ip, {TENANT}]"),
        limit("header-header", "/things/two", f"[{TENANT}, 'request.headers[\"X-Other\"]']"),
        limit("tiers", "/known/tiers", "principal.id", TIERS),
        limit("windows", "/things/windows", TENANT, "{windows: [2/second, 5/hour]}"),
        limit("more-at-once", "/things/burst", TENANT, "{windows: [1/hour], burst: 5}"),
        limit("fewer-at-once", "/things/drip", TENANT, "{windows: [60/hour, 60/hour], burst: 2}"),
        limit("stranger", "/known/stranger, /known/few", "source.ip", "{windows: [2/hour]}"),
        limit("shadow", "/things/shadow", TENANT, more="mode: shadow"),
        limit(of_quarter("mixed-shadow", 1), "/things/mixed", TENANT, "{windows: [1/hour]}", "mode: shadow"),
        limit(of_quarter("mixed", 1), "/things/mixed", TENANT, "{windows: [3/hour]}"),
        limit("off", "/things/off", TENANT, more="mode: disabled"),
        limit(of_quarter("both", 0), "/things/apart, /things/two-told", TENANT, "{windows: [3/hour]}"),
        limit(of_quarter("both-beside", 1), "/things/apart, /things/two-told", "route", "{windows: [5/hour]}"),
        limit(of_quarter("together", 2), "/things/together", TENANT, "{windows: [3/hour]}"),
        limit(of_quarter("together-beside", 2), "/things/together", "route", "{windows: [5/hour]}"),
    ]
)


@dataclass
class World:
    gw: Gateway
    proxied: int
    keys: Mapping[str, str]

    def headers(self, who: str) -> dict[str, str]:
        """`gold`, `gold2`, ...: a key of that consumer; `token:SUBJECT:TEAM`: a token."""
        if not who.startswith("token:"):
            return {"x-api-key": self.keys[who]}
        _, subject, team = who.split(":")
        return {"authorization": f"Bearer {ISSUER.token(sub=subject, team=team or None)}"}

    async def statuses(self, path: str, count: int, **more: Any) -> list[int]:
        return [(await self.gw.get(path, **more)).status_code for _ in range(count)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder: Path = tmp_path_factory.mktemp("limits")
    proxied = free_port()
    with upstream() as port:
        (folder / "files").mkdir()
        (folder / "files" / "jwks.json").write_text(ISSUER.jwks())
        frame = FRAME.replace("UPSTREAM", str(port)).replace("PROXIED", str(proxied))
        async with gateway(folder, {"gateway.yaml": frame, "policies.yaml": POLICIES.removeprefix("---\n")}) as gw:
            keys = {name: gw.new_key(name.rstrip("2"))[1] for name in ("gold", "gold2", "silver", "plain")}

            async def taken() -> bool:
                answers = [await gw.get("/known", headers={"x-api-key": key}) for key in keys.values()]
                return {answer.status_code for answer in answers} == {200}

            await gw.eventually(taken)
            yield World(gw, proxied, keys)


# Who shares a bucket: each line is one bucket, of which two requests get through.
REQUESTS: dict[str, Sequence[Sequence[dict[str, Any]]]] = {
    "/things/header": [
        [{"headers": {"x-tenant": "x"}}, {"headers": {"X-Tenant": "x"}}],
        [{"headers": {"x-tenant": "y"}}],
        [{"headers": {"x-tenant": "a" * 256}}],
        [{"headers": {"x-tenant": b"\xff\xfe"}}],
        [{"headers": {"x-tenant": "%REQ(x)%"}}],
        # Without a value, and with one that isn't kept, for a caller could fill the memory with them.
        [{}, {"headers": {"x-tenant": ""}}, {"headers": {"x-tenant": "-"}}, *({"headers": {"x-tenant": one * 257}} for one in "ab")],
        # Of several the first counts.
        [{"headers": [("x-tenant", "t"), ("x-tenant", "u")]}, {"headers": {"x-tenant": "t"}}],
    ],
    "/things/method": [
        [{"method": "GET"}],
        [{"method": "HEAD"}],
        [{"method": "POST"}],
        [{"method": "DELETE"}],
        [{"method": "PROPFIND"}, {"method": "MKCOL"}, {"method": "PURGE"}],
    ],
    "/things/source": [
        [{"from": "192.0.2.1"}],
        [{"from": "192.0.2.2"}],
        [{"from": "::ffff:192.0.2.3"}, {"from": "::ffff:c000:203"}],
        [{"from": "::ffff:192.0.2.4"}],
        [{"from": "2001:db8::1"}, {"from": "2001:db8:0:0:ffff::1"}],
        [{"from": "2001:db8:0:1::1"}],
        [{"from": "::1"}, {"from": "::2"}],
    ],
    "/things/route": [
        [{}, {"path": "/things/route/x"}, {"path": "/things/route/deeper"}],
        [{"path": "/things/route/deep"}, {"path": "/things/route/deep/x"}, {"path": "/things/route/deep/er"}],
    ],
    "/same": [
        [{"headers": {"host": "east.example"}}, {"headers": {"host": "east.example"}, "path": "/same/x"}],
        [{"headers": {"host": "west.example"}}],
    ],
    "/things/source-header": [
        [{"from": "192.0.2.1", "headers": {"x-tenant": "x"}}],
        [{"from": "192.0.2.1", "headers": {"x-tenant": "y"}}],
        [{"from": "192.0.2.2", "headers": {"x-tenant": "x"}}],
        [{"from": "192.0.2.2"}],
        [{"from": "2001:db8::1"}, {"from": "2001:db8::2"}],
        [{"from": "2001:db8::1", "headers": {"x-tenant": "x"}}],
    ],
    "/things/two": [
        [{"headers": {"x-tenant": "x", "x-other": "y"}}],
        [{"headers": {"x-tenant": "y", "x-other": "x"}}],
        [{"headers": {"x-tenant": "x"}}],
        [{"headers": {"x-other": "x"}}],
        [{}],
    ],
    "/known/id": [
        [{"who": "gold"}, {"who": "gold2"}],
        [{"who": "silver"}],
        [{"who": "token:ines:red"}, {"who": "token:ines:"}],
        [{"who": "token:gold:"}],
    ],
    "/known/key": [
        [{"who": "gold"}],
        [{"who": "gold2"}],
        [{"who": "token:ines:"}, {"who": "token:jan:"}],  # without a key
    ],
    "/known/team": [
        [{"who": "gold"}, {"who": "silver"}, {"who": "token:ines:red"}],
        [{"who": "token:ines:blue"}, {"who": "token:jan:blue"}],
        [{"who": "plain"}, {"who": "token:ines:"}, {"who": "token:jan:"}],
    ],
    "/known/id-method": [
        [{"who": "gold"}, {"who": "gold2"}],
        [{"who": "gold", "method": "POST"}],
        [{"who": "silver"}],
        [{"who": "silver", "method": "POST"}],
    ],
}


async def _send(world: World, path: str, one: Mapping[str, Any]) -> int:
    base = f"http://127.0.0.1:{world.proxied}" if "from" in one else world.gw.url
    headers = httpx.Headers(one.get("headers"))
    headers.update(({"x-forwarded-for": one["from"]} if "from" in one else {}) | (world.headers(one["who"]) if "who" in one else {}))
    return (await world.gw.request(one.get("method", "GET"), base + one.get("path", path), headers=headers)).status_code


@pytest.mark.parametrize("path", REQUESTS)
async def test_each_has_a_bucket_and_no_more_than_one(world: World, path: str) -> None:
    for i in range(4):
        for shared in REQUESTS[path]:
            status = await _send(world, path, shared[i % len(shared)])
            assert (status == 429) == (i >= 2), (i, shared)
    for shared in REQUESTS[path]:
        for one in shared:
            assert await _send(world, path, one) == 429, one


async def test_each_listener_counts_for_itself(world: World) -> None:
    tenant = {"headers": {"x-tenant": "both"}}
    here = [await _send(world, "/things/header", tenant) for _ in range(3)]
    there = [await _send(world, "/things/header", {**tenant, "from": "127.0.0.1"}) for _ in range(3)]
    assert here == there == [200, 200, 429]


async def test_forty_callers_in_turn_are_each_limited(world: World) -> None:
    """Envoy remembers twenty unless told otherwise."""
    for status in (200, 200, 429, 429):
        answers = [await _send(world, "/things/header", {"headers": {"x-tenant": f"turn-{i}"}}) for i in range(40)]
        assert set(answers) == {status}


@pytest.mark.parametrize(("who", "allowed"), [("gold", 4), ("silver", 6), ("plain", 2), ("token:ines:red", 2)])
async def test_the_first_tier_that_holds_is_the_only_one(world: World, who: str, allowed: int) -> None:
    """Gold isn't held to silver's tier nor to the last; who has no plan is neither gold nor other than gold."""
    found = await world.statuses("/known/tiers", allowed + 2, headers=world.headers(who))
    assert found == [200] * allowed + [429] * 2


async def _at_once(world: World, path: str, tenant: str, count: int) -> list[int]:
    return await crowd.statuses(world.gw.port, [crowd.written(path, {"x-tenant": tenant})] * count)


async def test_all_windows_hold(world: World) -> None:
    path = "/things/windows"
    assert await _at_once(world, path, "a", 3) == [200, 200, 429]
    assert await _at_once(world, path, "b", 2) == [200, 200]
    for last_of_a, last_of_b in (([200, 200], [200, 200]), ([429], [200, 429])):
        await asyncio.sleep(1.1)
        # A call that the second refused counted in the hour.
        assert await _at_once(world, path, "a", len(last_of_a)) == last_of_a
        assert await _at_once(world, path, "b", len(last_of_b)) == last_of_b
    refused = await world.gw.get(path, headers={"x-tenant": "b"})
    assert 600 < int(refused.headers["retry-after"]) <= 720  # a fifth of an hour


async def test_so_many_may_come_at_once(world: World) -> None:
    assert await _at_once(world, "/things/burst", "a", 7) == [200] * 5 + [429] * 2
    assert await _at_once(world, "/things/drip", "a", 4) == [200] * 2 + [429] * 2


async def test_a_served_caller_is_told_what_is_left(world: World) -> None:
    for left in ("1", "0"):
        answer = await world.gw.get("/things/header", headers={"x-tenant": "told"})
        assert answer.status_code == 200 and "retry-after" not in answer.headers
        assert (answer.headers["x-ratelimit-limit"], answer.headers["x-ratelimit-remaining"]) == ("2", left)
        assert (int(answer.headers["x-ratelimit-reset"]) == 0) == (left == "1")
    several = await world.gw.get("/things/two-told", headers={"x-tenant": "told"})
    assert set(several.headers.get_list("x-ratelimit-limit")) == {"3", "5"}  # policies of two quarters


async def test_a_refused_caller_is_told_when_to_come_back(world: World) -> None:
    headers = {"x-tenant": "refused"}
    await world.statuses("/things/header", 2, headers=headers)
    for method in ("GET", "HEAD", "POST"):
        answer = await world.gw.request(method, "/things/header", headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (429, "application/problem+json")
        assert 1700 < int(answer.headers["retry-after"]) <= 1800  # half an hour
        told = {name: answer.headers.get_list(name) for name in ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")}
        assert list(told.values()) == [["2"], ["0"], [answer.headers["retry-after"]]]
        if method == "HEAD":
            assert answer.content == b""
        else:
            assert answer.json()["type"] == "urn:bartizan:problem:too-many-requests"
        assert (await world.gw.record(answer))["details"] == "local_rate_limited"


async def test_grpc_is_told_in_its_own_way(world: World) -> None:
    more = (("content-type", "application/grpc"), ("te", "trailers"), ("x-tenant", "grpc"))
    sent = http2.request("POST", "/things/header", "a", *more)
    answers = [await http2.send(world.gw.port, sent, b"\0\0\0\0\0") for _ in range(3)]
    assert "grpc-status" not in answers[1].headers
    assert (answers[2].status, answers[2].headers["grpc-status"]) == (200, "8")
    assert int(answers[2].headers["retry-after"]) > 0


async def test_whom_others_refuse_uses_up_nothing(world: World) -> None:
    assert await world.statuses("/known/stranger", 5) == [401] * 5
    assert await world.statuses("/known/stranger", 5, headers={"x-api-key": "bz_wrong"}) == [401] * 5
    assert await world.statuses("/known/few", 5, headers=world.headers("silver")) == [403] * 5
    assert await world.statuses("/known/stranger", 3, headers=world.headers("silver")) == [200, 200, 429]


async def test_in_shadow_it_counts_and_refuses_nobody(world: World) -> None:
    async def refused() -> int:
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"http://127.0.0.1:{world.gw.admin}/metrics")).text
        lines = [line for line in text.splitlines() if line.startswith("envoy_http_local_rate_limit_shadow_mode{")]
        return sum(int(line.split()[-1]) for line in lines)

    before = await refused()
    answers = [await world.gw.get("/things/shadow", headers={"x-tenant": "x"}) for _ in range(6)]
    assert {answer.status_code for answer in answers} == {200}
    assert not [name for name in answers[-1].headers if "ratelimit" in name or name == "retry-after"]
    assert await refused() - before == 4


async def test_a_limit_in_shadow_takes_nothing_from_one_beside_it(world: World) -> None:
    assert await world.statuses("/things/mixed", 5, headers={"x-tenant": "x"}) == [200] * 3 + [429] * 2


async def test_one_that_is_disabled_does_nothing(world: World) -> None:
    answers = [await world.gw.get("/things/off", headers={"x-tenant": "x"}) for _ in range(5)]
    assert {answer.status_code for answer in answers} == {200}
    assert "x-ratelimit-limit" not in answers[-1].headers


@pytest.mark.parametrize("path", ["/things/apart", "/things/together"])
async def test_two_limits_on_one_route_both_hold(world: World, path: str) -> None:
    """Whether in one quarter or in two: three for each tenant, and five in all."""
    assert await world.statuses(path, 3, headers={"x-tenant": "x"}) == [200] * 3
    assert await world.statuses(path, 3, headers={"x-tenant": "y"}) == [200, 200, 429]
    assert await world.statuses(path, 1, headers={"x-tenant": "x"}) == [429]
