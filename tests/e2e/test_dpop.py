"""Tokens bound to a key of which each request brings a proof (DPoP, RFC 9449), end to end."""

import asyncio
import base64
import hashlib
import json
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.e2e.agreement import agrees
from tests.e2e.gateway import Gateway, TokenIssuer, gateway, upstream
from tests.e2e.node_rig import children

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
blocking: {attempts: 100000}
---
{kind: Api, name: orders, paths: [/orders], upstream: "http://127.0.0.1:UPSTREAM", identity_headers: {x-caller: id}}
---
{kind: Consumer, name: acme}
---
{kind: Issuer, name: corp, issuer: "https://idp.example.com", audiences: [orders], jwks: {file: corp.json}}
---
{kind: Authenticate, name: any, target: {api: orders, except: [/orders/bound, /orders/open]}, any: [api_key, {jwt: corp}]}
---
{kind: Authenticate, name: bound, target: {paths: [/orders/bound]}, any: [{jwt: corp, bound: dpop}]}
---
{kind: Authorize, name: told, target: {paths: [/orders/told]}, allow: 'has(principal.bound) && principal.bound == "dpop"'}
---
{kind: AllowDevices, name: managed, target: {paths: [/orders/managed]}}
---
{kind: Authorize, name: laptop, target: {paths: [/orders/laptop]}, allow: 'device.id == "laptop" && !device.trusted'}
---
{kind: Public, name: open, target: {paths: [/orders/open]}, reason: everybody may look}
"""
CORP = TokenIssuer()
MINE, OTHER, LOST = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
pytestmark = pytest.mark.asyncio(loop_scope="module")
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def jwk(key: Key) -> dict[str, Any]:
    kind = {ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm, rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm}
    algorithm = next((one for of, one in kind.items() if isinstance(key, of)), jwt.algorithms.OKPAlgorithm)
    told = algorithm.to_jwk(key.public_key(), as_dict=True)  # type: ignore[arg-type]
    return {name: value for name, value in told.items() if name in {"kty", "crv", "x", "y", "n", "e"}}


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def jkt(key: Key) -> str:
    told = jwk(key)
    return encoded(hashlib.sha256(("{" + ",".join(f'"{name}":"{told[name]}"' for name in sorted(told)) + "}").encode()).digest())


def devices(state: str) -> str:
    return f"""
{{kind: Device, name: laptop, keys: [{jkt(MINE)}], state: {state}}}
---
{{kind: Device, name: stolen, keys: [{jkt(LOST)}], state: lost}}
"""


class World:
    """A gateway, and what a client makes for it."""

    def __init__(self, gw: Gateway) -> None:
        self.gw = gw
        self.token = CORP.token(cnf={"jkt": jkt(MINE)})

    def proof(
        self, path: str = "/orders/bound", *, key: Key = MINE, header: dict[str, Any] | None = None, alg: str = "ES256", **claims: Any
    ) -> str:
        token = claims.pop("token", self.token)
        made = {"jti": str(uuid.uuid4()), "htm": "GET", "htu": f"{self.gw.url}{path}", "iat": int(time.time()) + 1}
        made |= {"ath": encoded(hashlib.sha256(token.encode()).digest()), **claims}
        headers = {"typ": "dpop+jwt", "jwk": jwk(key), **(header or {})}
        told = {name: value for name, value in made.items() if value is not None}
        return jwt.encode(told, key, alg, headers={name: value for name, value in headers.items() if value is not None})

    async def ask(
        self, path: str = "/orders/bound", proof: str | None = "", token: str = "", scheme: str = "DPoP", **more: Any
    ) -> httpx.Response:
        headers = {"authorization": f"{scheme} {token or self.token}", **more}
        if proof is not None:
            headers["dpop"] = proof or self.proof(path)
        return await self.gw.get(path, headers=headers)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    with upstream() as port:
        files = {"all.yaml": FILES.replace("UPSTREAM", str(port)), "corp.json": CORP.jwks(), "devices.yaml": devices("trusted")}
        async with gateway(tmp_path_factory.mktemp("dpop"), files) as gw:
            made = World(gw)

            async def counts() -> bool:
                return (await made.ask()).status_code == 200

            await gw.eventually(counts, 10)
            yield made


async def test_a_token_counts_with_a_proof(world: World) -> None:
    for path in ("/orders/bound", "/orders", "/orders/told"):
        answer = await world.ask(path)
        assert answer.status_code == 200, answer.text
    told = [(name.lower(), value) for name, value in answer.json()["headers"]]
    assert dict(told)["x-caller"] == "https://idp.example.com|ines"
    assert not [name for name, _ in told if name.startswith("x-bartizan") or name in {"dpop", "authorization"}]
    assert (await world.ask(scheme="dpop")).status_code == 200
    assert (await world.ask("/orders/bound?a=1&b", world.proof())).status_code == 200, "a query is no part of the URL"


@pytest.mark.parametrize("alg", ["ES384", "EdDSA", "PS256", "RS256"])
async def test_other_keys_can_prove_it_too(world: World, alg: str) -> None:
    keys = {"ES384": lambda: ec.generate_private_key(ec.SECP384R1()), "EdDSA": ed25519.Ed25519PrivateKey.generate}
    key = keys.get(alg, lambda: rsa.generate_private_key(65537, 2048))()
    token = CORP.token(cnf={"jkt": jkt(key)})
    assert (await world.ask(proof=world.proof(key=key, alg=alg, token=token), token=token)).status_code == 200


async def test_a_proof_counts_once(world: World) -> None:
    proof = world.proof()
    assert (await world.ask(proof=proof)).status_code == 200
    again = await world.ask(proof=proof)
    assert again.status_code == 401 and "used already" in again.headers["www-authenticate"]
    many = world.proof()
    answers = await asyncio.gather(*(world.ask(proof=many) for _ in range(20)))
    assert sorted(one.status_code for one in answers) == [200] + [401] * 19


async def test_stolen_without_its_key_it_counts_nowhere(world: World) -> None:
    for path in ("/orders", "/orders/bound", "/orders/told"):
        assert (await world.ask(path, None, scheme="Bearer")).status_code == 401
        assert (await world.ask(path, None)).status_code == 401
        assert (await world.ask(path, world.proof(path, key=OTHER))).status_code == 401
        assert (await world.ask(path, world.proof(path), scheme="Bearer")).status_code == 401, "a proof is asked for by its scheme"
    assert (await world.ask("/orders/open", None, scheme="Bearer")).status_code == 200


NOW = int(time.time())


@pytest.mark.parametrize(
    "change",
    [
        {"htm": "POST"},
        {"htm": "get"},
        {"htm": None},
        {"htu": "http://127.0.0.1:1/orders/bound"},
        {"htu": "https://127.0.0.1/orders/bound"},
        {"htu": "/orders/bound"},
        {"htu": None},
        {"htu": 7},
        {"iat": NOW - 3600},
        {"iat": NOW + 3600},
        {"iat": str(NOW)},
        {"iat": None},
        {"iat": True},
        {"iat": 1e300},
        {"ath": None},
        {"ath": encoded(hashlib.sha256(b"another").digest())},
        {"jti": None},
        {"jti": ""},
        {"jti": 7},
        {"jti": "x" * 600},
        {"nonce": "made-up"},
        {"nonce": encoded(b"\0" * 24)},
        {"nonce": 7},
        {"header": {"typ": "JWT"}},
        {"header": {"typ": None}},
        {"header": {"jwk": None}},
        {"header": {"jwk": jwk(OTHER)}},
        {"header": {"jwk": {**jwk(MINE), "d": "AAAA"}}},
        {"header": {"jwk": {"kty": "oct", "k": "AAAA"}}},
        {"header": {"jwk": "x"}},
        {"header": {"crit": ["b64"], "b64": True}},
    ],
)
async def test_a_proof_of_something_else_doesnt_count(world: World, change: dict[str, Any]) -> None:
    answer = await world.ask(proof=world.proof(**change))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("DPoP error=")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_confused_algorithms_dont_count(world: World) -> None:
    good = world.proof()
    head, body, signature = good.split(".")
    none = encoded(b'{"typ":"dpop+jwt","alg":"none","jwk":' + str(jwk(MINE)).replace("'", '"').encode() + b"}")
    secret = jwt.encode(
        jwt.decode(good, options={"verify_signature": False}), "x" * 32, "HS256", headers={"typ": "dpop+jwt", "jwk": jwk(MINE)}
    )
    wrong = [
        f"{none}.{body}.",
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{good},{good}",
        "x",
        "a.b.c",
        ".." * 3000,
        secret,
    ]
    for proof in wrong:
        assert (await world.ask(proof=proof)).status_code == 401, proof[:40]
    twice = await world.gw.client.get(
        "/orders/bound", headers=[("authorization", f"DPoP {world.token}"), ("dpop", world.proof()), ("dpop", world.proof())]
    )
    assert twice.status_code == 401


async def test_a_token_that_isnt_bound_doesnt_count_with_a_proof(world: World) -> None:
    token = CORP.token()
    assert (await world.ask(proof=world.proof(token=token), token=token)).status_code == 401
    assert (await world.ask(proof=None, scheme="Bearer", token=token)).status_code == 401
    assert (await world.ask("/orders", None, scheme="Bearer", token=token)).status_code == 200


async def test_forged_headers_prove_nothing(world: World) -> None:
    forged = {"x-bartizan-proof": "dpop", "x-bartizan-jkt": jkt(OTHER), "x-bartizan-scheme": "dpop"}
    assert (await world.ask(proof=None, scheme="Bearer", **forged)).status_code == 401
    assert (await world.ask(proof=world.proof(key=OTHER), **forged)).status_code == 401


async def test_keys_of_consumers_are_as_they_were(world: World) -> None:
    _, key = world.gw.new_key("acme")

    async def counts() -> bool:
        return (await world.gw.get("/orders", headers={"x-api-key": key})).status_code == 200

    await world.gw.eventually(counts)
    assert (await world.gw.get("/orders/bound", headers={"x-api-key": key})).status_code == 401
    assert (await world.ask("/orders", **{"x-api-key": key})).status_code == 401, "two credentials"


async def test_after_a_restart_an_older_proof_needs_a_nonce(world: World) -> None:
    """What was seen is forgotten: so a proof of before counts only with a nonce of now, and a replayed one never."""
    await asyncio.sleep(1.1)  # a proof tells its second, and has to be of one after that in which the process began
    old = world.proof(iat=int(time.time()))
    assert (await world.ask(proof=old)).status_code == 200
    pid = next(pid for pid in children(world.gw.process.pid) if b"bartizan.callout" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(pid, signal.SIGKILL)

    async def back() -> bool:
        return (await world.ask(proof=old)).status_code == 401

    assert (await world.ask(proof=world.proof())).status_code in {401, 503}, "while nobody checks it, it is refused"
    await world.gw.eventually(back, 10)
    refused = await world.ask(proof=old)
    assert 'error="use_dpop_nonce"' in refused.headers["www-authenticate"]
    nonce = refused.headers["dpop-nonce"]
    again = world.proof(iat=int(time.time()), nonce=nonce)
    assert (await world.ask(proof=again)).status_code == 200
    assert (await world.ask(proof=again)).status_code == 401


async def test_a_device_is_known_by_its_key_and_only_with_a_proof(world: World) -> None:
    async def status(path: str, key: Key, **headers: str) -> int:
        token = CORP.token(cnf={"jkt": jkt(key)})
        return (await world.ask(path, world.proof(path, key=key, token=token), token, **headers)).status_code

    assert [await status(path, MINE) for path in ("/orders/managed", "/orders/laptop")] == [200, 403]
    assert await status("/orders/managed", OTHER) == 403
    spoofed = {
        f"x-bartizan-{one}": value for one, value in (("keyed-device", "laptop"), ("keyed-device-trusted", "true"), ("proof", "dpop"))
    }
    assert await status("/orders/managed", OTHER, **spoofed) == 403
    plain = {"authorization": f"Bearer {CORP.token()}", "x-bartizan-jkt": jkt(MINE), **spoofed}
    assert (await world.gw.get("/orders/managed", headers=plain)).status_code == 403
    for path in ("/orders", "/orders/managed", "/orders/bound"):
        assert await status(path, LOST) == 401
        assert await status(path, LOST, **{"x-bartizan-verdict": "x"}) == 401
    record = await world.gw.record(await world.ask("/orders/managed", world.proof("/orders/managed")))
    assert (record["device_id"], record["device_trusted"]) == ("laptop", "true")


async def test_a_key_that_is_lost_is_refused_within_a_second(world: World) -> None:
    revision = (await world.gw.status())["revision"]
    for state, managed, laptop in (("pending", 403, 200), ("lost", 401, 401), ("trusted", 200, 403)):
        (world.gw.files / "devices.yaml").write_text(devices(state))

        async def so(managed: int = managed, laptop: int = laptop) -> bool:
            asked = [await world.ask(path, world.proof(path)) for path in ("/orders/managed", "/orders/laptop")]
            return [one.status_code for one in asked] == [managed, laptop]

        await world.gw.eventually(so, 1.5)  # half a second of it until the folder has settled
    assert (await world.gw.status())["revision"] == revision, "devices are live data"


async def test_a_key_of_two_devices_is_a_problem(world: World) -> None:
    twice = devices("trusted") + f"---\n{{kind: Device, name: copy, keys: [{jkt(MINE)}]}}\n---\n{{kind: Device, name: none}}\n"
    refused = json.dumps((await world.gw.edit("devices.yaml", twice, enforced=False))["refused"])
    assert "known by one of" in refused
    twice = twice.partition("---\n{kind: Device, name: none")[0]
    refused = json.dumps((await world.gw.edit("devices.yaml", twice, enforced=False))["refused"])
    assert "key-taken" in refused
    (world.gw.files / "devices.yaml").write_text(devices("trusted"))


async def test_a_replay_of_all_that_was_asked_agrees(world: World) -> None:
    """The last test: what the others asked was recorded."""
    await agrees(world.gw, judged=20)
