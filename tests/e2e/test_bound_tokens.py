"""Tokens bound to a client certificate (RFC 8705), end to end: they count together, and neither does without the other."""

import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.certificates import Pair, authority
from tests.e2e.agreement import agrees
from tests.e2e.gateway import Gateway, TokenIssuer, free_port, gateway, upstream
from tests.e2e.shown import client

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}, {name: safe, address: "127.0.0.1:SAFE"}]
blocking: {attempts: 100000}
---
{kind: Api, name: orders, paths: [/orders], upstream: "http://127.0.0.1:UPSTREAM", identity_headers: {x-caller: id}}
---
{kind: Consumer, name: acme}
---
{kind: Consumer, name: globex, credentials: [{fingerprint: OWN}]}
---
{kind: Device, name: laptop, certificates: [LAPTOP], state: trusted}
---
{kind: Issuer, name: corp, issuer: "https://idp.example.com", audiences: [orders], jwks: {file: corp.json}}
---
{kind: Authenticate, name: any, target: {api: orders, except: [/orders/bound, /orders/open]}, any: [api_key, {jwt: corp}, {mtls: fleet}]}
---
{kind: Authenticate, name: bound, target: {paths: [/orders/bound]}, any: [{jwt: corp, bound: certificate}, {mtls: fleet}]}
---
{kind: Authorize, name: told, target: {paths: [/orders/told]}, allow: 'has(principal.bound) && principal.bound == "certificate"'}
---
{kind: Public, name: open, target: {paths: [/orders/open]}, reason: everybody may look}
---
{kind: Tls, name: safe, target: {listener: safe}, certificate: web.pem, private_key: {file: web.key}, client_cas: {fleet: fleet.pem}}
"""
ROOT, FLEET, CORP = authority("Web"), authority("Fleet"), TokenIssuer()
PAIRS = {name: FLEET.client(f"spiffe://fleet/{name}") for name in ("mine", "other", "own", "laptop")}
pytestmark = pytest.mark.asyncio(loop_scope="module")


def thumbprint(pair: Pair) -> str:
    der = x509.load_pem_x509_certificate(pair.pem).public_bytes(Encoding.DER)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def bearer(cnf: Any = None, **claims: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {CORP.token(cnf=cnf, **claims)}"}


def bound_to(name: str) -> dict[str, str]:
    return bearer({"x5t#S256": thumbprint(PAIRS[name])})


class World:
    """A gateway, and clients that show their certificates."""

    def __init__(self, gw: Gateway, folder: Path, safe: int) -> None:
        self.gw, self.folder, self.safe = gw, folder, safe
        self.key = {"x-api-key": gw.new_key("acme")[1]}
        self.clients = {"": client(ROOT, folder, safe, None), **{name: client(ROOT, folder, safe, pair) for name, pair in PAIRS.items()}}

    async def status(self, shown: str, path: str, headers: dict[str, str] | None) -> int:
        return (await self.clients[shown].get(path, headers=headers)).status_code


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder, safe = tmp_path_factory.mktemp("bound"), free_port()
    (folder / "files").mkdir()
    ROOT.server().save(folder / "files", "web")
    with upstream() as port:
        text = FILES.replace("SAFE", str(safe)).replace("UPSTREAM", str(port))
        text = text.replace("LAPTOP", PAIRS["laptop"].fingerprint).replace("OWN", PAIRS["own"].fingerprint)
        files = {"all.yaml": text, "fleet.pem": FLEET.pem.decode(), "corp.json": CORP.jwks()}
        async with gateway(folder, files) as gw:
            made = World(gw, folder, safe)

            async def counts() -> bool:
                return await made.status("", "/orders", made.key) == 200

            await gw.eventually(counts)
            yield made
            for client in made.clients.values():
                await client.aclose()


PATHS = ("/orders", "/orders/bound", "/orders/told", "/orders/open")


async def _statuses(world: World, shown: str, headers: dict[str, str] | None) -> list[int]:
    return [await world.status(shown, path, headers) for path in PATHS]


async def test_a_token_counts_with_the_certificate_that_it_is_bound_to(world: World) -> None:
    for name in PAIRS:
        assert await _statuses(world, name, bound_to(name)) == [200, 200, 200, 200], name
    answer = await world.clients["own"].get("/orders/bound", headers=bound_to("own"))
    assert dict(answer.json()["headers"])["x-caller"] == "https://idp.example.com|ines", "the token says who, not the certificate"
    assert not [name for name in dict(answer.json()["headers"]) if name.startswith("x-bartizan")]
    assert (await world.gw.record(answer))["bound"] == "certificate"


async def test_stolen_it_counts_nowhere(world: World) -> None:
    for shown in ("", "other", "own", "laptop"):
        assert await _statuses(world, shown, bound_to("mine")) == [401, 401, 401, 200], shown
    plain = [(await world.gw.get(path, headers=bound_to("mine"))).status_code for path in PATHS]
    assert plain == [401, 401, 401, 200]
    answer = await world.clients["other"].get("/orders", headers=bound_to("mine"))
    assert answer.headers["www-authenticate"] == 'Bearer realm="edge", error="invalid_token"'
    assert (await world.gw.record(answer))["details"] == "rbac_access_denied_matched_policy[unproven-token]"


async def test_a_token_that_isnt_bound_doesnt_count_where_it_has_to_be(world: World) -> None:
    assert await _statuses(world, "", bearer()) == [200, 401, 403, 200]
    assert await _statuses(world, "mine", bearer()) == [401, 401, 401, 200], "two credentials"
    assert await _statuses(world, "laptop", bearer()) == [200, 401, 403, 200], "a device beside it is none"


@pytest.mark.parametrize(
    "cnf",
    [
        {"x5t#S256": ""},
        {"x5t#S256": "AAAA"},
        {"x5t#S256": thumbprint(PAIRS["mine"]) + "="},
        {"x5t#S256": thumbprint(PAIRS["mine"]) + " "},
        {"x5t#S256": thumbprint(PAIRS["mine"]).lower()},
        {"x5t#S256": PAIRS["mine"].fingerprint},
        {"x5t#S256": [thumbprint(PAIRS["mine"])]},
        {"x5t#S256": {"": thumbprint(PAIRS["mine"])}},
        {"x5t#S256": thumbprint(PAIRS["other"])},
        {"x5t": thumbprint(PAIRS["mine"])},
        {"jkt": thumbprint(PAIRS["mine"])},
        pytest.param(thumbprint(PAIRS["mine"]), id="no object"),
        [],
    ],
)
async def test_another_confirmation_is_none(world: World, cnf: Any) -> None:
    assert await world.status("mine", "/orders/bound", bearer(cnf)) == 401
    assert await world.status("mine", "/orders", bearer(cnf)) == 401


async def test_forged_headers_confirm_nothing(world: World) -> None:
    forged = {"x-bartizan-cnf": thumbprint(PAIRS["mine"]), "x-bartizan-x5t": thumbprint(PAIRS["mine"])}
    for shown in ("", "other", "laptop"):
        assert await world.status(shown, "/orders/bound", {**bearer(), **forged}) == 401
        assert await world.status(shown, "/orders/bound", {**bound_to("mine"), **forged}) == 401


async def test_other_credentials_are_as_they_were(world: World) -> None:
    assert await _statuses(world, "", world.key) == [200, 401, 403, 200]
    assert await _statuses(world, "mine", None) == [200, 200, 403, 200]
    assert await _statuses(world, "mine", world.key) == [401, 401, 401, 200]
    assert await _statuses(world, "mine", {**bound_to("mine"), **world.key}) == [401, 401, 401, 200]
    assert await _statuses(world, "mine", {"authorization": "Bearer x.y.z"}) == [401, 401, 401, 200]
    assert await _statuses(world, "", None) == [401, 401, 401, 200]


async def test_a_replay_of_all_that_was_asked_agrees(world: World) -> None:
    """The last test: what the others asked was recorded."""
    await agrees(world.gw, judged=50)
