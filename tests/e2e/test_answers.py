"""What a caller is told and what is written down: enough to go on, nothing about rules, and nothing that a caller could forge."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.e2e import http2
from tests.e2e.gateway import Gateway, TokenIssuer, free_port, gateway, upstream

ISSUER = TokenIssuer()
TYPE = "urn:bartizan:problem:"

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
attributes: {level: number, plan: string, regions: list, staff: bool, nickname: string}
blocking: {exempt: [127.0.0.0/8]}
---
{kind: Api, name: vault-api, paths: [/orders], methods: [GET, POST, OPTIONS], upstream: 'http://127.0.0.1:UPSTREAM'}
---
{kind: Api, name: open-api, paths: [/open], methods: [GET], upstream: 'http://127.0.0.1:UPSTREAM'}
---
{kind: Api, name: down-api, paths: [/down], upstream: 'http://127.0.0.1:NOBODY'}
---
{kind: Api, name: slow-api, paths: [/slow], timeout: 200ms, upstream: 'http://127.0.0.1:UPSTREAM'}
---
{kind: Api, name: named-api, hosts: [api.example.com], paths: [/named], upstream: 'http://127.0.0.1:UPSTREAM'}
---
kind: Issuer
name: hidden-issuer
issuer: https://idp.example.com
audiences: [orders]
jwks: {file: jwks.json}
groups: roles
attributes: {level: level, plan: plan, regions: regions, staff: staff, nickname: nickname}
---
{kind: Public, name: secret-public, target: {paths: [/open, /down, /slow]}, reason: nothing here is anybody's}
---
{kind: Authenticate, name: secret-callers, target: {paths: [/orders, /named]}, any: [api_key, {jwt: hidden-issuer}]}
---
{kind: Authorize, name: secret-rule, target: {api: vault-api, paths: [/orders/finance]}, allow: principal.plan == "gold"}
---
kind: Authorize
name: secret-other-rule
target: {api: vault-api, paths: [/orders/all]}
allow: principal.level > 1 && principal.staff && "eu" in principal.regions && "ops" in principal.groups
---
kind: RateLimit
name: secret-limit
target: {api: vault-api, paths: [/orders/limited]}
per: principal.id
tiers: [{windows: [2/hour]}]
---
{kind: Consumer, name: secret-consumer, attributes: {plan: free}}
"""
HIDDEN = ("secret", "vault-api", "hidden-issuer", "open-api", "down-api", "gold", "principal", "Authorize", "Authenticate/", "RateLimit/")
HIDDEN += ("rbac", "envoy")

pytestmark = pytest.mark.asyncio(loop_scope="module")


class World:
    """The gateway and a good key."""

    def __init__(self, gw: Gateway) -> None:
        self.gw = gw
        self.id, self.key = gw.new_key("secret-consumer")
        self.mine = {"x-api-key": self.key}

    async def told(self, method: str, path: str, headers: Any = None) -> httpx.Response:
        return await self.gw.request(method, path, headers=headers)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder: Path = tmp_path_factory.mktemp("answers")
    (folder / "files").mkdir()
    (folder / "files" / "jwks.json").write_text(ISSUER.jwks())
    with upstream() as port:
        text = FILES.replace("UPSTREAM", str(port)).replace("NOBODY", str(free_port()))
        async with gateway(folder, {"gateway.yaml": text}) as gw:
            made = World(gw)

            async def ready() -> bool:
                return (await made.told("GET", "/orders", made.mine)).status_code == 200

            await gw.eventually(ready)
            for _ in range(3):
                await made.told("GET", "/orders/limited", made.mine)
            yield made


