"""RequireFactor and scopes, end to end: who logged in too weakly or too long ago is challenged, and passes after a better login."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.e2e.agreement import agrees
from tests.e2e.gateway import Gateway, TokenIssuer, gateway, upstream

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
attributes: {acr: string, amr: list, auth_time: number, scopes: words}
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Consumer
name: acme
attributes: {acr: phr, amr: [mfa, hwk], scopes: ["orders:read", "orders:write"]}
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [orders]
jwks: {file: corp.json}
attributes: {acr: acr, amr: amr, auth_time: auth_time, scopes: scope}
---
kind: Authenticate
name: callers
any: [api_key, {jwt: corp}]
---
kind: RequireFactor
name: strong
target: {api: orders, paths: [/orders/refunds]}
acr: [phrh, phr]
amr: [mfa]
within: 10m
---
kind: RequireFactor
name: recent
target: {api: orders, paths: [/orders/addresses]}
within: 1h
---
kind: RequireFactor
name: large
target: {api: orders, paths: [/orders/large]}
acr: [phr]
when: request.headers["x-amount"] != "small"
---
kind: RequireFactor
name: watched
target: {api: orders, paths: [/orders/watched]}
acr: [phr]
mode: shadow
---
kind: Authorize
name: readers
target: {api: orders, paths: [/orders/scoped]}
allow: '"orders:read" in principal.scopes'
---
kind: Authorize
name: not-admins
target: {api: orders, paths: [/orders/unscoped]}
allow: '!("admin" in principal.scopes)'
"""
CORP = TokenIssuer()
STRONG: dict[str, Any] = {"acr": "phr", "amr": ["pwd", "mfa"]}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gw(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    with upstream() as port:
        files = {"all.yaml": FILES.replace("UPSTREAM", str(port)), "corp.json": CORP.jwks()}
        async with gateway(tmp_path_factory.mktemp("factors"), files) as made:
            yield made


async def ask(gw: Gateway, path: str, headers: dict[str, str] | None = None, **claims: Any) -> httpx.Response:
    told = {"auth_time": int(time.time()), **claims}
    return await gw.get(path, headers={"authorization": f"Bearer {CORP.token(**told)}", **(headers or {})})


CHALLENGE = 'Bearer realm="edge", error="insufficient_user_authentication", acr_values="phrh phr", max_age="600"'


async def test_a_weak_login_is_challenged_and_the_same_request_passes_after_a_strong_one(gw: Gateway) -> None:
    weak = await ask(gw, "/orders/refunds", acr="pwd", amr=["pwd"])
    assert weak.status_code == 401
    assert weak.headers.get_list("www-authenticate") == [CHALLENGE]
    assert weak.json()["type"] == "urn:bartizan:problem:stronger-login-needed" and weak.json()["status"] == 401
    assert "phr" not in weak.text
    assert (await ask(gw, "/orders/refunds", **STRONG)).status_code == 200
    assert "www-authenticate" not in (await ask(gw, "/orders/refunds", **STRONG)).headers


@pytest.mark.parametrize(
    "claims",
    [
        {"acr": None},
        {"acr": ""},
        {"acr": ["phr"]},
        {"acr": "PHR"},
        {"acr": "phr "},
        {"amr": None},
        {"amr": []},
        {"amr": "mfa"},
        {"amr": ["pwd"]},
        {"auth_time": None},
        {"auth_time": 0},
        {"auth_time": "recently"},
        {"auth_time": str(int(time.time())) + "x"},
        {"auth_time": int(time.time()) - 700},
        {"auth_time": int(time.time()) + 7200},
        {"auth_time": -1},
        {"auth_time": 1e300},
        {"auth_time": {"is": 1}},
    ],
)
async def test_what_a_token_tells_otherwise_doesnt_pass(gw: Gateway, claims: dict[str, Any]) -> None:
    answer = await ask(gw, "/orders/refunds", **{**STRONG, **claims})
    assert (answer.status_code, answer.headers.get("www-authenticate")) == (401, CHALLENGE)


async def test_an_old_login_is_told_how_old_it_may_be(gw: Gateway) -> None:
    old = await ask(gw, "/orders/addresses", auth_time=int(time.time()) - 3700)
    assert old.headers["www-authenticate"] == 'Bearer realm="edge", error="insufficient_user_authentication", max_age="3600"'
    assert (await ask(gw, "/orders/addresses", auth_time=int(time.time()) - 3500)).status_code == 200


async def test_a_key_tells_no_factor_whatever_its_consumer_has(gw: Gateway) -> None:
    _, key = gw.new_key("acme")
    await gw.eventually(lambda: _is(gw, "/orders/scoped", key, 200))
    assert (await gw.get("/orders/refunds", headers={"x-api-key": key})).status_code == 401
    assert (await gw.get("/orders/large", headers={"x-api-key": key, "x-amount": "small"})).status_code == 200
    assert (await gw.get("/orders/large", headers={"x-api-key": key})).status_code == 401


async def _is(gw: Gateway, path: str, key: str, status: int) -> bool:
    return (await gw.get(path, headers={"x-api-key": key})).status_code == status


async def test_a_forged_header_tells_no_factor(gw: Gateway) -> None:
    forged = {"x-bartizan-claim-acr": "phr", "x-bartizan-claim-amr": "WyJtZmEiXQ==", "x-bartizan-principal": "x;y"}
    assert (await ask(gw, "/orders/refunds", forged)).status_code == 401


async def test_other_refusals_there_keep_their_own_challenge(gw: Gateway) -> None:
    for headers in ({}, {"authorization": "Bearer x.y.z"}, {"x-api-key": "bz_wrong"}):
        answer = await gw.get("/orders/refunds", headers=headers)
        assert answer.status_code == 401 and "insufficient" not in answer.headers["www-authenticate"]
        assert len(answer.headers.get_list("www-authenticate")) == 1


@pytest.mark.parametrize(("amount", "status"), [("small", 200), ("big", 401), (None, 401)])
async def test_only_what_when_says_for_certain_needs_none(gw: Gateway, amount: str | None, status: int) -> None:
    headers = {"x-amount": amount} if amount else {}
    assert (await ask(gw, "/orders/large", headers, acr="pwd")).status_code == status
    assert (await ask(gw, "/orders/large", headers, acr="phr")).status_code == 200


async def test_in_shadow_it_only_notes(gw: Gateway) -> None:
    answer = await ask(gw, "/orders/watched", acr="pwd")
    assert answer.status_code == 200 and "www-authenticate" not in answer.headers
    record = await gw.record(answer)
    assert "RequireFactor/watched" in json.dumps(record)


@pytest.mark.parametrize(
    ("scope", "reads", "others"),
    [
        ("orders:read", 200, 200),
        ("a orders:read b", 200, 200),
        ("orders:read admin", 200, 403),
        (["orders:read"], 200, 200),
        (["admin", "x"], 403, 403),
        ("orders:reader", 403, 200),
        ("xorders:read", 403, 200),
        ('"orders:read"', 403, 403),
        ('["orders:read"]', 403, 403),
        ("a\torders:read", 403, 403),
        ("a  orders:read", 403, 403),
        ("", 403, 403),
        (None, 403, 403),
        (7, 403, 200),
    ],
)
async def test_scopes_are_words_or_a_list(gw: Gateway, scope: Any, reads: int, others: int) -> None:
    assert (await ask(gw, "/orders/scoped", scope=scope)).status_code == reads
    assert (await ask(gw, "/orders/unscoped", scope=scope)).status_code == others


async def test_a_replay_of_all_that_was_asked_agrees(gw: Gateway) -> None:
    """The last test: what the others asked was recorded."""
    await agrees(gw, judged=55, untold=9)
