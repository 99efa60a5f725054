"""Devices, end to end: enrolled by the certificate that they show in the handshake, allowed by policy, lost within a second."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from cryptography import x509

from tests.certificates import authority
from tests.e2e.agreement import agrees
from tests.e2e.gateway import Gateway, TokenIssuer, free_port, gateway, upstream
from tests.e2e.shown import client

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}, {name: safe, address: "127.0.0.1:SAFE"}]
blocking: {attempts: 100000}
---
{kind: Api, name: orders, paths: [/orders], upstream: "http://127.0.0.1:UPSTREAM", identity_headers: {x-caller: id, x-how: method}}
---
{kind: Consumer, name: acme, credentials: [{fingerprint: BOTH}, {fingerprint: OWN}]}
---
{kind: Consumer, name: globex}
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [orders]
jwks: {file: corp.json}
---
kind: Authenticate
name: callers
target: {except: [/orders/open]}
any: [api_key, {jwt: corp}, {mtls: fleet}]
---
{kind: Public, name: open, target: {paths: [/orders/open]}, reason: everybody may look}
---
{kind: AllowDevices, name: managed, target: {paths: [/orders/refunds]}}
---
{kind: AllowDevices, name: known, target: {paths: [/orders/known]}, trusted: false}
---
{kind: AllowDevices, name: one, target: {paths: [/orders/one]}, devices: [laptop]}
---
{kind: AllowDevices, name: watched, target: {paths: [/orders/watched]}, mode: shadow}
---
{kind: Authorize, name: by-id, target: {paths: [/orders/by-id]}, allow: 'device.id.startsWith("lap") && device.trusted'}
---
{kind: Authorize, name: untrusted, target: {paths: [/orders/untrusted]}, allow: "!device.trusted"}
---
{kind: Authorize, name: without, target: {paths: [/orders/without]}, allow: "!has(device.id)"}
---
kind: Tls
name: safe
target: {listener: safe}
certificate: web.pem
private_key: {file: web.key}
client_cas: {fleet: fleet.pem}
"""
ROOT, FLEET, CORP = authority("Web"), authority("Fleet"), TokenIssuer()
NAMES = ("laptop", "renewed", "phone", "lost", "both", "own", "stranger")
PAIRS = {name: FLEET.client(f"spiffe://fleet/{name}") for name in NAMES}
DEVICES = f"""
{{kind: Device, name: laptop, certificates: [{PAIRS["laptop"].fingerprint}, {PAIRS["renewed"].fingerprint}], state: trusted}}
---
{{kind: Device, name: phone, certificates: [{PAIRS["phone"].fingerprint}]}}
---
{{kind: Device, name: misplaced, certificates: [{PAIRS["lost"].fingerprint}], state: lost}}
---
{{kind: Device, name: shared, certificates: [{PAIRS["both"].fingerprint}], state: trusted}}
"""
pytestmark = pytest.mark.asyncio(loop_scope="module")


