"""The emergency brake takes hold within a second whatever the policies say, ends by itself, and nothing but a person lifts it before."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.gateway import Gateway, TokenIssuer
from tests.e2e.test_admin import Admin, administered

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
api_keys: {headers: [x-api-key], cookies: [key]}
blocking: {exempt: [127.0.0.0/8]}
---
kind: Api
name: orders
paths: [/orders, /]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Consumer
name: acme
---
kind: Consumer
name: globex
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [orders]
jwks: JWKS
---
kind: Authenticate
name: callers
target: {api: orders, except: [/open]}
any: [api_key, {jwt: corp}]
---
kind: Public
name: open
target: {api: orders, paths: [/open]}
reason: everybody may read the prices
"""


@pytest.fixture(scope="module")
def issuer() -> TokenIssuer:
    return TokenIssuer()


@pytest.fixture
async def admin(tmp_path: Path, upstream: int, issuer: TokenIssuer) -> AsyncIterator[Admin]:
    text = FILES.replace("UPSTREAM", str(upstream)).replace("JWKS", json.dumps({"keys": [issuer.jwk()]}))
    async with administered(tmp_path, {"all.yaml": text}) as one:
        one.ann = await one.token(one.first, "ann", "admin")  # type: ignore[attr-defined]
        yield one


def ann(admin: Admin) -> str:
    """The token of an admin."""
    return str(admin.ann)  # type: ignore[attr-defined]


async def block(admin: Admin, what: str, value: str, seconds: float = 60, **more: Any) -> dict[str, Any]:
    """Blocks."""
    wanted = {"what": what, "value": value, "seconds": seconds, "reason": "leaked", **more}
    answer = await admin.call("POST", "/v1/blocks", ann(admin), json=wanted)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def until(gw: Gateway, status: int, path: str = "/orders/1", seconds: float = 5.0, **headers: str) -> float:
    """How long it takes until this is answered so, in seconds."""
    began = time.monotonic()
    while (answer := await gw.get(path, headers=headers)).status_code != status:
        assert time.monotonic() < began + seconds, answer.text
        await asyncio.sleep(0.005)
    return time.monotonic() - began


async def test_a_consumer_is_stopped_with_each_of_its_credentials(admin: Admin) -> None:
    gw = admin.gw
    keys = [gw.new_key("acme")[1], gw.new_key("acme")[1]]
    _, other = gw.new_key("globex")
    for key in (*keys, other):
        await until(gw, 200, **{"x-api-key": key})
    told = await block(admin, "consumer", "acme")
    for key in keys:
        await until(gw, 403, **{"x-api-key": key})
        assert (await gw.get("/orders/1", headers={"cookie": f"key={key}"})).status_code == 403
    assert (await gw.get("/orders/1", headers={"x-api-key": other})).status_code == 200
    assert (await gw.get("/open")).status_code == 200
    answer = await gw.get("/orders/1", headers={"x-api-key": keys[0]})
    assert answer.headers["content-type"] == "application/problem+json"
    assert "leaked" not in answer.text
    assert told["block"]["id"] not in answer.text
    assert (await gw.record(answer))["details"] == f"rbac_access_denied_matched_policy[block/{told['block']['id']}]"


async def test_the_principal_of_a_token_is_stopped(admin: Admin, issuer: TokenIssuer) -> None:
    gw = admin.gw
    alice, bob = (f"Bearer {issuer.token(sub=sub, aud='orders')}" for sub in ("alice", "bob"))
    await until(gw, 200, authorization=alice)
    await block(admin, "consumer", "https://idp.example.com|alice")
    await until(gw, 403, authorization=alice)
    assert (await gw.get("/orders/1", headers={"authorization": bob})).status_code == 200


@pytest.mark.parametrize(("what", "claim"), [("token", "jti"), ("session", "sid")])
async def test_a_token_or_a_session_is_stopped_and_no_other_of_the_same_caller(
    admin: Admin, issuer: TokenIssuer, what: str, claim: str
) -> None:
    gw = admin.gw
    bad = {"authorization": f"Bearer {issuer.token(**{claim: 'a-1'}, iat=1)}"}
    good = [{"authorization": f"Bearer {issuer.token(**more)}"} for more in ({claim: "a-2"}, {claim: "A-1"}, {claim: "a-1 "}, {})]
    for headers in (bad, *good):
        await until(gw, 200, **headers)
    told = await block(admin, what, "a-1")
    assert await until(gw, 403, **bad) < 1
    spoofed = {"x-bartizan-jti": "b", "x-bartizan-sid": "b"}
    assert (await gw.get("/orders/1", headers={**bad, **spoofed})).status_code == 403
    record = await gw.record(await gw.get("/orders/1", headers=bad))
    assert told["block"]["id"] in record["details"] and "a-1" not in json.dumps(record)
    for headers in good:
        assert (await gw.get("/orders/1", headers={**headers, "x-bartizan-jti": "a-1", "x-bartizan-sid": "a-1"})).status_code == 200
    assert (await admin.call("DELETE", f"/v1/blocks/{told['block']['id']}", ann(admin))).status_code == 200
    assert await until(gw, 200, **bad) < 1


async def test_a_key_is_stopped_and_the_consumers_other_one_isnt(admin: Admin) -> None:
    gw = admin.gw
    (ident, key), (_, other) = gw.new_key("acme"), gw.new_key("acme")
    await until(gw, 200, **{"x-api-key": other})
    told = await block(admin, "key", ident)
    await until(gw, 401, **{"x-api-key": key})
    assert (await gw.get("/orders/1", headers={"x-api-key": other})).status_code == 200
    await admin.call("DELETE", f"/v1/blocks/{told['block']['id']}", ann(admin))
    await until(gw, 200, **{"x-api-key": key})


