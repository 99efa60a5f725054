"""Cors, end to end: which pages may call, which preflights are answered, and that none reaches the upstream unasked."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.gateway import Gateway, gateway, upstream

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
attributes: {plan: string}
---
kind: Api
name: orders
paths: [/orders]
methods: [GET, POST]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Api
name: plain
paths: [/plain]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Consumer
name: acme
attributes: {plan: gold}
"""

POLICIES = """
kind: Authenticate
name: callers
target: {except: [/orders/open]}
any: [api_key]
---
kind: Public
name: open
target: {api: orders, paths: [/orders/open]}
reason: anyone may read the catalogue
---
kind: Authorize
name: nobody
target: {api: orders, methods: [POST], paths: [/orders/refunds]}
allow: principal.plan == "platinum"
---
kind: RateLimit
name: few
target: {api: orders, paths: [/orders/few]}
per: principal.id
tiers: [{windows: [1/hour]}]
---
kind: Cors
name: shop
target: {api: orders}
origins: [https://shop.example.com, "https://*.partners.example.com"]
methods: [GET, POST, PUT]
headers: [content-type, x-api-key]
expose: [x-request-id]
credentials: true
max_age: 5m
---
kind: Cors
name: open-to-all
target: {api: orders, paths: [/orders/open]}
origins: ["*"]
"""

SHOP = "https://shop.example.com"
EVIL = "https://evil.example.com"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gw(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("cors")
    with upstream() as port:
        async with gateway(folder, {"gateway.yaml": FILES.replace("UPSTREAM", str(port)), "policies.yaml": POLICIES}) as made:
            yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def key(gw: Gateway) -> str:
    _, text = gw.new_key("acme")

    async def accepted() -> bool:
        return (await gw.get("/plain", headers={"x-api-key": text})).status_code == 200

    await gw.eventually(accepted)
    return text


def _preflight(origin: str, method: str = "POST") -> dict[str, str]:
    return {"origin": origin, "access-control-request-method": method, "access-control-request-headers": "x-api-key"}


@pytest.mark.parametrize("path", ["/orders", "/orders/refunds", "/orders/few"])
@pytest.mark.parametrize("origin", [SHOP, "https://a.partners.example.com", "https://a.b.partners.example.com"])
async def test_a_preflight_of_an_allowed_origin_is_answered_without_a_credential(gw: Gateway, origin: str, path: str) -> None:
    answer = await gw.request("OPTIONS", path, headers=_preflight(origin))
    assert answer.status_code == 200
    assert answer.content == b""
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-allow-methods"] == "GET, POST, PUT"
    assert answer.headers["access-control-allow-headers"] == "content-type, x-api-key"
    assert answer.headers["access-control-max-age"] == "300"
    record = await gw.record(answer)
    assert record["details"] != "via_upstream"


@pytest.mark.parametrize(
    "origin",
    [
        EVIL,
        "https://partners.example.com",
        "http://shop.example.com",
        "https://shop.example.com.evil.org",
        "null",
        "https://xpartners.example.com",
    ],
)
async def test_a_preflight_of_another_origin_gets_no_permission_and_ends_here(gw: Gateway, origin: str, key: str) -> None:
    for more in ({}, {"x-api-key": key}):
        answer = await gw.request("OPTIONS", "/orders", headers={**_preflight(origin), **more})
        assert "access-control-allow-origin" not in answer.headers
        assert answer.content == b""
        assert (await gw.record(answer))["details"] != "via_upstream"


async def test_without_a_policy_a_preflight_is_a_request_like_any_other(gw: Gateway) -> None:
    answer = await gw.request("OPTIONS", "/plain", headers=_preflight(SHOP))
    assert answer.status_code == 401
    assert "access-control-allow-origin" not in answer.headers


async def test_options_that_is_no_preflight_needs_a_credential(gw: Gateway) -> None:
    assert (await gw.request("OPTIONS", "/orders", headers={"origin": SHOP})).status_code == 401
    assert (await gw.request("OPTIONS", "/orders", headers={"access-control-request-method": "GET"})).status_code == 401


async def test_refusals_can_be_read_by_allowed_origins_only(gw: Gateway, key: str) -> None:
    with_key = {"x-api-key": key}
    await gw.get("/orders/few", headers=with_key)
    cases = [
        ("GET", "/orders", {}, 401),
        ("GET", "/orders", {"x-api-key": "wrong-key-wrong-key"}, 401),
        ("GET", "/orders", {"authorization": "Basic Zm9v"}, 401),
        ("POST", "/orders/refunds", with_key, 403),
        ("GET", "/orders/few", with_key, 429),
        ("PUT", "/orders", with_key, 405),
    ]
    for method, path, headers, status in cases:
        for origin, allowed in ((SHOP, True), (EVIL, False)):
            answer = await gw.request(method, path, headers={**headers, "origin": origin})
            assert answer.status_code == status, (path, headers)
            assert answer.headers.get("access-control-allow-origin") == (origin if allowed else None), (path, headers, origin)


async def test_answers_of_the_upstream_carry_our_word_and_not_its_own(gw: Gateway, key: str) -> None:
    for origin, allowed in ((SHOP, True), (EVIL, False)):
        headers = {"x-api-key": key, "origin": origin, "x-answer-headers": '{"access-control-allow-origin": "*"}'}
        answer = await gw.get("/orders", headers=headers)
        assert answer.status_code == 200
        assert answer.headers.get_list("access-control-allow-origin") == ([origin] if allowed else [])
        assert "origin" in answer.headers["vary"].lower()
        if allowed:
            assert answer.headers["access-control-expose-headers"] == "x-request-id"


async def test_the_nearest_policy_applies(gw: Gateway) -> None:
    answer = await gw.get("/orders/open", headers={"origin": EVIL})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] in {"*", EVIL}
    assert "access-control-allow-credentials" not in answer.headers


async def test_credentials_with_everyone_is_refused_when_written(gw: Gateway) -> None:
    bad = POLICIES.replace('origins: ["*"]', 'origins: ["*"]\ncredentials: true')
    told = await gw.edit("policies.yaml", bad, enforced=False)
    assert "with credentials" in told["refused"][0]["message"]
    shadow = POLICIES.replace("max_age: 5m", "mode: shadow")
    told = await gw.edit("policies.yaml", shadow, enforced=False)
    assert told["refused"][0]["code"] == "mode-unsupported"