class World:
    """A gateway, its devices, and clients that show their certificates."""

    def __init__(self, gw: Gateway, folder: Path, safe: int) -> None:
        self.gw, self.folder, self.safe = gw, folder, safe
        self.key = gw.new_key("globex")[1]
        self.headers = {"x-api-key": self.key}
        self.clients = {name: client(ROOT, folder, safe, pair) for name, pair in PAIRS.items()}
        self.clients[""] = client(ROOT, folder, safe, None)

    async def ask(self, device: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return await self.clients[device].get(path, headers=self.headers if headers is None else headers)

    async def status(self, device: str, path: str, headers: dict[str, str] | None = None) -> int:
        return (await self.ask(device, path, headers)).status_code


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder, safe = tmp_path_factory.mktemp("devices"), free_port()
    (folder / "files").mkdir()
    ROOT.server().save(folder / "files", "web")
    with upstream() as port:
        text = FILES.replace("SAFE", str(safe)).replace("UPSTREAM", str(port))
        text = text.replace("BOTH", PAIRS["both"].fingerprint).replace("OWN", PAIRS["own"].fingerprint)
        more = {"devices.yaml": DEVICES, "fleet.pem": FLEET.pem.decode(), "corp.json": CORP.jwks()}
        async with gateway(folder, {"all.yaml": text, **more}) as gw:
            made = World(gw, folder, safe)

            async def counts() -> bool:
                return await made.status("", "/orders") == 200

            await gw.eventually(counts)
            yield made
            for client in made.clients.values():
                await client.aclose()


CASES = {
    # path: laptop, its next certificate, a pending phone, a certificate of no device, no certificate
    "/orders": (200, 200, 200, 401, 200),
    "/orders/refunds": (200, 200, 403, 401, 403),
    "/orders/known": (200, 200, 200, 401, 403),
    "/orders/one": (200, 200, 403, 401, 403),
    "/orders/watched": (200, 200, 200, 401, 200),
    "/orders/by-id": (200, 200, 403, 401, 403),
    "/orders/untrusted": (403, 403, 200, 401, 403),
    "/orders/without": (403, 403, 403, 401, 200),
    "/orders/open": (200, 200, 200, 200, 200),
}


@pytest.mark.parametrize("path", CASES)
async def test_who_calls_is_proven_beside_the_device(world: World, path: str) -> None:
    """A certificate of no device is a second credential beside the key, as ever."""
    found = [await world.status(device, path) for device in ("laptop", "renewed", "phone", "stranger", "")]
    assert tuple(found) == CASES[path]
    token = {"authorization": f"Bearer {CORP.token()}"}
    assert [await world.status(device, path, token) for device in ("laptop", "phone")] == [CASES[path][0], CASES[path][2]]


async def test_the_principal_is_the_keys_and_not_the_certificates(world: World) -> None:
    told = dict((await world.ask("both", "/orders")).json()["headers"])
    assert (told["x-caller"], told["x-how"]) == ("globex", "api_key")
    assert not [name for name in told if name.startswith("x-bartizan")]


async def test_a_certificate_that_is_also_a_consumers_means_it_if_there_is_no_other_credential(world: World) -> None:
    answer = await world.ask("both", "/orders/refunds", {})
    assert answer.status_code == 200 and dict(answer.json()["headers"])["x-caller"] == "acme"
    assert await world.status("own", "/orders/refunds", {}) == 403, "a consumer's certificate is no device"
    assert await world.status("own", "/orders") == 401, "two credentials"


async def test_a_device_alone_is_nobody_known(world: World) -> None:
    answer = await world.ask("laptop", "/orders", {})
    assert answer.status_code == 200 and dict(answer.json()["headers"])["x-caller"] == "fleet|spiffe://fleet/laptop"


@pytest.mark.parametrize(
    "forged",
    [
        {"x-bartizan-device": "laptop", "x-bartizan-device-trusted": "true"},
        {"X-Bartizan-Device": "laptop", "X-BARTIZAN-DEVICE-TRUSTED": "true"},
        {"x-bartizan-fingerprint": PAIRS["laptop"].fingerprint},
        {"x-forwarded-client-cert": f"Hash={PAIRS['laptop'].fingerprint}"},
        {"x_bartizan_device": "laptop"},
    ],
)
async def test_a_forged_header_is_no_device(world: World, forged: dict[str, str]) -> None:
    for device in ("", "phone"):
        assert await world.status(device, "/orders/refunds", {**world.headers, **forged}) in {400, 403}
    plain = await world.gw.get("/orders/refunds", headers={**world.headers, **forged})
    assert plain.status_code in {400, 403}


async def test_a_wrong_credential_on_a_trusted_device_is_refused(world: World) -> None:
    for headers in (
        {"x-api-key": "bz_wrong"},
        {"authorization": "Bearer x.y.z"},
        {**world.headers, "authorization": f"Bearer {CORP.token()}"},
    ):
        assert await world.status("laptop", "/orders/refunds", headers) == 401


async def test_a_lost_device_is_refused_whatever_it_shows(world: World) -> None:
    for headers in (world.headers, {"authorization": f"Bearer {CORP.token()}"}, {}):
        answer = await world.ask("lost", "/orders", headers)
        assert answer.status_code == 401 and "lost" not in answer.text
        assert (await world.gw.record(answer))["details"] == "rbac_access_denied_matched_policy[lost-device]"
    assert await world.status("lost", "/orders/open") == 200, "what anyone may see"


async def test_the_record_tells_the_device_and_explain_does(world: World) -> None:
    record = await world.gw.record(await world.ask("phone", "/orders/refunds"))
    assert (record["device_id"], record["device_trusted"], record["principal"]) == ("phone", "false", "globex")
    assert record["details"] == "rbac_access_denied_matched_policy[AllowDevices/managed]"
    record = await world.gw.record(await world.ask("", "/orders/refunds"))
    assert not record["device_id"]
    watched = await world.gw.record(await world.ask("phone", "/orders/watched"))
    assert "AllowDevices/watched" in json.dumps(watched["shadows"])


async def test_a_device_that_is_trusted_or_lost_is_so_within_a_second(world: World) -> None:
    phone = f"name: phone, certificates: [{PAIRS['phone'].fingerprint}]"

    def said(state: str) -> str:
        return DEVICES.replace(phone, f"{phone}, state: {state}")

    revision = (await world.gw.status())["revision"]
    for state, status in (("trusted", 200), ("lost", 401), ("pending", 403), ("trusted", 200)):
        (world.gw.files / "devices.yaml").write_text(said(state))

        async def so(wanted: int = status) -> bool:
            return await world.status("phone", "/orders/refunds") == wanted

        await world.gw.eventually(so, 1.5)  # half a second of it until the folder has settled
    assert (await world.gw.status())["revision"] == revision, "devices are live data"
    (world.gw.files / "devices.yaml").write_text(DEVICES)

    async def back() -> bool:
        return await world.status("phone", "/orders/refunds") == 403

    await world.gw.eventually(back)


async def test_open_streams_of_a_lost_device_end_and_no_others(world: World) -> None:
    phone = f"name: phone, certificates: [{PAIRS['phone'].fingerprint}]"
    ended: dict[str, float] = {}

    async def reads(device: str) -> None:
        with suppress(httpx.HTTPError):
            async with world.clients[device].stream("GET", "/orders/events?n=600", headers=world.headers) as answer:
                assert answer.status_code == 200
                async for _ in answer.aiter_raw():
                    pass
        ended[device] = time.monotonic()

    tasks = [asyncio.create_task(reads(device)) for device in ("phone", "laptop", "")]
    await asyncio.sleep(3)  # each is told of every two seconds
    assert not ended
    began = time.monotonic()
    (world.gw.files / "devices.yaml").write_text(DEVICES.replace(phone, f"{phone}, state: lost"))
    try:
        await asyncio.wait_for(tasks[0], 7)
        assert ended["phone"] - began < 6 and list(ended) == ["phone"]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        (world.gw.files / "devices.yaml").write_text(DEVICES)

    async def back() -> bool:
        return await world.status("phone", "/orders") == 200

    await world.gw.eventually(back)


async def test_the_record_tells_when_the_certificate_ends(world: World) -> None:
    record = await world.gw.record(await world.ask("laptop", "/orders"))
    ends = x509.load_pem_x509_certificate(PAIRS["laptop"].pem).not_valid_after_utc
    assert record["certificate_ends"] == str(int(ends.timestamp()))
    assert "certificate_ends" not in await world.gw.record(await world.ask("", "/orders"))


async def test_a_certificate_of_two_devices_is_a_problem(world: World) -> None:
    twice = DEVICES + f"---\n{{kind: Device, name: copy, certificates: [{PAIRS['phone'].fingerprint}]}}\n"
    problems: Any = (await world.gw.edit("devices.yaml", twice, enforced=False))["refused"]
    assert "certificate-taken" in json.dumps(problems)
    (world.gw.files / "devices.yaml").write_text(DEVICES)


async def test_a_replay_of_all_that_was_asked_agrees(world: World) -> None:
    """The last test: what the others asked was recorded."""
    await agrees(world.gw, judged=100)