@pytest.mark.parametrize("network", ["127.0.0.1", "127.0.0.0/8", "::ffff:127.0.0.1"])
async def test_an_address_is_stopped_before_its_credentials_are_looked_at(admin: Admin, network: str) -> None:
    gw = admin.gw
    _, key = gw.new_key("acme")
    await until(gw, 200, **{"x-api-key": key})
    await block(admin, "ip", network)
    await until(gw, 403, **{"x-api-key": key})
    # Whether a credential is good can't be told any more.
    assert (await gw.get("/orders/1", headers={"x-api-key": "bz_wrong"})).status_code == 403
    assert (await gw.get("/orders/1", headers={"x-api-key": key, "x-forwarded-for": "192.0.2.1"})).status_code == 403
    # The operators' own way in isn't cut.
    assert (await admin.call("GET", "/v1/blocks", ann(admin))).status_code == 200


async def test_a_path_is_stopped_with_what_lies_below_and_nothing_else(admin: Admin) -> None:
    gw = admin.gw
    _, key = gw.new_key("acme")
    await until(gw, 200, **{"x-api-key": key})
    await block(admin, "path", "/orders")
    await until(gw, 403, **{"x-api-key": key})
    for path in ("/orders", "/orders/", "/orders?x=1", "/orders/1/2", "/ORDERS/1", "/orders//1"):
        assert (await gw.get(path, headers={"x-api-key": key})).status_code in {403, 400, 404}, path
    for path in ("/ordersx", "/open", "/x/orders"):
        assert (await gw.get(path, headers={"x-api-key": key})).status_code == 200, path


async def test_a_block_ends_by_itself(admin: Admin) -> None:
    gw = admin.gw
    _, key = gw.new_key("acme")
    await until(gw, 200, **{"x-api-key": key})
    await block(admin, "consumer", "acme", seconds=1.5)
    await until(gw, 403, **{"x-api-key": key})
    assert await until(gw, 200, **{"x-api-key": key}) > 0.5
    assert (await admin.call("GET", "/v1/blocks", ann(admin))).json() == []


@pytest.mark.parametrize("what", ["bartizan.app", "bartizan.node", "envoy"])
async def test_neither_a_way_back_nor_a_crash_lifts_it(admin: Admin, what: str) -> None:
    gw = admin.gw
    (ident, key), (_, other) = gw.new_key("acme"), gw.new_key("globex")
    await until(gw, 200, **{"x-api-key": key})
    deny = {"target": {"api": "orders", "paths": ["/open"]}, "deny": ["192.0.2.0/24"]}
    await admin.call("PUT", "/v1/resources/IpAccess/x", ann(admin), json=deny)
    await block(admin, "consumer", "globex")
    await block(admin, "path", "/open")
    await block(admin, "key", ident)
    await until(gw, 403, **{"x-api-key": other})
    assert (await admin.call("POST", "/v1/rollback", ann(admin), json={"reason": "test"})).status_code == 200
    assert (await gw.get("/orders/1", headers={"x-api-key": other})).status_code == 403
    os.kill(gw.pid(what), signal.SIGKILL)
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline:
        try:
            answers = [(await gw.get("/orders/1", headers={"x-api-key": one})).status_code for one in (key, other)]
            assert answers == [401, 403]
            assert (await gw.get("/open")).status_code == 403
        except OSError:
            pass
        except Exception as error:  # noqa: BLE001 - the gateway's Envoy may be on its way back
            assert type(error).__module__.startswith("httpx"), error
        await asyncio.sleep(0.1)
    assert (await gw.get("/open")).status_code == 403
    await gw.eventually(lambda: _is_back(gw), 20)
    assert len((await gw.status())["brakes"]) == 3


async def _is_back(gw: Gateway) -> bool:
    try:
        nodes = (await gw.status())["nodes"]
    except httpx.TransportError:
        return False
    return bool(nodes) and bool(nodes[0]["acknowledged"])


async def test_much_traffic_needs_a_second_person(admin: Admin) -> None:
    gw = admin.gw
    bob = await admin.token(ann(admin), "bob", "approver")
    _, key = gw.new_key("acme")
    await until(gw, 200, **{"x-api-key": key})
    answers = [await gw.get("/orders/1", headers={"x-api-key": key}) for _ in range(60)]
    answers += [await gw.get("/open") for _ in range(60)]
    await gw.record(answers[-1])
    looked = await block(admin, "consumer", "acme", dry=True)
    assert looked["block"] is None
    assert looked["matched"] >= 60
    assert 0.4 < looked["share"] < 0.6
    assert looked["consumers"] == ["acme"]
    told = await block(admin, "consumer", "acme")
    assert told["block"]["waits"]
    await asyncio.sleep(0.3)
    assert (await gw.get("/orders/1", headers={"x-api-key": key})).status_code == 200
    at = f"/v1/blocks/{told['block']['id']}/approval"
    assert (await admin.call("POST", at, ann(admin))).status_code == 403
    assert (await admin.call("POST", at, bob)).status_code == 200
    await until(gw, 403, **{"x-api-key": key})
    emergency = await block(admin, "path", "/open", emergency=True)
    assert not emergency["block"]["waits"]
    await until(gw, 403, path="/open")
    log = (await admin.call("GET", "/v1/audit", ann(admin))).json()["items"]
    assert {"block.ask", "block.approve", "block"} <= {one["action"] for one in log}
