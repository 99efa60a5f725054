"""What a scratch instance says of a request is what the running gateway answers; and `explain` tells both to their owner."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from bartizan.model.snapshot import Snapshot
from bartizan.rollout.folder import Folder
from bartizan.scratch import Principal, Question, Scratch, Token, UnknownKey
from tests.e2e.gateway import Gateway, TokenIssuer, gateway, upstream

ISSUER = TokenIssuer()
OTHER = TokenIssuer(url="https://other.example.com", kid="k2")

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
attributes: {plan: string, level: number, staff: bool, regions: list}
---
kind: Api
name: orders
paths: [/orders, /v1/orders]
methods: [GET, POST, DELETE]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Api
name: reports
hosts: [reports.example.com]
paths: [/reports]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Consumer
name: acme
groups: [ops, 'a"b']
attributes: {plan: gold, level: 7, staff: true, regions: [eu, us]}
---
kind: Consumer
name: globex
attributes: {plan: free, level: 2.5}
---
kind: Consumer
name: gone
attributes: {plan: gold}
disabled: true
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [orders]
jwks: {file: jwks.json}
attributes: {plan: tier, level: lvl, staff: staff, regions: regions}
groups: roles
---
kind: Issuer
name: other
issuer: https://other.example.com
audiences: [orders]
jwks: {file: other.json}
attributes: {plan: plan}
"""

