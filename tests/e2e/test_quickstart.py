"""The main job, end to end: strangers stay out, the right callers get in, in the right context, within their limits."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.gateway import Gateway, TokenIssuer, gateway, upstream

ISSUER = TokenIssuer()

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
attributes: {plan: string, department: string}
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:UPSTREAM
identity_headers: {x-caller: id}
---
kind: Consumer
name: acme
attributes: {plan: gold, department: finance}
---
kind: Consumer
name: globex
attributes: {plan: free, department: sales}
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [orders]
jwks: {file: jwks.json}
attributes: {department: department}
"""

POLICIES = """
kind: Authenticate
name: callers
target: {api: orders, except: [/orders/health]}
any: [api_key, {jwt: corp}]
---
kind: Public
name: health
target: {api: orders, paths: [/orders/health]}
reason: the load balancer has no credentials
---
kind: Authorize
name: refunds
target: {api: orders, methods: [POST], paths: [/orders/refunds]}
allow: principal.department == "finance"
---
kind: RateLimit
name: by-plan
target: {api: orders, paths: [/orders/limited]}
per: principal.id
tiers:
  - {when: principal.plan == "gold", windows: [20/minute]}
  - {windows: [3/minute]}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gw(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("quickstart")
    with upstream() as port:
        (folder / "files").mkdir()
        (folder / "files" / "jwks.json").write_text(ISSUER.jwks())
        async with gateway(folder, {"gateway.yaml": FILES.replace("UPSTREAM", str(port)), "policies.yaml": POLICIES}) as made:
            yield made


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _key(gw: Gateway, consumer: str) -> str:
    _, key = gw.new_key(consumer)

    async def accepted() -> bool:
        return (await gw.get("/orders", headers={"x-api-key": key})).status_code == 200

    await gw.eventually(accepted)
    return key


async def test_no_credential_is_401_with_a_challenge_and_a_problem(gw: Gateway) -> None:
    answer = await gw.get("/orders")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="edge"'
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["type"] == "urn:bartizan:problem:unauthenticated"
    assert told["request_id"] == answer.headers["x-request-id"]
    record = await gw.record(answer)
    assert record["details"].endswith("[Authenticate/callers]")
    assert record["revision"] == (await gw.status())["revision"]


async def test_a_public_path_needs_no_credential(gw: Gateway) -> None:
    assert (await gw.get("/orders/health")).status_code == 200
    # What a caller sends there is stripped, not judged.
    answer = await gw.get("/orders/health", headers={"x-api-key": "wrong", "authorization": "Basic Zm9v"})
    assert answer.status_code == 200
    assert not {"x-api-key", "authorization"} & {name for name, _ in answer.json()["headers"]}


async def test_a_key_lets_its_consumer_in_and_stays_hidden(gw: Gateway) -> None:
    key = await _key(gw, "acme")
    answer = await gw.get("/orders", headers={"x-api-key": key})
    headers = dict(answer.json()["headers"])
    assert headers["x-caller"] == "acme"
    assert "x-api-key" not in headers
    assert not [name for name in headers if name.startswith(("x-bartizan", "x-envoy"))]


async def test_a_token_lets_its_subject_in(gw: Gateway) -> None:
    answer = await gw.get("/orders", headers={"authorization": f"bearer {ISSUER.token()}"})
    assert answer.status_code == 200
    headers = dict(answer.json()["headers"])
    assert headers["x-caller"] == "https://idp.example.com|ines"
    assert "authorization" not in headers


async def test_the_same_condition_holds_for_keys_and_tokens(gw: Gateway) -> None:
    finance, sales = await _key(gw, "acme"), await _key(gw, "globex")
    for headers, status in (
        ({"x-api-key": finance}, 200),
        ({"x-api-key": sales}, 403),
        ({"authorization": f"Bearer {ISSUER.token(department='finance')}"}, 200),
        ({"authorization": f"Bearer {ISSUER.token(department='sales')}"}, 403),
        ({"authorization": f"Bearer {ISSUER.token()}"}, 403),
    ):
        answer = await gw.request("POST", "/orders/refunds", headers=headers)
        assert answer.status_code == status, headers
        assert status == 200 or (await gw.record(answer))["details"].endswith("[Authorize/refunds]")


async def test_a_limit_holds_by_plan_and_says_when_to_come_back(gw: Gateway) -> None:
    for consumer, allowed in (("acme", 20), ("globex", 3)):
        key = await _key(gw, consumer)
        answers = [await gw.get("/orders/limited", headers={"x-api-key": key}) for _ in range(allowed + 3)]
        assert [answer.status_code for answer in answers] == [200] * allowed + [429] * 3
        last = answers[-1]
        assert last.json()["type"] == "urn:bartizan:problem:too-many-requests"
        assert int(last.headers["retry-after"]) > 0
        assert last.headers["x-ratelimit-limit"].startswith(str(allowed))


async def test_a_revoked_key_is_refused_within_a_second(gw: Gateway) -> None:
    ident, key = gw.new_key("acme")

    async def status_is(code: int) -> bool:
        return (await gw.get("/orders", headers={"x-api-key": key})).status_code == code

    await gw.eventually(lambda: status_is(200), 2)
    gw.revoke(ident)
    await gw.eventually(lambda: status_is(401), 1)


async def test_an_edit_is_enforced_and_a_bad_edit_is_refused_whole(gw: Gateway) -> None:
    key = await _key(gw, "globex")
    before = await gw.status()
    await gw.edit("policies.yaml", POLICIES.replace('== "finance"', '== "sales"'))
    assert (await gw.request("POST", "/orders/refunds", headers={"x-api-key": key})).status_code == 200
    after = await gw.status()
    assert after["revision"] != before["revision"]
    told = await gw.edit(
        "policies.yaml", POLICIES.replace('principal.department == "finance"', "principal.departmint == 1"), enforced=False
    )
    assert told["refused"][0]["code"] == "condition-unknown-name"
    assert told["refused"][0]["line"] == 15
    assert (await gw.request("POST", "/orders/refunds", headers={"x-api-key": key})).status_code == 200
    said = await gw.edit("policies.yaml", POLICIES.replace("name: refunds", "name: refunds\ndescription: nothing else changes"))
    assert said["revision"] != before["revision"]
    back = await gw.edit("policies.yaml", POLICIES)
    assert back["revision"] == before["revision"]
    assert (await gw.request("POST", "/orders/refunds", headers={"x-api-key": key})).status_code == 403