# name: method, path, headers ("key" stands for a good one), status, type, and gRPC's status
REFUSALS: dict[str, tuple[str, str, dict[str, str], int, str, int]] = {
    "no credential": ("GET", "/orders", {}, 401, "unauthenticated", 16),
    "a wrong key": ("GET", "/orders", {"x-api-key": "wrong"}, 401, "unauthenticated", 16),
    "a wrong token": ("GET", "/orders", {"authorization": "Bearer x.y.z"}, 401, "unauthenticated", 16),
    "no token": ("GET", "/orders", {"authorization": "Basic x"}, 401, "unauthenticated", 16),
    "two credentials": ("GET", "/orders", {"x-api-key": "key", "authorization": "Bearer x"}, 401, "unauthenticated", 16),
    "not allowed": ("GET", "/orders/finance", {"x-api-key": "key"}, 403, "forbidden", 7),
    "no API": ("GET", "/nothing", {}, 404, "not-found", 12),
    "no API, with a key": ("GET", "/nothing", {"x-api-key": "key"}, 404, "not-found", 12),
    "no API on this host": ("GET", "/named", {}, 404, "not-found", 12),
    "another method": ("DELETE", "/orders", {"x-api-key": "key"}, 405, "method-not-allowed", 2),
    "another method where all may": ("DELETE", "/open", {}, 405, "method-not-allowed", 2),
    "too often": ("GET", "/orders/limited", {"x-api-key": "key"}, 429, "too-many-requests", 8),
    "a malformed path": ("GET", "/orders;x", {}, 400, "malformed-request", 13),
    "a malformed host": ("GET", "/orders", {"host": "a,b"}, 400, "malformed-request", 13),
    "too long": ("GET", "/orders?" + "a" * 9000, {}, 414, "url-too-long", 2),
    "nobody there": ("GET", "/down", {}, 503, "unavailable", 14),
    "too slow": ("GET", "/slow/events?n=20", {}, 200, "", 0),
}


def _headers(world: World, headers: dict[str, str]) -> dict[str, str]:
    return {name: world.key if value == "key" else value for name, value in headers.items()}


@pytest.mark.parametrize("name", [name for name in REFUSALS if name != "too slow"])
async def test_a_refusal_is_a_problem_that_tells_nothing_about_rules(world: World, name: str) -> None:
    method, path, headers, status, kind, _ = REFUSALS[name]
    answer = await world.told(method, path, _headers(world, headers))
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    told = answer.json()
    assert sorted(told) == ["request_id", "status", "title", "type"]
    assert (told["type"], told["status"], told["request_id"]) == (TYPE + kind, status, answer.headers["x-request-id"])
    assert told["title"].endswith(".")
    whole = f"{answer.headers} {answer.text}"
    assert not [word for word in HIDDEN if word.lower() in whole.lower()], whole
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert status != 401 or answer.headers["www-authenticate"].startswith('Bearer realm="edge"')