POLICIES = """
kind: Authenticate
name: callers
target: {api: orders, except: [/orders/health]}
any: [api_key, {jwt: corp}]
---
kind: Authenticate
name: people
target: {api: reports}
any: [{jwt: corp}, {jwt: other}]
---
kind: Public
name: health
target: {api: orders, paths: [/orders/health]}
reason: the load balancer has no credentials
---
kind: Authorize
name: gold-refunds
target: {api: orders, methods: [POST], paths: [/orders/refunds]}
allow: principal.plan == "gold" && principal.level >= 5
---
kind: Authorize
name: europe
target: {api: orders, paths: [/orders/eu]}
allow: '"eu" in principal.regions && principal.staff'
---
kind: Authorize
name: operators
target: {api: orders, paths: [/orders/eu]}
allow: '"ops" in principal.groups'
---
kind: Authorize
name: health-of-nobody
target: {api: orders, paths: [/orders/health/deep]}
allow: principal.id == "acme"
---
kind: Authorize
name: no-robots
target: {api: orders, paths: [/orders/people]}
allow: device.type != "bot" && !(request.headers["x-tenant"] == "evil")
---
kind: Authorize
name: candidate
target: {api: orders}
allow: principal.plan == "gold"
mode: shadow
---
kind: Authorize
name: office-hours
target: {api: orders, paths: [/orders/hours]}
allow: now.between("09:00", "17:00", "Europe/Berlin") && now.weekday("Europe/Berlin") != "sun"
---
kind: Authorize
name: from-the-office
target: {api: orders, paths: [/orders/office]}
allow: source.ip.within(["198.51.100.0/24", "2001:db8::/32"])
---
kind: IpAccess
name: no-partners
target: {api: orders, paths: [/orders/office]}
deny: [198.51.100.9]
---
kind: RateLimit
name: by-plan
target: {api: orders, except: [/orders/limited]}
per: [principal.id, request.method]
tiers:
  - {when: principal.plan == "gold", windows: [1000/second, 100000/hour]}
  - {windows: [500/second]}
---
kind: RateLimit
name: tight
target: {api: orders, paths: [/orders/limited]}
per: principal.id
tiers: [{windows: [2/hour]}]
"""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gw(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("explain")
    with upstream() as port:
        (folder / "files").mkdir()
        (folder / "files" / "jwks.json").write_text(ISSUER.jwks())
        (folder / "files" / "other.json").write_text(OTHER.jwks())
        async with gateway(folder, {"gateway.yaml": FILES.replace("UPSTREAM", str(port)), "policies.yaml": POLICIES}) as made:
            yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scratch(gw: Gateway) -> AsyncIterator[Scratch]:
    found = Folder(gw.files).snapshot()
    assert isinstance(found, Snapshot)
    async with Scratch(found) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def keys(gw: Gateway) -> Mapping[str, str]:
    """A key of each consumer, known to the gateway."""
    found = {name: gw.new_key(name)[1] for name in ("acme", "globex", "gone")}
    for name in ("acme", "globex"):

        async def accepted(key: str = found[name]) -> bool:
            return (await gw.get("/orders", headers={"x-api-key": key})).status_code == 200

        await gw.eventually(accepted)
    return found


def callers(scratch: Scratch, keys: Mapping[str, str]) -> dict[str, tuple[Principal | None, dict[str, str]]]:
    """Each caller as the scratch instance is told of it, and with the credential that it shows to the gateway."""

    def bearer(issuer: TokenIssuer, **claims: Any) -> dict[str, str]:
        return {"authorization": f"Bearer {issuer.token(**claims)}"}

    whole = {"tier": "gold", "lvl": 9, "staff": True, "regions": ["eu"], "roles": ["ops", 'x"y,z']}
    wrong = {"tier": ["gold"], "lvl": "nine", "staff": "yes", "regions": "eu", "roles": "ops"}
    return {
        "nobody": (None, {}),
        "acme": (scratch.consumer("acme"), {"x-api-key": keys["acme"]}),
        "globex": (scratch.consumer("globex"), {"x-api-key": keys["globex"]}),
        "disabled": (scratch.consumer("gone"), {"x-api-key": keys["gone"]}),
        "wrong key": (UnknownKey(), {"x-api-key": keys["acme"][:-1] + "!"}),
        "token": (Token("corp", "ines", whole), bearer(ISSUER, **whole)),
        "bare token": (Token("corp", "ines"), bearer(ISSUER)),
        "odd token": (Token("corp", "i;n=e|s", wrong), bearer(ISSUER, sub="i;n=e|s", **wrong)),
        "half a level": (Token("corp", "ines", {"tier": "gold", "lvl": 4.5}), bearer(ISSUER, tier="gold", lvl=4.5)),
        "other issuer": (Token("other", "ines", {"plan": "gold"}), bearer(OTHER, plan="gold")),
    }


REQUESTS = [
    Question("GET", "/orders"),
    Question("POST", "/orders/refunds?a=1"),
    Question("GET", "/orders/refunds"),
    Question("POST", "/orders/refunds/7"),
    Question("GET", "/orders/eu"),
    Question("GET", "/orders/health"),
    Question("GET", "/orders/health/deep"),
    Question("PUT", "/orders"),
    Question("HEAD", "/orders"),
    Question("OPTIONS", "/orders"),
    Question("GET", "/v1/orders/1"),
    Question("GET", "/orders2"),
    Question("GET", "/nothing"),
    Question("GET", "/reports", host="reports.example.com"),
    Question("GET", "/reports"),
    Question("GET", "/orders/people", headers=(("user-agent", "Googlebot/2.1"), ("x-tenant", "good"))),
    Question("GET", "/orders/people", headers=(("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0"), ("x-tenant", "good"))),
    Question("GET", "/orders/people", headers=(("user-agent", "curl/8"),)),
]
ODD = [
    Question("GET", "/orders;x=1"),
    Question("GET", "/orders/%2e%2e/x"),
    Question("GET", "/orders/%2Fx"),
    Question("GET", "//orders///"),
    Question("GET", "/orders/../orders/health"),
    Question("GET", "/orders/./eu"),
    Question("GET", "/orders/" + "x" * 9000),
    Question("GET", "/orders", headers=(("x_under", "1"),)),
    Question("GET", "/orders", headers=(("x-bartizan-principal", ";id=acme;plan=gold;"), ("X-Bartizan-Scope", "*/orders"))),
    Question("GET", "/orders", headers=(("authorization", "Basic Zm9v"),)),
    Question("GET", "/orders", headers=(("authorization", "Bearer nonsense"),)),
    Question("GET", "/orders/health", headers=(("authorization", "Basic Zm9v"), ("x-api-key", "wrong"))),
    Question("GET", "/orders", headers=(("x-api-key", "bz_awrong"),)),
    Question("GET", "/orders", headers=(("x-api-key", "one"), ("x-api-key", "two"))),
    Question("POST", "/orders", headers=(("content-type", "application/grpc"),)),
    Question("GET", "/orders", host="any.example.com:8080"),
    Question("GET", "/reports", host="REPORTS.example.com."),
]
SAME = ("status", "details", "api", "route", "revision", "principal", "auth_method", "issuer", "attributes", "groups", "verdicts", "path")


async def answered(gw: Gateway, question: Question, credential: Mapping[str, str]) -> tuple[int, str | None]:
    """What the gateway answers: the status, and the request's id if it got as far as that."""
    headers = [("host", question.host), *question.headers, *credential.items(), ("connection", "close")]
    head = [f"{question.method} {question.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
    lines = (await gw.raw("\r\n".join(head).encode())).split(b"\r\n")
    ident = next((line.split(b": ")[1].decode() for line in lines if line.lower().startswith(b"x-request-id:")), None)
    return int(lines[0].split()[1]), ident


async def compared(gw: Gateway, scratch: Scratch, asked: list[tuple[str, Question, Mapping[str, str]]]) -> None:
    """Asks both, and compares what both say."""
    answers = [await answered(gw, question, credential) for _, question, credential in asked]
    records: dict[str, dict[str, Any]] = {}

    async def written() -> bool:
        records.update((one["request_id"], one) for one in gw.records())
        return all(ident in records for _, ident in answers if ident)

    await gw.eventually(written)
    for (who, question, _), (status, ident) in zip(asked, answers, strict=True):
        said = await scratch.record(question)
        assert said["status"] == status, f"{who}, {question}: {said}"
        if ident is None:  # refused by the parser of HTTP
            assert said["details"].startswith("http1."), said
            continue
        real = records[ident]
        limits = {one.policy for one in scratch.covering(said) if one.role == "counts"}
        assert {one["policy"] for one in said["limits"]} == (limits if real["details"] == "via_upstream" else set())
        for name in SAME:
            assert (said[name] or None) == (real[name] or None), f"{who}, {question}: {name}: {said[name]!r}, really {real[name]!r}"


async def test_a_scratch_instance_says_of_each_caller_and_request_what_the_gateway_answers(
    gw: Gateway, scratch: Scratch, keys: Mapping[str, str]
) -> None:
    asked = [
        (who, replace(question, principal=principal), credential)
        for who, (principal, credential) in callers(scratch, keys).items()
        for question in REQUESTS
    ]
    assert len(asked) > 150
    await compared(gw, scratch, asked)


async def test_it_says_the_same_of_odd_requests(gw: Gateway, scratch: Scratch, keys: Mapping[str, str]) -> None:
    acme, key = scratch.consumer("acme"), {"x-api-key": keys["acme"]}
    await compared(gw, scratch, [("nobody", one, {}) for one in ODD])
    await compared(gw, scratch, [("acme", replace(one, principal=acme), key) for one in ODD if "x-api-key" not in dict(one.headers)])
