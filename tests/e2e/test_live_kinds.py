"""Consumers and issuers through the admin API: in force within a second, no part of revisions, never brought back."""

import asyncio
import base64
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.gateway import TokenIssuer
from tests.e2e.test_admin import Admin, administered
from tests.e2e.test_blocks import until

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
attributes: {plan: string}
blocking: {exempt: [127.0.0.0/8]}
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Consumer
name: acme
attributes: {plan: gold}
---
kind: Authenticate
name: callers
any: [api_key]
---
kind: Authorize
name: gold
target: {api: orders, paths: [/orders/gold]}
allow: principal.plan == "gold"
"""
TOKENS = {"kind": "Authenticate", "name": "callers", "any": ["api_key", {"jwt": "corp"}]}


@pytest.fixture
async def admin(tmp_path: Path, upstream: int) -> AsyncIterator[Admin]:
    async with administered(tmp_path, {"all.yaml": FILES.replace("UPSTREAM", str(upstream))}) as one:
        one.ann = await one.token(one.first, "ann", "admin")  # type: ignore[attr-defined]
        yield one


async def call(admin: Admin, method: str, path: str, status: int = 200, **more: Any) -> Any:
    answer = await admin.call(method, path, admin.ann, **more)  # type: ignore[attr-defined]
    assert answer.status_code == status, answer.text
    return answer.json()


async def until_declared(admin: Admin, name: str) -> None:
    """The control plane is back, and knows this."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if (await admin.call("GET", f"/v1/resources/{name}", admin.ann)).status_code == 200:  # type: ignore[attr-defined]
                return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{name} isn't back")


def consumer(plan: str = "gold", **more: Any) -> dict[str, Any]:
    return {"attributes": {"plan": plan}, **more}


async def test_a_consumer_comes_changes_and_goes_within_a_second(admin: Admin) -> None:
    revision = (await call(admin, "GET", "/v1/status"))["revision"]
    told = await call(admin, "PUT", "/v1/resources/Consumer/globex", json=consumer())
    assert told == {"kind": "Consumer", "name": "globex", "live": True, "generation": 1}
    _, key = admin.gw.new_key("globex")
    _, other = admin.gw.new_key("acme")
    assert await until(admin.gw, 200, "/orders/gold", **{"x-api-key": key}) < 1
    # The same again changes nothing; another plan holds at once.
    assert (await call(admin, "PUT", "/v1/resources/Consumer/globex", json=consumer()))["generation"] == 1
    await call(admin, "PUT", "/v1/resources/Consumer/globex", json=consumer("silver"))
    assert await until(admin.gw, 403, "/orders/gold", **{"x-api-key": key}) < 1
    await call(admin, "PUT", "/v1/resources/Consumer/globex", json=consumer("gold", disabled=True))
    assert await until(admin.gw, 401, "/orders/gold", **{"x-api-key": key}) < 1
    await call(admin, "PUT", "/v1/resources/Consumer/globex", json=consumer())
    assert await until(admin.gw, 200, "/orders/gold", **{"x-api-key": key}) < 1
    await call(admin, "DELETE", "/v1/resources/Consumer/globex")
    assert await until(admin.gw, 401, "/orders/gold", **{"x-api-key": key}) < 1
    await call(admin, "DELETE", "/v1/resources/Consumer/globex", 404)
    assert (await admin.gw.get("/orders/gold", headers={"x-api-key": other})).status_code == 200
    assert (await call(admin, "GET", "/v1/status"))["revision"] == revision
    actions = [one["action"] for one in (await call(admin, "GET", "/v1/audit"))["items"] if one["action"].startswith("live.")]
    assert sorted(actions) == ["live.delete", "live.put", "live.put", "live.put", "live.put"]


async def test_what_the_files_declare_is_changed_in_the_files(admin: Admin) -> None:
    for method in ("PUT", "DELETE"):
        more = {"json": consumer()} if method == "PUT" else {}
        told = await call(admin, method, "/v1/resources/Consumer/acme", 409, **more)
        assert "all.yaml" in told["title"] + told.get("detail", "")
    # And the files can't declare what the API does: both places are told, and what was there before serves on.
    await call(admin, "PUT", "/v1/resources/Consumer/globex", json=consumer())
    _, key = admin.gw.new_key("globex")
    await until(admin.gw, 200, "/orders/gold", **{"x-api-key": key})
    (admin.gw.files / "more.yaml").write_text("kind: Consumer\nname: globex\nattributes: {plan: silver}\n")
    deadline = time.monotonic() + 5
    while not (refused := (await call(admin, "GET", "/v1/status"))["refused"]):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert "globex" in json.dumps(refused)
    assert "api/Consumer/globex" in json.dumps(refused)
    assert (await admin.gw.get("/orders/gold", headers={"x-api-key": key})).status_code == 200


