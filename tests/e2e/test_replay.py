"""Replay: the active revision agrees with itself on all that happened, and a candidate's changes are shown just as they are."""

import asyncio
import json
import os
import pty
import re
import shutil
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.certificates import Pair, authority
from tests.e2e.gateway import Gateway, TokenIssuer, free_port, gateway, upstream

ISSUER = TokenIssuer()
WEB, PARTNERS = authority("Web"), authority("Partners")
ACME, STRANGER = PARTNERS.client("spiffe://corp/acme"), PARTNERS.client("spiffe://corp/stranger")
SAFE = free_port()

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}, {name: safe, address: "127.0.0.1:SAFE"}]
attributes: {plan: string, level: number, staff: bool, regions: list, unasked: string}
api_keys: {headers: [x-api-key], cookies: [session]}
blocking: {exempt: [127.0.0.0/8]}
---
{kind: Api, name: orders, paths: [/orders, /v1/orders], methods: [GET, POST, DELETE], upstream: "http://127.0.0.1:UPSTREAM"}
---
{kind: Api, name: reports, hosts: [reports.example.com], paths: [/reports], upstream: "http://127.0.0.1:UPSTREAM"}
---
{kind: Api, name: old, paths: [/old], strip_path: true, upstream: "http://127.0.0.1:UPSTREAM"}
---
{kind: Api, name: chat, paths: [/chat], websocket: true, upstream: "http://127.0.0.1:UPSTREAM"}
---
{kind: Consumer, name: acme, groups: [ops, 'a"b'], attributes: {plan: gold, level: 7, staff: true, regions: [eu, us], unasked: there},
 credentials: [{certificate: {ca: partners, san: spiffe://corp/acme}}]}
---
{kind: Consumer, name: globex, attributes: {plan: free, level: 2.5}}
---
{kind: Consumer, name: gone, attributes: {plan: gold}, disabled: true}
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [orders]
jwks: {file: jwks.json}
attributes: {plan: tier, level: lvl, staff: staff, regions: regions}
groups: roles
"""

POLICIES = """
{kind: Tls, name: safe, target: {listener: safe}, certificate: web.pem, private_key: {file: web.key}, client_cas: {partners: partners.pem}}
---
{kind: Authenticate, name: callers, target: {api: orders, except: [/orders/health]}, any: [api_key, {jwt: corp}, {mtls: partners}]}
---
{kind: Authenticate, name: people, target: {api: reports}, any: [{jwt: corp}]}
---
{kind: Authenticate, name: veterans, target: {api: old}, any: [api_key]}
---
{kind: Authorize, name: old-gold, target: {api: old, paths: [/old/gold]}, allow: principal.plan == "gold"}
---
{kind: Authenticate, name: talkers, target: {api: chat}, any: [api_key]}
---
{kind: Public, name: health, target: {api: orders, paths: [/orders/health]}, reason: the load balancer has no credentials}
---
{kind: Cors, name: pages, target: {api: orders, paths: [/orders/pages]}, origins: [https://shop.example.com]}
---
{kind: Authorize, name: refunds, target: {api: orders, methods: [POST], paths: [/orders/refunds]},
 allow: principal.plan == "gold" && principal.level >= 5}
---
{kind: Authorize, name: europe, target: {api: orders, paths: [/orders/eu]}, allow: '"eu" in principal.regions && principal.staff'}
---
{kind: Authorize, name: operators, target: {api: orders, paths: [/orders/ops]}, allow: '"ops" in principal.groups'}
---
{kind: Authorize, name: people-only, target: {api: orders, paths: [/orders/device]}, allow: device.type != "bot"}
---
{kind: Authorize, name: candidate, target: {api: orders}, allow: principal.plan == "gold", mode: shadow}
---
{kind: Authorize, name: until, target: {api: orders, paths: [/orders/until]}, allow: 'now.before("UNTIL")'}
---
{kind: Authorize, name: from-here, target: {api: orders, paths: [/orders/here]}, allow: 'source.ip.within(["127.0.0.1/32"])'}
---
{kind: Authorize, name: tenants, target: {api: orders, paths: [/orders/tenant]}, allow: 'request.headers["x-tenant"] == "good"'}
---
{kind: IpAccess, name: not-three, target: {api: orders, paths: [/orders/here]}, deny: [127.0.0.3]}
---
{kind: Protect, name: small, target: {api: orders, paths: [/orders/small]}, body: 1KiB}
---
kind: RateLimit
name: tight
target: {api: orders, paths: [/orders/limited]}
per: principal.id
tiers: [{windows: [2/hour]}]
---
kind: ResourcePolicy
name: aws
target: {api: reports}
document:
  Version: "2012-10-17"
  Statement:
    - {Effect: Allow, Principal: "*", Action: "execute-api:Invoke", Resource: "execute-api:/*"}
    - Effect: Deny
      Principal: "*"
      Action: "execute-api:Invoke"
      Resource: "execute-api:/*/GET/reports/secret*"
      Condition: {StringNotEquals: {"aws:PrincipalTag/plan": gold}}
"""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class World:
    """A gateway that has served all kinds of requests."""

    gw: Gateway
    folder: Path

    def candidate(self, *changes: tuple[str, str], name: str = "policies.yaml") -> Path:
        """The same files, but for these changes of text."""
        made = self.folder / f"candidate-{len(list(self.folder.glob('candidate-*')))}"
        shutil.copytree(self.gw.files, made)
        text = (made / name).read_text()
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        (made / name).write_text(text)
        return made

    async def replay(self, candidate: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
        """The exit status, and what is told as JSON."""
        status, out, error = await replayed("--candidate", str(candidate), "--state", str(self.gw.state), "--json", *arguments)
        assert out, error
        return status, json.loads(out)


async def replayed(*arguments: str) -> tuple[int, str, str]:
    """`bartizan replay` as people run it."""
    command = [sys.executable, "-m", "bartizan.cli.main", "replay", *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, error = await process.communicate()
    return process.returncode or 0, out.decode(), error.decode()


def bearer(**claims: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {ISSUER.token(**claims)}"}


async def send(gw: Gateway, line: str, headers: dict[str, str], *, source: str = "127.0.0.1", pair: Pair | None = None) -> None:
    """One request, as it stands."""
    context = None
    if pair is not None:
        context = ssl.create_default_context(cadata=WEB.pem.decode())
        context.load_cert_chain(*pair.save(gw.folder, f"client-{pair.fingerprint[:8]}"))
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", SAFE if pair else gw.port, local_addr=(source, 0), ssl=context, server_hostname="localhost" if pair else None
    )
    whole = {"host": "localhost", "connection": "close", **headers}
    body = b"x" * int(headers.get("content-length", 0))
    writer.write("\r\n".join([f"{line} HTTP/1.1", *(f"{k}: {v}" for k, v in whole.items()), "", ""]).encode() + body)
    try:
        async with asyncio.timeout(3):
            assert await reader.read(4096), line
    except TimeoutError:
        assert "upgrade" in headers, line
    writer.close()


WHOLE = {"tier": "gold", "lvl": 9, "staff": True, "regions": ["eu"], "roles": ["ops", 'x"y;z']}
ODD = {"tier": ["gold"], "lvl": "nine", "staff": "yes", "regions": "eu", "roles": "ops"}
PATHS = ("/orders/until", "/orders", "/orders/refunds", "/orders/eu", "/orders/ops", "/orders/here", "/orders/tenant", "/orders/pages")
LINES = [
    *(f"{method} {path}" for method in ("GET", "POST") for path in PATHS),
    *("HEAD /orders", "PUT /orders", "OPTIONS /orders", "GET /orders/health", "GET /orders/health?a=1", "GET /v1/orders/7"),
    *(
        "GET /orders/device",
        "GET /reports",
        "GET /reports/secret",
        "GET /chat",
        "GET /old",
        "GET /old/1",
        "GET /old/gold",
        "GET //orders//x/../eu",
        "GET /ordres",
        "GET /orders2",
    ),
    *("GET /orders;x", "GET /orders/%2Fx", "GET /orders/%65u", "get /orders", "GET /orders/limited", "GET /orders/\u00e9"),
]


async def traffic(gw: Gateway) -> int:
    """All kinds of requests by all kinds of callers. Returns how many."""
    keys = {name: gw.new_key(name)[1] for name in ("acme", "globex", "gone")}

    async def accepted() -> bool:
        return (await gw.get("/orders", headers={"x-api-key": keys["globex"]})).status_code == 200

    await gw.eventually(accepted)
    callers: list[tuple[dict[str, str], Pair | None]] = [
        ({}, None),
        *(({"x-api-key": key}, None) for key in keys.values()),
        *(({"cookie": f"a=b; session={key}"}, None) for key in keys.values()),
        ({"x-api-key": "bz_wrong"}, None),
        ({"x-api-key": keys["acme"], "authorization": "Bearer x"}, None),
        *(({"authorization": text}, None) for text in ("Basic Zm9v", "Bearer nonsense")),
        *((bearer(**claims), None) for claims in (WHOLE, ODD, {"tier": "free", "lvl": 4.5}, {"exp": 1}, {"aud": "x"}, {"iss": "x"})),
        (bearer(sub="i;n=e|s"), None),
        *(({}, pair) for pair in (ACME, STRANGER)),
    ]
    asked = [(line, headers, "127.0.0.1", pair) for line in LINES for headers, pair in callers]
    acme = {"x-api-key": keys["acme"]}
    asked += [("GET /orders/here", acme, f"127.0.0.{last}", None) for last in (1, 2, 3)]
    agents = ("Googlebot/2.1", "Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0", "x" * 400)
    asked += [("GET /orders/device", {**acme, "user-agent": agent}, "127.0.0.1", None) for agent in agents]
    asked += [("GET /orders/tenant", {**acme, "x-tenant": tenant}, "127.0.0.1", None) for tenant in ("good", "evil")]
    origin = {"origin": "https://shop.example.com", "access-control-request-method": "POST"}
    asked += [(f"OPTIONS {path}", origin, "127.0.0.1", None) for path in ("/orders/pages", "/orders")]
    asked += [("GET /orders", {**acme, "x-answer": status}, "127.0.0.1", None) for status in ("404", "500", "403")]
    asked += [("POST /orders/small", {**acme, "content-length": size}, "127.0.0.1", None) for size in ("5", "1024", "2000")]
    asked += [("POST /orders/refunds", {**who, "content-type": "application/grpc"}, "127.0.0.1", None) for who in ({}, acme)]
    hosted = {"host": "Reports.example.com."}
    asked += [(f"GET {path}", {**hosted, **who}, "127.0.0.1", None) for path in ("/reports", "/reports/secret") for who, _ in callers]
    websocket = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-key": "x", "sec-websocket-version": "13"}
    asked += [(f"GET {path}/socket", {**acme, **websocket}, "127.0.0.1", None) for path in ("/chat", "/orders")]
    asked += [("GET /orders/" + "x" * 2000, acme, "127.0.0.1", None), ("GET /orders/" + "x" * 9000, acme, "127.0.0.1", None)]
    for first in range(0, len(asked), 50):
        chunk = asked[first : first + 50]
        await asyncio.gather(*(send(gw, line, headers, source=source, pair=pair) for line, headers, source, pair in chunk))
    return len(asked)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder: Path = tmp_path_factory.mktemp("replay")
    files = folder / "files"
    files.mkdir()
    WEB.server().save(files, "web")
    (files / "partners.pem").write_bytes(PARTNERS.pem)
    (files / "jwks.json").write_text(ISSUER.jwks())
    with upstream() as port:
        frame = FILES.replace("UPSTREAM", str(port)).replace("SAFE", str(SAFE))
        async with gateway(folder, {"gateway.yaml": frame, "policies.yaml": POLICIES.replace("UNTIL", "2100-01-01T00:00:00Z")}) as gw:
            until = datetime.now(UTC) + timedelta(seconds=4)
            moment = until.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            await gw.edit("policies.yaml", POLICIES.replace("UNTIL", moment))
            count = await traffic(gw)
            await asyncio.sleep(max(0.0, (until - datetime.now(UTC)).total_seconds()) + 0.1)
            count += await traffic(gw)

            async def written() -> bool:
                return len(gw.records()) >= count

            await gw.eventually(written, 10)
            yield World(gw, folder)


async def test_the_active_revision_agrees_with_itself_on_all_that_can_be_told(world: World) -> None:
    status, told = await world.replay(world.candidate())
    assert (status, told["verdict"], told["groups"]) == (0, "ok", [])
    assert told["same"] == told["judged"] > 1400
    assert told["requests"] == len(world.gw.records())
    # All that can't be told asks for what records don't hold, or hold cut.
    assert {one["policy"]: one["lacks"] for one in told["untold_because"]} == {
        "Authorize/tenants": ['request.headers["x-tenant"]'],
        "Authorize/people-only": ["device.type"],
    }
    assert told["untold"] <= 50
    assert set(told["not_decided"]) == {
        "Envoy refused it before any policy was asked",
        "its URL was too long, and its length isn't recorded",
        "its path couldn't be normalised, and isn't recorded as it came",
    }


async def test_every_kind_of_answer_is_among_what_agrees(world: World) -> None:
    """Otherwise the agreement would say little."""
    seen = {re.sub(r"[^\w/-].*", "", str(one["details"]).removeprefix("rbac_access_denied_matched_policy[")) for one in world.gw.records()}
    refusing = {f"Authorize/{name}" for name in ("refunds", "europe", "operators", "people-only", "until", "from-here", "old-gold")}
    assert refusing | {"IpAccess/not-three", "ResourcePolicy/aws", "Authenticate/callers", "Authenticate/people"} <= seen
    assert {"cors_response", "unknown_api_key", "jwt_authn_access_denied", "malformed-credential", "ambiguous-credential"} <= seen
    assert {"method-not-allowed", "no-api", "malformed-path", "local_rate_limited", "request_payload_too_large"} <= seen
    methods = {one["auth_method"] for one in world.gw.records() if one.get("principal")}
    assert methods == {"api_key", "jwt", "mtls"}


def changes(told: dict[str, Any]) -> dict[tuple[str, str, str], set[tuple[str, str, str]]]:
    """By change, policy and route: who, and how."""
    found: dict[tuple[str, str, str], set[tuple[str, str, str]]] = {}
    for one in told["groups"]:
        place = (one["change"], one["policy"], one["route"])
        found.setdefault(place, set()).add((one["who"], one["method"], "+" if one["count"] and one["request_ids"] else ""))
    return found


def expected(world: World, **fields: Any) -> int:
    """How many records have these fields, and were let through."""
    through = re.compile("via_upstream|upstream_|response_timeout|downstream_|client_|http1.remote")
    found = [one for one in world.gw.records() if all(one.get(name) == value for name, value in fields.items())]
    return sum(bool(through.match(str(one["details"]))) for one in found)


async def test_a_policy_that_tightens_shows_who_loses_access(world: World) -> None:
    status, told = await world.replay(world.candidate(("principal.level >= 5", "principal.level >= 8")))
    assert status == 2 and told["verdict"] == "differs"
    # Level 7 loses, by key, cookie and certificate; the token's 9 doesn't; nobody gains.
    assert changes(told) == {("newly refused", "Authorize/refunds", "/orders/refunds"): {("acme", "POST", "+")}}
    count = expected(world, route="/orders/refunds", http_method="POST", principal="acme")
    assert told["newly_refused"] == count > 4 and told["newly_allowed"] == 0
    for ident in told["groups"][0]["request_ids"]:
        record = next(one for one in world.gw.records() if one.get("request_id") == ident)
        assert (record["principal"], record["path"], record["status"]) == ("acme", "/orders/refunds", 200)


async def test_a_policy_that_loosens_shows_who_gains(world: World) -> None:
    candidate = world.candidate(("allow: '\"ops\" in principal.groups'", "allow: principal.id != '0'"))
    status, told = await world.replay(candidate)
    assert status == 2 and told["newly_refused"] == 0
    assert changes(told) == {
        ("newly allowed", "Authorize/operators", "/orders/ops"): {
            (who, method, "+")
            for who in ("globex", "https://idp.example.com|ines", "https://idp.example.com|i;n=e|s", "partners|spiffe://corp/stranger")
            for method in ("GET", "POST")
        }
    }


async def test_the_time_and_the_address_are_those_of_the_request(world: World) -> None:
    # Half of them came before the moment, and all are replayed after it.
    served = {one["status"] for one in world.gw.records() if one.get("route") == "/orders/until" and one.get("principal") == "acme"}
    assert served == {200, 403}
    _, told = await world.replay(world.candidate(('source.ip.within(["127.0.0.1/32"])', 'source.ip.within(["127.0.0.2/32"])')))
    found = changes(told)
    assert found["newly allowed", "Authorize/from-here", "/orders/here"] == {("acme", "GET", "+")}
    assert told["newly_allowed"] == 2  # 127.0.0.2, once each time; 127.0.0.3 is still kept out
    assert ("newly refused", "Authorize/from-here", "/orders/here") in found and len(found) == 2


async def test_a_public_route_that_is_closed_cannot_be_told(world: World) -> None:
    """Credentials that were sent to it were stripped unseen."""
    candidate = world.candidate(("{api: orders, except: [/orders/health]}", "{api: orders}"))
    status, told = await world.replay(candidate)
    count = expected(world, route="/orders/health")
    because = {one["policy"]: one for one in told["untold_because"]}["Authenticate/callers"]
    assert (status, told["groups"], because["count"]) == (0, [], count)
    assert "principal.id" in because["lacks"] and count > 20


async def test_a_route_that_is_opened_is_shown_for_wrong_credentials_too(world: World) -> None:
    closed = "{kind: Authenticate, name: talkers, target: {api: chat}, any: [api_key]}"
    status, told = await world.replay(world.candidate((closed, "{kind: Public, name: all, target: {api: chat}, reason: all may talk}")))
    found = changes(told)
    wrong = {("a wrong credential", "GET", "+")}
    for how in ("credentials", "malformed-credential", "ambiguous-credential"):
        assert found.pop(("newly allowed", how, "/chat")) == wrong
    others = {"nobody", "https://idp.example.com|ines", "https://idp.example.com|i;n=e|s", "acme", "partners|spiffe://corp/stranger"}
    assert found == {("newly allowed", "Authenticate/talkers", "/chat"): {(who, "GET", "+") for who in others}}
    assert status == 2


async def test_a_header_that_no_record_holds_is_told_as_such(world: World) -> None:
    text = 'request.headers["x-region"] == "eu" && principal.plan == "gold"'
    status, told = await world.replay(world.candidate(('allow: device.type != "bot"', f"allow: '{text}'")))
    because = {one["policy"]: one["lacks"] for one in told["untold_because"]}
    assert because["Authorize/people-only"] == ['request.headers["x-region"]']
    assert (status, told["newly_refused"]) == (0, 0)


async def test_behind_a_policy_that_cannot_be_told_another_may_still_refuse_for_sure(world: World) -> None:
    """`Authorize/tenants` asks for a header, and is asked before `Authorize/zz`."""
    extra = "---\n{kind: Authorize, name: zz, target: {api: orders, paths: [/orders/tenant]}, allow: principal.plan != 'gold'}\n"
    candidate = world.candidate(("kind: RateLimit\nname: tight", f"{extra.removeprefix('---')}---\nkind: RateLimit\nname: tight"))
    status, told = await world.replay(candidate)
    assert status == 2
    assert changes(told) == {("newly refused", "Authorize/zz", "/orders/tenant"): {("acme", "GET", "+")}}
    assert told["newly_refused"] == 2  # those with the good tenant; the others were refused already


async def test_an_attribute_that_nobody_asked_for_then_is_that_of_now_and_told_so(world: World) -> None:
    """Of a consumer; of a token's principal nobody knows it."""
    status, told = await world.replay(world.candidate(('allow: device.type != "bot"', "allow: principal.unasked == 'there'")))
    because = {one["policy"]: one for one in told["untold_because"]}["Authorize/people-only"]
    assert because["lacks"] == ["principal.unasked"]
    assert told["by_attributes_of_now"] > 0
    assert status == (2 if told["newly_refused"] else 0)
    # One that is asked for, and that a caller lacked, is told: globex has no regions.
    assert "principal.regions" not in json.dumps(told["untold_because"])


async def test_an_api_that_is_gone_is_refused_by_no_policy(world: World) -> None:
    made = world.candidate()
    text = (made / "gateway.yaml").read_text()
    (made / "gateway.yaml").write_text(text.replace("paths: [/old]", "paths: [/older]"))
    policies = (made / "policies.yaml").read_text()
    (made / "policies.yaml").write_text(policies.replace("[/old/gold]", "[/older/gold]"))
    status, told = await world.replay(made)
    assert status == 2
    assert {one["policy"] for one in told["groups"] if one["change"] == "newly refused"} == {"no-api"}
    assert {one["route"] for one in told["groups"]} == {"/old", "/old/gold"}


async def test_a_preflight_that_is_no_longer_answered_is_refused(world: World) -> None:
    _, told = await world.replay(world.candidate(("target: {api: orders, paths: [/orders/pages]}, origins", "target: {api: old}, origins")))
    assert changes(told) == {("newly refused", "Authenticate/callers", "/orders/pages"): {("nobody", "OPTIONS", "+")}}


async def test_a_body_that_is_too_large_now_is_shown(world: World) -> None:
    _, told = await world.replay(world.candidate(("body: 1KiB", "body: 1000B")))
    assert changes(told) == {("newly refused", "Protect", "/orders/small"): {("acme", "POST", "+")}}
    assert told["newly_refused"] == 2


async def test_what_fails_a_build_can_be_chosen(world: World) -> None:
    candidate = world.candidate(("principal.level >= 5", "principal.level >= 8"))
    for arguments, wanted in {
        (): 2,
        ("--fail-on", "refused"): 2,
        ("--fail-on", "allowed"): 0,
        ("--fail-on", "never"): 0,
        ("--tolerate", "1000"): 0,
        ("--tolerate", "1"): 2,
        ("--fail-on", "never", "--told", "100"): 1,
        ("--fail-on", "never", "--told", "50%"): 0,
    }.items():
        status, told = await world.replay(candidate, *arguments)
        assert (status, told["newly_refused"] > 0) == (wanted, True), arguments


async def test_a_part_of_the_records_is_replayed(world: World, tmp_path: Path) -> None:
    candidate, every = world.candidate(), len(world.gw.records())
    assert (await world.replay(candidate, "--sample", "200"))[1]["requests"] == 200
    assert (await world.replay(candidate, "--last", "1h"))[1]["requests"] == every
    half = sorted(one["time"] for one in world.gw.records())[every // 2]
    halves = [(await world.replay(candidate, way, half))[1]["requests"] for way in ("--to", "--from")]
    assert sum(halves) == every and min(halves) > 100
    file = tmp_path / "some.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in world.gw.records()[:300]) + '{"time": "cut')
    status, told = await world.replay(candidate, "--records", str(file))
    assert (status, told["requests"], told["skipped_lines"]) == (0, 300, 1)


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("--last", "soon"), 64, "isn't a while"),
        (("--from", "2026-11-23T09:00:00"), 64, "isn't a time with its zone"),
        (("--last", "1h", "--to", "2026-11-23T09:00:00Z"), 64, "--last stands alone"),
        (("--told", "101"), 64, "isn't a percentage"),
        (("--records", "nowhere.jsonl"), 1, "nowhere.jsonl doesn't exist"),
        (("--to", "2020-01-01T00:00:00Z"), 1, "there are no records of this time"),
    ],
)
async def test_wrong_use_is_told(world: World, arguments: tuple[str, ...], status: int, sentence: str) -> None:
    found, out, error = await replayed("--candidate", str(world.gw.files), "--state", str(world.gw.state), *arguments)
    assert (found, out) == (status, "") and sentence in error


async def test_a_candidate_with_problems_is_not_asked(world: World) -> None:
    candidate = world.candidate(("principal.level >= 5", "principal.leve >= 5"))
    status, out, _ = await replayed("--candidate", str(candidate), "--state", str(world.gw.state))
    assert status == 1 and "did you mean principal.level?" in out


async def test_progress_is_shown_on_a_terminal(world: World) -> None:
    ours, theirs = pty.openpty()
    command = ["replay", "--candidate", str(world.gw.files), "--state", str(world.gw.state)]
    records = world.gw.state / "records" / "requests.jsonl"
    several = [str(records)] * (1 + (2 << 20) // records.stat().st_size)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bartizan.cli.main", *command, "--records", *several), stdout=asyncio.subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    out, _ = await process.communicate()
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert process.returncode == 0 and b": ok (" in out
    assert re.search(r"\d+% of \d+ MB of records", shown), shown


QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"
GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "replay.md").read_text()
SHOWN = re.findall(r"```console\n\$ bartizan replay (.*)\n((?:.*\n)*?)```", GUIDE)


def happened() -> list[dict[str, Any]]:
    """Records as the quickstart's gateway writes them."""
    acme = {"principal": "acme", "auth_method": "api_key", "attributes": {"plan": "gold", "department": "finance"}}
    globex = {"principal": "globex", "auth_method": "api_key", "attributes": {"plan": "free", "department": "sales"}}
    token = {
        "principal": "https://issuer.quickstart.invalid|ines",
        "auth_method": "jwt",
        "issuer": "demo",
        "attributes": {"department": ""},
    }
    nobody: dict[str, Any] = {"principal": "", "attributes": {}}
    denied = "rbac_access_denied_matched_policy[Authorize/refunds-by-finance]"
    kinds: list[tuple[int, dict[str, Any], str, str, str, int]] = [
        (400, acme, "GET /orders", "/orders", "via_upstream", 200),
        (310, globex, "GET /orders", "/orders", "via_upstream", 200),
        (40, acme, "POST /orders/refunds", "/orders/refunds", "via_upstream", 200),
        (12, globex, "GET /orders/refunds/7", "/orders/refunds", "via_upstream", 200),
        (3, globex, "POST /orders/refunds", "/orders/refunds", denied, 403),
        (2, token, "GET /orders/refunds", "/orders/refunds", "via_upstream", 200),
        (5, nobody, "GET /orders", "/orders", "unknown_api_key", 401),
        (60, nobody, "GET /orders/health", "/orders/health", "via_upstream", 200),
        (9, globex, "GET /orders", "/orders", "local_rate_limited", 429),
        (4, nobody, "GET /orders", "", "http1.codec_error", 400),
    ]
    found: list[dict[str, Any]] = []
    for count, who, line, route, details, status in kinds:
        method, path = line.split()
        public = "Authenticate/orders-callers" if route != "/orders/health" else ""
        same = {"host": "localhost", "source": "192.0.2.7", "protocol": "HTTP/1.1", "policies": public, "status": status}
        for _ in range(count):
            ident = f"7f671899-5a5a-4b79-8517-{len(found):012x}"
            moment = f"2026-11-22T08:{len(found) // 60:02}:{len(found) % 60:02}.000Z"
            told = {"time": moment, "request_id": ident, "api": "orders" if route else "", "route": route, "http_method": method}
            found.append({**told, **same, **who, "path": path, "details": details})
    return found


@pytest.mark.parametrize(("command", "output"), SHOWN)
async def test_what_the_guide_shows_is_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, output: str) -> None:
    shutil.copytree(QUICKSTART, tmp_path / "candidate")
    text = (tmp_path / "candidate" / "policies.yaml").read_text()
    assert "methods: [POST], " in text
    (tmp_path / "candidate" / "policies.yaml").write_text(text.replace("methods: [POST], ", ""))
    records = tmp_path / ".bartizan" / "records"
    records.mkdir(parents=True)
    (records / "requests.jsonl").write_text("".join(json.dumps(one) + "\n" for one in happened()))
    monkeypatch.chdir(tmp_path)
    status, out, error = await replayed(*command.split())
    assert (status, error) == (2, "")
    speed = re.compile(r"candidate \w{16}|\([\d.]+ s, [\d,]+ a second\)|[\da-f]{12}\b")  # which ids are told is chance
    assert speed.sub("", out) == speed.sub("", output), out
