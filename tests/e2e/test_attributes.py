"""What changes of a consumer counts at once for every way it has in, is never taken back, and lets nobody in."""

import asyncio
import os
import signal
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from bartizan.identity.key_record import WantedKey
from bartizan.identity.key_text import key_text
from bartizan.identity.keys import KeyStore
from bartizan.secrets.keyring import load_or_create
from bartizan.secrets.sealed import Secret
from tests.certificates import authority
from tests.e2e.agreement import agrees
from tests.e2e.gateway import Gateway, free_port, upstream
from tests.e2e.test_admin import Admin, administered

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}, {name: safe, address: "127.0.0.1:SAFE"}]
attributes: {plan: string, level: number, scopes: words, on_call: bool}
blocking: {exempt: [127.0.0.0/8]}
---
{kind: Api, name: orders, paths: [/orders], upstream: "http://127.0.0.1:UPSTREAM"}
---
kind: Tls
name: safe
target: {listener: safe}
certificate: safe.pem
private_key: {file: safe.key}
client_cas: {fleet: fleet.pem}
---
{kind: Authenticate, name: callers, any: [api_key, {mtls: fleet}]}
---
{kind: Authorize, name: plan, target: {paths: [/orders/plan]}, allow: 'principal.plan == "100% Z\u00fcrich %REQ(x)%"'}
---
{kind: Authorize, name: scoped, target: {paths: [/orders/scoped]}, allow: '"read" in principal.scopes'}
---
{kind: Authorize, name: ops, target: {paths: [/orders/ops]}, allow: '"ops" in principal.groups'}
---
{kind: Authorize, name: levels, target: {paths: [/orders/level]}, allow: principal.level >= 0}
---
{kind: ContextSource, name: on-call, attributes: [on_call], push: true, max_age: 3s}
---
{kind: Authorize, name: on-call, target: {paths: [/orders/on-call]}, allow: principal.on_call}
"""
GOLD = "100% Z\u00fcrich %REQ(x)%"
BROUGHT = "legacy-0123456789abcdef"
OTHERS = 40_000
RESTED_S = 9.0
"""So long at most until two tables tell what was told ahead of them."""
pytestmark = pytest.mark.asyncio(loop_scope="module")


class World:
    """A gateway and its consumer acme, with all the ways it has in."""

    def __init__(self, admin: Admin, ann: str, safe: httpx.AsyncClient) -> None:
        self.admin, self.gw, self.ann, self.safe = admin, admin.gw, ann, safe
        self.ident, self.key = self.gw.new_key("acme")
        self.scoped = self.gw.new_key("acme", scopes=("read",))[1]
        self.level = 0

    async def declare(self, **told: Any) -> None:
        credentials = [{"api_key": {"file": "legacy"}}, {"certificate": {"ca": "fleet", "san": "spiffe://fleet/acme"}}]
        body = {"credentials": credentials, **told}
        answer = await self.admin.call("PUT", "/v1/resources/Consumer/acme", self.ann, json=body)
        assert answer.is_success, answer.text

    async def statuses(self, path: str) -> list[int]:
        """By key, by a key with scopes, by a key that it brought along, and by certificate."""
        keys = [{"x-api-key": text} for text in (self.key, self.scoped, BROUGHT)]
        answers = [await self.gw.get(f"/orders/{path}", headers=one) for one in keys]
        return [one.status_code for one in (*answers, await self.safe.get(f"/orders/{path}"))]

    async def becomes(self, path: str, *wanted: int, seconds: float = 2.0) -> float:
        began = time.monotonic()

        async def so() -> bool:
            return await self.statuses(path) == list(wanted)

        await self.gw.eventually(so, seconds)
        return time.monotonic() - began

    async def rise(self) -> int:
        self.level += 1
        await self.declare(attributes={"plan": "iron", "level": self.level})
        return self.level


def others(state: Path) -> None:
    """Many keys of somebody else, so that Envoy needs a while for each table."""
    state.mkdir(mode=0o700)
    store = KeyStore(state / "keys.journal", load_or_create(state / "control.key"))
    store.bring([(WantedKey("globex"), Secret(key_text())) for _ in range(OTHERS)])
    store.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("attributes")
    root, fleet, port = authority("Web"), authority("Fleet"), free_port()
    tls = ssl.create_default_context(cadata=root.pem.decode())
    tls.check_hostname = False
    tls.load_cert_chain(*fleet.client("spiffe://fleet/acme").save(folder, "acme"))
    server = root.server()
    others(folder / "state")
    with upstream() as behind:
        text = FILES.replace("UPSTREAM", str(behind)).replace("SAFE", str(port))
        files = {"all.yaml": text, "legacy": BROUGHT, "fleet.pem": fleet.pem.decode()}
        files |= {"safe.pem": server.pem.decode(), "safe.key": server.key.decode()}
        async with (
            administered(folder, files) as admin,
            httpx.AsyncClient(base_url=f"https://127.0.0.1:{port}", verify=tls) as safe,
        ):
            made = World(admin, await admin.token(admin.first, "ann", "admin"), safe)
            await made.declare(attributes={"plan": "iron"})
            await made.becomes("plan", 403, 403, 403, 403)
            yield made


async def test_a_change_counts_for_every_way_in_and_the_tables_tell_the_same_later(world: World) -> None:
    await world.declare(attributes={"plan": GOLD}, groups=["ops"])
    assert await world.becomes("plan", 200, 200, 200, 200) < 1.0
    assert await world.statuses("ops") == [200] * 4
    assert await world.statuses("scoped") == [403, 200, 403, 403], "a key's own scopes stay its own"
    await world.declare(attributes={"plan": GOLD, "scopes": ["read"]})
    assert await world.becomes("scoped", 200, 200, 200, 200) < 1.0
    await world.declare(attributes={"plan": GOLD, "scopes": ["write"]})
    await world.becomes("scoped", 403, 200, 403, 403)
    assert await world.statuses("ops") == [403] * 4
    await asyncio.sleep(RESTED_S)
    assert [await world.statuses(path) for path in ("plan", "scoped", "ops")] == [[200] * 4, [403, 200, 403, 403], [403] * 4]


WRONG: dict[str, Mapping[str, str]] = {
    "none": {},
    "wrong": {"x-api-key": "bz_a" + "0" * 36},
    "spoofed": {"x-bartizan-principal": "3f2a91d0acme;key_a;[];gold"},
    "spoofed beside a wrong one": {"x-api-key": "bz_a" + "0" * 36, "x-bartizan-principal": "acme;key_a;[];gold"},
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_told_ahead_lets_nobody_in(world: World, name: str) -> None:
    await world.declare(attributes={"plan": GOLD, "level": 1.5})
    await world.becomes("plan", 200, 200, 200, 200)
    assert (await world.gw.get("/orders/plan", headers=WRONG[name])).status_code == 401
    tampered = world.key[:-1] + ("a" if world.key[-1] != "a" else "b")
    assert (await world.gw.get("/orders/plan", headers={"x-api-key": tampered})).status_code == 401


async def test_a_spoofed_principal_beside_a_good_key_changes_nothing(world: World) -> None:
    await world.declare(attributes={"plan": "iron"})
    await world.becomes("plan", 403, 403, 403, 403)
    spoofed = f"acme;{world.ident};[];{GOLD}".encode()
    answer = await world.gw.get("/orders/plan", headers={b"x-api-key": world.key.encode(), b"x-bartizan-principal": spoofed})
    assert answer.status_code == 403


async def test_a_revoked_key_and_a_disabled_consumer_are_refused_though_they_were_told_of(world: World) -> None:
    ident, text = world.gw.new_key("acme")
    await world.declare(attributes={"plan": GOLD})
    await world.becomes("plan", 200, 200, 200, 200)

    async def answers(status: int) -> bool:
        return (await world.gw.get("/orders/plan", headers={"x-api-key": text})).status_code == status

    await world.gw.eventually(lambda: answers(200), 2)
    world.gw.revoke(ident)
    await world.gw.eventually(lambda: answers(401), 1)
    assert await world.statuses("plan") == [200] * 4
    await world.declare(attributes={"plan": "iron"})
    await world.declare(attributes={"plan": "iron"}, disabled=True)
    assert await world.becomes("plan", 401, 401, 401, 401) < 1.0
    record = await world.gw.record(await world.gw.get("/orders/plan", headers={"x-api-key": world.key}))
    assert record["details"] == "unknown_api_key" and not record.get("principal")
    await world.declare(attributes={"plan": GOLD})
    assert await world.becomes("plan", 200, 200, 200, 200) < 1.0
    assert (await world.admin.call("DELETE", "/v1/resources/Consumer/acme", world.ann)).is_success
    assert await world.becomes("plan", 401, 401, 401, 403) < 1.0, "a certificate of nobody's is a caller of its own"
    await asyncio.sleep(1)
    assert await world.statuses("plan") == [401, 401, 401, 403], "by the tables, too"
    await world.declare(attributes={"plan": GOLD})
    assert await world.becomes("plan", 200, 200, 200, 200) < 1.0


async def test_what_is_told_of_late_keys_and_by_context_sources_too(world: World) -> None:
    path, params = "/v1/context/on-call/subject", {"subject": "acme"}
    for value, status in ((True, 200), (False, 403), (True, 200)):
        answer = await world.admin.call("PUT", path, world.ann, params=params, json={"attributes": {"on_call": value}})
        assert answer.is_success, answer.text
        assert await world.becomes("on-call", *[status] * 4) < 1.0
    text = world.gw.new_key("acme")[1]
    late = {"x-api-key": text}

    async def so(status: int) -> bool:
        return (await world.gw.get("/orders/on-call", headers=late)).status_code == status

    await world.gw.eventually(lambda: so(200), 2)
    await world.becomes("on-call", 403, 403, 403, 403, seconds=5)
    assert await so(403), "it grows old where it was told ahead, too"


async def test_no_request_ever_sees_what_was_before(world: World) -> None:
    """Also while what was told ahead is taken over by the tables."""
    floor, ended, seen = await world.rise(), False, 0
    await world.becomes("level", 200, 200, 200, 200)
    answers: list[tuple[str, int]] = []

    async def asking(key: str) -> None:
        nonlocal seen
        while not ended:
            least = floor
            answer = await world.gw.get("/orders/level", headers={"x-api-key": key})
            answers.append((answer.headers["x-request-id"], least))
            seen += 1

    askers = [asyncio.create_task(asking(key)) for key in (world.key, world.scoped, BROUGHT, world.key, world.scoped)]
    began = time.monotonic()
    while time.monotonic() - began < RESTED_S + 3:
        level = await world.rise()
        await world.becomes("level", 200, 200, 200, 200)
        await asyncio.sleep(0.3)  # the least that counts from now on
        floor = level
    await asyncio.sleep(RESTED_S)
    ended = True
    await asyncio.gather(*askers)
    last = await world.gw.get("/orders/level", headers={"x-api-key": world.key})
    await world.gw.record(last)
    told = {one["request_id"]: one["attributes"].get("level") for one in world.gw.records() if one.get("attributes")}
    missed = [(ident, told[ident], least) for ident, least in answers if float(told[ident] or 0) < least]
    assert seen > 500 and not missed, missed[:5]


async def test_what_was_told_ahead_outlasts_all_who_tell_it(world: World) -> None:
    await world.declare(attributes={"plan": GOLD})
    await world.becomes("plan", 200, 200, 200, 200)

    async def kept() -> bool:
        return all(node["kept"] for node in (await world.gw.status())["nodes"])

    await world.gw.eventually(kept)
    app = world.gw.pid("bartizan.app")
    os.kill(app, signal.SIGSTOP)
    try:
        for process in ("envoy", "bartizan.node"):
            os.kill(world.gw.pid(process), signal.SIGKILL)
        await asyncio.sleep(1)
        await _comes_back(world.gw, {"x-api-key": world.key})
        assert await world.statuses("plan") == [200] * 4
    finally:
        os.kill(app, signal.SIGKILL)
    await asyncio.sleep(2)

    async def there() -> bool:
        try:
            return bool((await world.gw.status())["nodes"][0]["acknowledged"])
        except (httpx.HTTPError, IndexError):
            return False

    await world.gw.eventually(there, 20)
    assert await world.statuses("plan") == [200] * 4


async def _comes_back(gw: Gateway, headers: Mapping[str, str]) -> None:
    async def so() -> bool:
        try:
            return (await gw.get("/orders/plan", headers=headers)).status_code == 200
        except httpx.HTTPError:
            return False

    await gw.eventually(so, 10)


async def test_a_replay_agrees(world: World) -> None:
    await agrees(world.gw, judged=500)