async def test_it_outlasts_a_rollback_an_edit_of_the_files_and_a_restart(admin: Admin) -> None:
    await call(admin, "PUT", "/v1/resources/Consumer/globex", json=consumer())
    _, key = admin.gw.new_key("globex")
    await until(admin.gw, 200, "/orders/gold", **{"x-api-key": key})
    await call(admin, "PUT", "/v1/resources/IpAccess/some", json={"target": {"api": "orders"}, "deny": ["192.0.2.0/24"]})
    await call(admin, "DELETE", "/v1/resources/Consumer/globex")
    await until(admin.gw, 401, "/orders/gold", **{"x-api-key": key})
    await call(admin, "POST", "/v1/rollback", json={"reason": "the way back"})
    await asyncio.sleep(0.5)
    assert (await admin.gw.get("/orders/gold", headers={"x-api-key": key})).status_code == 401
    await call(admin, "PUT", "/v1/resources/Consumer/globex", json=consumer())
    await until(admin.gw, 200, "/orders/gold", **{"x-api-key": key})
    path = admin.gw.files / "all.yaml"
    path.write_text(path.read_text().replace("plan: gold", "plan: bronze"))
    await asyncio.sleep(0.6)
    assert (await admin.gw.get("/orders/gold", headers={"x-api-key": key})).status_code == 200
    await call(admin, "PUT", "/v1/resources/Consumer/globex", json=consumer("silver"))
    await until(admin.gw, 403, "/orders/gold", **{"x-api-key": key})
    os.kill(admin.gw.pid("bartizan.app"), signal.SIGKILL)
    assert (await admin.gw.get("/orders/gold", headers={"x-api-key": key})).status_code == 403
    await until_declared(admin, "Consumer/globex")
    assert (await admin.gw.get("/orders/gold", headers={"x-api-key": key})).status_code == 403


async def test_an_issuer_and_the_policy_that_names_it(admin: Admin) -> None:
    issuer = TokenIssuer()
    await call(admin, "PUT", "/v1/resources/Authenticate/callers", 422, json=TOKENS)  # there is no such issuer yet
    document = {"issuer": "https://idp.example.com", "audiences": ["orders"], "jwks": {"keys": [issuer.jwk()]}}
    await call(admin, "PUT", "/v1/resources/Issuer/corp", json=document)
    await call(admin, "PUT", "/v1/resources/Authenticate/callers", json=TOKENS)
    token = f"Bearer {issuer.token(sub='alice', aud='orders')}"
    await until(admin.gw, 200, "/orders/1", authorization=token)
    told = await call(admin, "DELETE", "/v1/resources/Issuer/corp", 422)  # a policy names it
    assert "corp" in json.dumps(told)
    assert (await admin.gw.get("/orders/1", headers={"authorization": token})).status_code == 200
    # Without its keys nobody comes in by it any more.
    other = TokenIssuer()
    await call(admin, "PUT", "/v1/resources/Issuer/corp", json={**document, "jwks": {"keys": [other.jwk()]}})
    assert await until(admin.gw, 401, "/orders/1", authorization=token) < 1.5


async def test_what_is_wrong_with_it_is_told_and_nothing_is_kept(admin: Admin) -> None:
    for wrong, where in (
        ({"attributes": {"plam": "gold"}}, "plam"),
        ({"disabld": True}, "disabld"),
        ({"credentials": [{"api_key": "bz_in_the_open_0123456789"}]}, "open"),
    ):
        told = await call(admin, "PUT", "/v1/resources/Consumer/globex", 422, json=wrong)
        assert where in json.dumps(told)
        assert "bz_in_the_open" not in json.dumps(told)
    await call(admin, "GET", "/v1/resources/Consumer/globex", 404)


async def test_an_editor_may_but_not_reach_inside(admin: Admin) -> None:
    bob, eve = [await admin.token(admin.ann, name, role) for name, role in (("bob", "editor"), ("eve", "viewer"))]  # type: ignore[attr-defined]
    url = "/v1/resources/Consumer/globex"
    assert (await admin.call("PUT", url, eve, json=consumer())).status_code == 403
    assert (await admin.client.put(url, json=consumer())).status_code == 401
    assert (await admin.call("PUT", url, bob, json=consumer())).status_code == 200
    inside = consumer(credentials=[{"api_key": {"file": "/etc/hostname"}}])
    assert (await admin.call("PUT", url, bob, json=inside)).status_code == 403
    etag = (await admin.call("GET", url, bob)).headers["etag"]
    assert (await admin.call("PUT", url, bob, json=consumer("silver"), headers={"if-match": '"stale"'})).status_code == 412
    assert (await admin.call("PUT", url, bob, json=consumer("silver"), headers={"if-none-match": "*"})).status_code == 412
    assert (await admin.call("PUT", url, bob, json=consumer("silver"), headers={"if-match": etag})).status_code == 200
    # Several changes at once are one revision, and live data is no part of one.
    bulk = await admin.call("POST", "/v1/changes", bob, json={"put": [{"kind": "Consumer", "name": "globex"}]})
    assert (bulk.status_code, bulk.json()["type"]) == (403, "urn:bartizan:problem:live-kind")


async def test_fifty_at_once_all_hold(admin: Admin) -> None:
    calls = [call(admin, "PUT", f"/v1/resources/Consumer/c{number}", json=consumer()) for number in range(50)]
    told = await asyncio.gather(*calls, return_exceptions=True)
    assert not [one for one in told if isinstance(one, BaseException)]
    page = await call(admin, "GET", "/v1/resources?kind=Consumer&limit=1000")
    assert len(page["items"]) == 51
    assert base64.b64encode(b"c49") not in (admin.gw.state / "declared.journal").read_bytes()