@pytest.mark.parametrize("name", [name for name in REFUSALS if name != "too slow"])
async def test_a_refused_head_is_told_the_same_without_a_body(world: World, name: str) -> None:
    method, path, headers, status, _, _ = REFUSALS[name]
    if method == "DELETE":
        return
    answer = await world.told("HEAD", path, _headers(world, headers))
    assert (answer.status_code, answer.content) == (status, b"")
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("www-authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize("name", [name for name in REFUSALS if name != "too slow"])
async def test_grpc_is_told_in_its_own_way(world: World, name: str) -> None:
    method, path, headers, status, _, code = REFUSALS[name]
    authority = headers.get("host", "a")
    more = [(key, value) for key, value in _headers(world, headers).items() if key != "host"]
    sent = http2.request(
        "POST" if method == "GET" else method, path, authority, *more, ("content-type", "application/grpc"), ("te", "trailers")
    )
    answer = await http2.send(world.gw.port, sent, b"\0\0\0\0\0")
    assert answer.status == 200 and answer.headers["content-type"] == "application/grpc"
    assert int(answer.headers["grpc-status"]) == code, (status, answer.headers)
    assert answer.body == b"" and answer.end == "ended"
    whole = json.dumps(answer.headers).lower()
    assert not [word for word in HIDDEN if word.lower() in whole]


async def test_a_preflight_of_an_api_without_cors_is_nobodys_way_in(world: World) -> None:
    asked = {"origin": "https://evil.example.com", "access-control-request-method": "GET"}
    answer = await world.told("OPTIONS", "/orders", asked)
    assert answer.status_code == 401
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert (await world.gw.record(answer)).get("upstream_ms") is None
    assert (await world.told("OPTIONS", "/nothing", asked)).status_code == 404


async def test_what_is_behind_authentication_isnt_told_before_it(world: World) -> None:
    """Methods, paths, limits and routes that exist look like those that don't."""

    def shape(answer: httpx.Response) -> tuple[int, list[str], dict[str, Any], str]:
        return answer.status_code, sorted(answer.headers), {**answer.json(), "request_id": ""}, answer.headers["www-authenticate"]

    wanted = shape(await world.told("GET", "/orders"))
    for method in ("POST", "DELETE", "PATCH", "TRACE", "PROPFIND", "OPTIONS"):
        assert shape(await world.told(method, "/orders")) == wanted, method
    for path in ("/orders/finance", "/orders/limited", "/orders/nothing", "/orders/finance/x?y"):
        assert shape(await world.told("GET", path)) == wanted, path
        assert shape(await world.told("DELETE", path)) == wanted, path
    # And of those that got in, only who may see the route learns which methods it has.
    assert (await world.told("DELETE", "/orders/finance", world.mine)).status_code == 403


async def test_what_the_upstream_answers_passes_as_it_is(world: World) -> None:
    for status in (200, 301, 400, 401, 403, 404, 418, 429, 500, 503):
        answer = await world.told("GET", "/orders", {**world.mine, "x-answer": str(status)})
        assert answer.status_code == status
        assert answer.json()["path"] == "/orders"
        assert "www-authenticate" not in answer.headers


async def test_a_slow_upstream_is_a_timeout(world: World) -> None:
    answer = await world.told("GET", "/slow/never")
    assert answer.status_code in {200, 504}
    assert answer.status_code == 200 or answer.json()["type"] == TYPE + "timeout"


@pytest.mark.parametrize(
    "text, status, kind",
    [
        ("GET /orders%2fx HTTP/1.1\r\nhost: a\r\n\r\n", 400, "malformed-request"),
        ("GET /orders HTTP/1.1\r\n\r\n", 400, "malformed-request"),
        ("GET /orders HTTP/1.1\r\nhost: a\r\nx_y: z\r\n\r\n", 400, "malformed-request"),
        ("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", 404, "not-found"),
        ("nonsense\r\n\r\n", 400, "malformed-request"),
        ("GET /orders HTTP/1.1\r\nhost: a\r\nx: " + "a" * 70_000 + "\r\n\r\n", 431, "headers-too-large"),
        ("POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400, "malformed-request"),
    ],
)
async def test_what_cant_be_read_at_all_is_answered_in_the_same_form(world: World, text: str, status: int, kind: str) -> None:
    answer = await world.gw.raw(text.encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), head
    assert b"content-type: application/problem+json" in head
    assert json.loads(body)["type"] == TYPE + kind


# Records

FIELDS = {
    "time",
    "request_id",
    "revision",
    "generation",
    "api",
    "route",
    "principal",
    "auth_method",
    "issuer",
    "key",
    "attributes",
    "groups",
}
FIELDS |= {
    "http_method",
    "host",
    "path",
    "status",
    "details",
    "flags",
    "policies",
    "shadows",
    "source",
    "user_agent",
    "ja4",
    "certificate",
    "tls",
}
FIELDS |= {"protocol", "traceparent", "bytes_in", "bytes_out", "duration_ms", "upstream_ms"}
NASTY = (
    "\n",
    "\r\n",
    '"',
    '","status":200,"x":"',
    "\\",
    "\\u0022",
    "\u2028",
    "\x85",
    "\x1b[31m",
    "\x7f",
    "\0",
    "'",
    "{",
    "</script>",
    "%0a",
    "%22",
    "%s%n",
    "${jndi:x}",
)


async def _lines(world: World) -> list[str]:
    """All records, each a line. The last answer's is there."""
    last = await world.told("GET", "/open/last")
    await world.gw.record(last)
    return (world.gw.state / "records" / "requests.jsonl").read_bytes().decode("utf-8").split("\n")[:-1]


def _forged(nasty: str) -> list[bytes]:
    """Requests that carry `nasty` wherever a record takes something from them."""
    raw = nasty.encode("utf-8")
    head = b"GET /open/x HTTP/1.1\r\nhost: a\r\n"
    return [
        b"GET /open/" + raw + b" HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /open/x?" + raw + b" HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nhost: " + raw + b"\r\n\r\n",
        b"GET" + raw + b" /open/x HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /open/x HTTP/1.1" + raw + b"\r\nhost: a\r\n\r\n",
        head + b"user-agent: " + raw + b"\r\n\r\n",
        head + b"user-agent: a" + raw + b"b\r\n\r\n",
        head + b"traceparent: " + raw + b"\r\n\r\n",
        head + b"x-request-id: " + raw + b"\r\n\r\n",
        head + b"x-forwarded-for: " + raw + b"\r\n\r\n",
        head + b"referer: " + raw + b"\r\n\r\n",
        head + b"x-" + raw + b": y\r\n\r\n",
        b"GET /orders HTTP/1.1\r\nhost: a\r\nauthorization: Bearer " + raw + b"\r\n\r\n",
        b"GET /orders HTTP/1.1\r\nhost: a\r\nx-api-key: " + raw + b"\r\n\r\n",
    ]


async def test_nothing_a_caller_sends_can_forge_or_split_a_record(world: World) -> None:
    before = len(await _lines(world))
    requests = [one for nasty in NASTY for one in _forged(nasty)]
    sent = 0
    for one in requests:
        answer = await world.gw.raw(one, read_s=0.3)
        sent += len(re.findall(rb"HTTP/1\.1 \d\d\d ", answer))
    lines = (await _lines(world))[before:]
    assert abs(len(lines) - 1 - sent) <= len(requests) // 10
    for line in lines:
        assert json.loads(line).keys() <= FIELDS
        assert not re.search(r"[\x00-\x1f]", line), line
        assert len(line) < 8000


async def test_nothing_a_token_says_can_forge_or_break_a_record(world: World) -> None:
    before = len(await _lines(world))
    names = ("sub", "plan", "level", "regions", "roles", "staff", "nickname")
    claims: list[dict[str, Any]] = [{name: nasty} for nasty in NASTY for name in names]
    claims += [{"roles": [nasty, nasty]} for nasty in NASTY] + [{"regions": [nasty]} for nasty in NASTY]
    claims += [
        {"level": level}
        for level in ("9" * 400, "-" + "9" * 400, "inf", "nan", "-inf", "1e999", "0x10", "1" + "0" * 308, "." * 10, "1.", "0." + "1" * 5000)
    ]
    claims += [{"level": level} for level in (10**308, 10**400, -(10**400), 1e308, 5e-324, True, None, [1], {"a": 1})]
    claims += [{"plan": "x" * 9000}, {"sub": "x" * 9000}, {"roles": ["x" * 9000]}, {"roles": ["x"] * 2000}, {"regions": [[[["x"]]]]}]
    for one in claims:
        await world.told("GET", "/orders", {"authorization": f"Bearer {ISSUER.token(**one)}"})
    lines = (await _lines(world))[before:]
    assert len(lines) == len(claims) + 1
    for line in lines:
        found = json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
        attributes = found.get("attributes") or {}
        assert found.keys() <= FIELDS and attributes.keys() <= {"level", "plan", "regions", "staff", "nickname"}
        assert not attributes.get("nickname"), "a record tells only what some policy asks for"
        assert isinstance(attributes.get("level"), int | float | None)
        assert not re.search(r"[\x00-\x1f]", line)
        assert len(line) < 8000


async def test_what_a_token_says_is_shown_to_people_and_never_steers_their_terminal(world: World) -> None:
    token = ISSUER.token(sub="\x1b[2J\x07", plan="\x9b31m\u202e\nprincipal root")
    answer = await world.told("GET", "/orders/finance", {"authorization": f"Bearer {token}"})
    await world.gw.record(answer)
    arguments = ("explain", answer.headers["x-request-id"], "--state", str(world.gw.state))
    for more in ((), ("--json",)):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bartizan.cli.main", *arguments, *more, stdout=asyncio.subprocess.PIPE
        )
        said = (await process.communicate())[0].decode()
        assert "Authorize/secret-rule" in said and "[2J" in said
        assert not re.search(r"[\x00-\x09\x0b-\x1f]", said)
        assert more or not re.search("[\x9b\u202e]", said)
        assert "principal root" not in [line.strip() for line in said.splitlines()]


async def test_every_field_of_a_record_is_bounded(world: World) -> None:
    long = "a" * 7000
    answers = [
        await world.told("GET", f"/open/{long}"),
        await world.told("GET", "/open", {"user-agent": long, "traceparent": long, "referer": long}),
        await world.told("A" * 3000, "/open"),
        await world.told("GET", "/open", {"x-request-id": long}),
        await world.told("GET", "/open", {"host": "a" * 250}),
    ]
    bounds = {"path": 1024, "user_agent": 256, "traceparent": 64, "http_method": 32, "host": 256, "request_id": 64}
    for answer in answers:
        if "x-request-id" in answer.headers:
            record = await world.gw.record(answer)
            for field, most in bounds.items():
                assert len(record.get(field) or "") <= most, field
            assert len(json.dumps(record)) < 4000


async def test_a_request_has_an_id_of_ours_and_never_a_callers(world: World) -> None:
    answers = [await world.told("GET", "/open", {"x-request-id": "mine"}) for _ in range(3)]
    answers.append(await world.told("GET", "/orders", {"x-request-id": "00000000-0000-4000-8000-000000000000"}))
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == len(ids) and not {"mine", "00000000-0000-4000-8000-000000000000"} & set(ids)
    for one in ids:
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", one)
    for answer in answers[:3]:
        assert dict(answer.json()["headers"])["x-request-id"] == answer.headers["x-request-id"]


async def test_a_record_holds_who_where_and_why_and_no_secret(world: World) -> None:
    token = ISSUER.token(plan="gold", level=7, staff=True, regions=["eu"], roles=["ops"], nickname="vicky")
    secrets = [world.key, token, token.rpartition(".")[2], "hunter2", "sesame", "vicky"]
    headers = {
        "authorization": f"Bearer {token}",
        "cookie": "session=hunter2",
        "x-secret": "hunter2",
        "user-agent": "curl/8",
        "referer": "http://x/?sesame",
    }
    answer = await world.told("POST", "/orders/finance?password=hunter2&access_token=sesame#", headers)
    assert answer.status_code == 200
    record = await world.gw.record(answer)
    wanted = {
        "api": "vault-api",
        "route": "/orders/finance",
        "principal": "https://idp.example.com|ines",
        "auth_method": "jwt",
        "issuer": "hidden-issuer",
        "attributes": {"level": 7, "plan": "gold", "regions": '["eu"]', "staff": "true", "nickname": ""},
        "groups": '["ops"]',
        "http_method": "POST",
        "path": "/orders/finance",
        "status": 200,
        "details": "via_upstream",
        "source": "127.0.0.1",
        "user_agent": "curl/8",
    }
    assert {name: record[name] for name in wanted} == wanted
    assert record["revision"] == (await world.gw.status())["revision"]
    refused = await world.told("GET", f"/orders/finance?key={world.key}&p=hunter2", world.mine)
    record = await world.gw.record(refused)
    assert record["details"] == "rbac_access_denied_matched_policy[Authorize/secret-rule]"
    assert (record["principal"], record["auth_method"], record["key"]) == ("secret-consumer", "api_key", world.id)
    await world.told("GET", f"/nothing/?{world.key}=sesame", {**world.mine, "authorization": f"Bearer {token}"})
    await world.told("GET", "/orders", {"x-api-key": world.key + "x", "cookie": "hunter2=sesame"})
    text = "\n".join(await _lines(world)) + (world.gw.state / "records" / "failures.jsonl").read_text()
    for secret in secrets:
        assert secret not in text


async def test_each_request_has_one_record(world: World) -> None:
    before = len(await _lines(world))
    await asyncio.gather(
        *(world.told("GET", f"/{path}", world.mine if i % 2 else None) for i in range(50) for path in ("open", "orders", "nothing"))
    )
    lines = (await _lines(world))[before:]
    assert len(lines) == 150 + 1
    assert len({json.loads(line)["request_id"] for line in lines}) == 151
