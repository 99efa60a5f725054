"""The admin API over TCP and over the unix socket: tokens, roles, resources, revisions, the way back."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.gateway import Gateway, free_port, gateway

FILES = {
    "gateway.yaml": """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
attributes: {plan: string}
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:9
---
kind: Consumer
name: acme
attributes: {plan: gold}
---
kind: Authenticate
name: callers
target: {api: orders, except: [/orders/health]}
any: [api_key]
---
kind: Public
name: health
target: {api: orders, paths: [/orders/health]}
reason: for the probes of the balancer
"""
}
DENY = {"target": {"api": "orders", "paths": ["/orders/health"]}, "deny": ["127.0.0.0/8"]}


class Admin:
    """A gateway with its admin API."""

    def __init__(self, gw: Gateway, port: int) -> None:
        self.gw = gw
        self.url = f"http://127.0.0.1:{port}"
        self.first = (gw.state / "first-token").read_text().strip()
        self.client = httpx.AsyncClient(base_url=self.url, timeout=10)

    async def call(self, method: str, path: str, token: str, **more: Any) -> httpx.Response:
        """A request with a token."""
        headers = {"authorization": f"Bearer {token}", **more.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **more)

    async def token(self, by: str, name: str, role: str, **more: Any) -> str:
        """The text of a new token."""
        made = await self.call("POST", "/v1/tokens", by, json={"name": name, "role": role, **more})
        assert made.status_code == 200, made.text
        return str(made.json()["token"])


@asynccontextmanager
async def administered(folder: Path, files: dict[str, str] = FILES, api: Sequence[str] = (), **more: Any) -> AsyncIterator[Admin]:
    """A gateway whose admin API listens."""
    port = free_port()
    async with gateway(folder, files, arguments=("--api", f"127.0.0.1:{port}", *api), **more) as gw:
        deadline = time.monotonic() + 10
        while not (gw.state / "first-token").exists() and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        admin = Admin(gw, port)
        try:
            yield admin
        finally:
            await admin.client.aclose()


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    async with administered(tmp_path) as one:
        yield one


async def test_nobody_comes_in_without_a_good_token(admin: Admin) -> None:
    file = admin.gw.state / "first-token"
    assert file.stat().st_mode & 0o777 == 0o600
    assert (await admin.client.get("/v1/status")).status_code == 401
    assert (await admin.call("GET", "/v1/status", "bzt_wrong")).status_code == 401
    assert (await admin.client.get("/v1/status", headers={"authorization": "Basic Zm9v"})).status_code == 401
    assert (await admin.client.get("/v1/status")).headers["www-authenticate"].startswith("Bearer")


async def test_the_first_token_makes_one_other_and_ends(admin: Admin) -> None:
    assert (await admin.call("GET", "/v1/status", admin.first)).status_code == 403
    ann = await admin.token(admin.first, "ann", "admin")
    assert (await admin.call("GET", "/v1/status", ann)).status_code == 200
    again = await admin.call("POST", "/v1/tokens", admin.first, json={"name": "eve", "role": "admin"})
    assert again.status_code == 401
    # No text of a token is anywhere on the disk but in the file of the first.
    for path in admin.gw.state.rglob("*"):
        if path.is_file() and not path.is_socket():
            assert ann.encode() not in path.read_bytes(), path


async def test_two_who_use_the_first_token_at_once_get_one_token(admin: Admin) -> None:
    calls = [admin.call("POST", "/v1/tokens", admin.first, json={"name": f"n{i}", "role": "admin"}) for i in range(8)]
    answers = await asyncio.gather(*calls)
    good = [one for one in answers if one.status_code == 200]
    assert len(good) == 1
    held = (await admin.call("GET", "/v1/tokens", good[0].json()["token"])).json()
    assert [one["name"] for one in held] == [good[0].json()["name"]]


async def test_each_role_may_do_its_own(admin: Admin) -> None:
    ann = await admin.token(admin.first, "ann", "admin")
    may = {
        "viewer": (200, 403, 403),
        "proposer": (200, 403, 403),
        "editor": (200, 200, 403),
        "approver": (200, 403, 403),
        "admin": (200, 200, 200),
    }
    for role, (view, edit, administer) in may.items():
        token = await admin.token(ann, role, role)
        assert (await admin.call("GET", "/v1/resources", token)).status_code == view
        assert (await admin.call("PUT", "/v1/resources/IpAccess/health", token, json=DENY)).status_code == edit
        assert (await admin.call("GET", "/v1/tokens", token)).status_code == administer
        assert (await admin.call("POST", "/v1/tokens", token, json={"name": "x", "role": "viewer"})).status_code == administer


async def test_an_ended_or_expired_token_counts_no_more(admin: Admin) -> None:
    ann = await admin.token(admin.first, "ann", "admin")
    made = (await admin.call("POST", "/v1/tokens", ann, json={"name": "bob", "role": "viewer"})).json()
    assert (await admin.call("GET", "/v1/status", made["token"])).status_code == 200
    assert (await admin.call("DELETE", f"/v1/tokens/{made['id']}", ann)).status_code == 200
    assert (await admin.call("GET", "/v1/status", made["token"])).status_code == 401
    assert (await admin.call("DELETE", f"/v1/tokens/{made['id']}", ann)).status_code == 404
    short = await admin.token(ann, "short", "viewer", seconds=0.3)
    assert (await admin.call("GET", "/v1/status", short)).status_code == 200
    await asyncio.sleep(0.4)
    assert (await admin.call("GET", "/v1/status", short)).status_code == 401


async def test_too_many_wrong_tokens_lock_the_address_out(admin: Admin) -> None:
    ann = await admin.token(admin.first, "ann", "admin")
    answers = [(await admin.call("GET", "/v1/status", f"bzt_wrong{i}")).status_code for i in range(12)]
    assert answers == [401] * 10 + [429] * 2
    assert (await admin.call("GET", "/v1/status", ann)).status_code == 429


async def test_a_resource_is_put_read_changed_and_deleted(admin: Admin) -> None:
    ann = await admin.token(admin.first, "ann", "admin")
    at = "/v1/resources/IpAccess/health"
    assert (await admin.gw.get("/orders/health")).status_code == 503  # there is no upstream
    assert (await admin.call("GET", at, ann)).status_code == 404
    made = await admin.call("PUT", at, ann, json=DENY, headers={"if-none-match": "*", "x-message": "close the probe"})
    assert made.status_code == 200, made.text
    told = made.json()
    assert (told["number"], told["author"], told["message"], told["door"]) == (2, "ann", "close the probe", "api")
    assert told["loosens"] == []
    await admin.gw.eventually(lambda: _status(admin.gw, "/orders/health", 403))
    read = await admin.call("GET", at, ann)
    assert read.json()["document"] == {"kind": "IpAccess", "name": "health", **DENY}
    # The same again changes nothing.
    same = await admin.call("PUT", at, ann, json=DENY)
    assert same.json()["number"] == 2
    assert (await admin.call("PUT", at, ann, json=DENY, headers={"if-none-match": "*"})).status_code == 412
    stale = {"if-match": '"0000000000000000"'}
    changed = {**DENY, "deny": ["127.0.0.0/8", "192.0.2.0/24"]}
    assert (await admin.call("PUT", at, ann, json=changed, headers=stale)).status_code == 412
    fresh = {"if-match": read.headers["etag"]}
    assert (await admin.call("PUT", at, ann, json=changed, headers=fresh)).json()["number"] == 3
    assert (await admin.call("DELETE", at, ann, headers=fresh)).status_code == 412
    gone = (await admin.call("DELETE", at, ann)).json()
    assert gone["number"] == 4
    assert gone["loosens"] == ["IpAccess/health is gone; it covered the API orders /orders/health"]
    await admin.gw.eventually(lambda: _status(admin.gw, "/orders/health", 503))
    assert (await admin.call("DELETE", at, ann)).status_code == 404


async def _status(gw: Gateway, path: str, status: int) -> bool:
    return (await gw.get(path)).status_code == status


async def test_what_is_wrong_is_told_and_changes_nothing(admin: Admin) -> None:
    ann = await admin.token(admin.first, "ann", "admin")
    wrong = {"target": {"api": "nowhere"}, "deny": ["everyone"], "what": 1}
    answer = await admin.call("PUT", "/v1/resources/IpAccess/health", ann, json=wrong)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    codes = {one["code"] for one in answer.json()["problems"]}
    assert {"field-extra-forbidden", "field-value-error"} <= codes
    dangling = await admin.call("PUT", "/v1/resources/IpAccess/health", ann, json={**DENY, "target": {"api": "nowhere"}})
    assert dangling.status_code == 422
    assert dangling.json()["problems"][0]["file"] == "api/IpAccess/health"
    unknown = await admin.call("PUT", "/v1/resources/Nothing/x", ann, json={})
    assert unknown.status_code == 404
    assert (await admin.call("DELETE", "/v1/resources/Authenticate/callers", ann)).status_code == 422  # the API would be left open
    assert (await admin.call("PUT", "/v1/resources/IpAccess/a", ann, json={**DENY, "name": "b"})).status_code == 422
    assert [one["number"] for one in (await admin.call("GET", "/v1/revisions", ann)).json()["items"]] == [1]


async def test_several_changes_are_one_revision_and_a_race_has_one_winner(admin: Admin) -> None:
    ann = await admin.token(admin.first, "ann", "admin")
    both = {"put": [{"kind": "IpAccess", "name": "a", **DENY}], "parent": 1}
    answers = await asyncio.gather(*(admin.call("POST", "/v1/changes", ann, json={**both, "message": f"m{i}"}) for i in range(4)))
    assert sorted(one.status_code for one in answers) == [200, 409, 409, 409]
    assert "was faster" in next(one for one in answers if one.status_code == 409).json()["detail"]


async def test_an_editor_cant_reach_into_the_gateways_machine(admin: Admin) -> None:
    ann = await admin.token(admin.first, "ann", "admin")
    bob = await admin.token(ann, "bob", "editor")
    api = {"paths": ["/steal"], "upstream": "http://203.0.113.7:80"}
    for upstream in (
        "http://127.0.0.1:9180",
        "http://localhost:9180",
        "http://169.254.169.254",
        "http://[::1]:1",
        "http://[::ffff:127.0.0.1]:1",
    ):
        answer = await admin.call("PUT", "/v1/resources/Api/steal", bob, json={**api, "upstream": upstream})
        assert answer.status_code == 403, (upstream, answer.text)
    tls = {"upstream": {"endpoints": [{"url": "https://203.0.113.7"}], "tls": {"certificate": "x", "private_key": {"file": "/etc/shadow"}}}}
    assert (await admin.call("PUT", "/v1/resources/Api/steal", bob, json={**api, **tls})).status_code == 403


async def test_the_way_back_is_one_call_and_is_enforced_when_it_answers(admin: Admin) -> None:
    ann = await admin.token(admin.first, "ann", "admin")
    await admin.call("PUT", "/v1/resources/IpAccess/health", ann, json=DENY)
    await admin.gw.eventually(lambda: _status(admin.gw, "/orders/health", 403))
    back = await admin.call("POST", "/v1/rollback", ann, json={"reason": "it was a mistake"})
    assert (await admin.gw.get("/orders/health")).status_code == 503
    assert back.json()["enforced_ms"] < 1000
    line = (await admin.call("GET", "/v1/revisions", ann)).json()["items"]
    assert (line[0]["number"], line[0]["door"], line[0]["message"]) == (3, "rollback", "it was a mistake")
    assert line[0]["revision"] == line[2]["revision"]
    whole = (await admin.call("GET", "/v1/revisions/2", ann)).json()
    assert {"kind": "IpAccess", "name": "health", **DENY} in whole["documents"]
    assert "Consumer" not in {one["kind"] for one in whole["documents"]}
    log = (await admin.call("GET", "/v1/audit", ann)).json()["items"]
    assert ("ann", "revision.rollback") in {(one["actor"], one["action"]) for one in log}
    assert [one["number"] for one in log] == list(range(1, len(log) + 1))


async def test_files_and_api_are_two_doors_and_nothing_is_merged_in_silence(admin: Admin) -> None:
    gw = admin.gw
    ann = await admin.token(admin.first, "ann", "admin")
    await admin.call("PUT", "/v1/resources/IpAccess/health", ann, json=DENY)
    await gw.eventually(lambda: _status(gw, "/orders/health", 403))
    assert "came by another way" in (await gw.status())["drift"]
    # Who may call is live data: that part of the files holds all the same.
    _, key = gw.new_key("globex")
    assert (await gw.get("/orders/1", headers={"x-api-key": key})).status_code == 401
    await gw.edit("more.yaml", "kind: Consumer\nname: globex\n")
    await gw.eventually(lambda: _keyed(gw, key, 503))
    assert (await gw.get("/orders/health")).status_code == 403
    # An edit of policies isn't taken over what came through the API.
    gold = "kind: Authorize\nname: gold\ntarget: {api: orders}\nallow: principal.plan == 'gold'\n"
    refused = await gw.edit("policy.yaml", gold, enforced=False)
    assert refused["refused"][0]["code"] == "files-drifted"
    assert (await gw.get("/orders/health")).status_code == 403
    # Saying the same in the files brings both in step again.
    deny = "kind: IpAccess\nname: health\ntarget: {api: orders, paths: [/orders/health]}\ndeny: [127.0.0.0/8]\n"
    now = await gw.edit("policy.yaml", deny)
    assert now["drift"] == ""
    await gw.edit("policy.yaml", f"{deny}---\n{gold}")
    await gw.eventually(lambda: _keyed(gw, key, 403))


async def _keyed(gw: Gateway, key: str, status: int) -> bool:
    return (await gw.get("/orders/1", headers={"x-api-key": key})).status_code == status
