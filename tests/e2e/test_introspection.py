"""Tokens that tell nothing themselves: the issuer is asked about them (RFC 7662), end to end."""

import asyncio
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
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.responses import RedirectResponse, Response

from tests.e2e.agreement import agrees
from tests.e2e.gateway import Gateway, TokenIssuer, gateway, upstream
from tests.e2e.introspecting import SECRET, AuthorizationServer, authorization_server, good
from tests.e2e.node_rig import children
from tests.e2e.test_dpop import encoded, jkt, jwk
from tests.e2e.test_secrets import bartizan

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
blocking: {attempts: 100000}
attributes: {department: string, scopes: words, level: number, staff: bool, teams: list}
---
kind: Api
name: orders
paths: [/orders]
upstream: "http://127.0.0.1:UPSTREAM"
identity_headers: {x-caller: id, x-method: method, x-department: department, x-level: level, x-groups: groups}
---
{kind: Consumer, name: acme}
---
kind: Issuer
name: corp
issuer: "https://idp.example.com"
audiences: [orders]
jwks: {file: corp.json}
types: [JWT]
introspection: {url: "ENDPOINT", client_id: gw, client_secret: {file: secret.txt}, cache: 2s, timeout: 1s}
attributes: {department: department, scopes: scope, level: user.level, staff: staff, teams: teams}
groups: roles
---
kind: Issuer
name: partner
issuer: "https://partner.example.com"
audiences: [orders]
introspection: {url: "ENDPOINT", client_id: gw, client_secret: {secret: partner}, authentication: post, prefix: pt_, per_second: 5}
---
kind: Issuer
name: signed
issuer: "https://signed.example.com"
audiences: [orders]
introspection: {url: "ENDPOINT", client_id: gw, client_secret: {file: secret.txt}, prefix: ey}
---
kind: Authenticate
name: any
target: {api: orders, except: [/orders/open, /orders/keys, /orders/partner, /orders/signed, /orders/bound]}
any: [api_key, {jwt: corp}]
---
{kind: Authenticate, name: keys, target: {paths: [/orders/keys]}, any: [api_key]}
---
{kind: Authenticate, name: partner, target: {paths: [/orders/partner]}, any: [{jwt: partner}]}
---
{kind: Authenticate, name: signed, target: {paths: [/orders/signed]}, any: [{jwt: signed}]}
---
{kind: Authenticate, name: bound, target: {paths: [/orders/bound]}, any: [{jwt: corp, bound: dpop}]}
---
{kind: Public, name: open, target: {paths: [/orders/open]}, reason: everybody may look}
---
{kind: Authorize, name: finance, target: {paths: [/orders/finance]}, allow: principal.department == "finance"}
---
kind: Authorize
name: readers
target: {paths: [/orders/read]}
allow: >
  "orders:read" in principal.scopes && principal.level >= 3 && principal.staff && "blue" in principal.teams && "ops" in principal.groups
---
{kind: Authorize, name: others, target: {paths: [/orders/others]}, allow: 'principal.department != "finance"'}
"""
CORP = TokenIssuer()
pytestmark = pytest.mark.asyncio(loop_scope="module")


def opaque(prefix: str = "") -> str:
    return f"{prefix}{uuid.uuid4().hex}"


class World:
    """A gateway, and the server that it asks."""

    def __init__(self, gw: Gateway, idp: AuthorizationServer) -> None:
        self.gw, self.idp = gw, idp

    def token(self, _prefix: str = "", **claims: Any) -> str:
        """A token of which the server says this."""
        made = opaque(_prefix)
        self.idp.says[made] = good(**claims)
        return made

    def said(self, said: Any) -> str:
        """A token of which it says just this."""
        made = opaque()
        self.idp.says[made] = said
        return made

    async def ask(self, token: str, path: str = "/orders", scheme: str = "Bearer", **headers: str) -> httpx.Response:
        return await self.gw.get(path, headers={"authorization": f"{scheme} {token}", **headers})

    async def details(self, answer: httpx.Response) -> str:
        return str((await self.gw.record(answer))["details"])


async def grant(state: Path, port: int) -> None:
    """Gives the gateway its secret at the partner, for this port alone."""
    to = ("--to", f"127.0.0.1:{port}")
    status, _, err = await bartizan("secret", "set", "partner", *to, "--state", str(state), value=SECRET)
    assert status == 0, err


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    with upstream() as port, authorization_server() as idp:
        text = FILES.replace("UPSTREAM", str(port)).replace("ENDPOINT", idp.url)
        files = {"all.yaml": text, "corp.json": CORP.jwks(), "secret.txt": SECRET + "\n"}
        folder = tmp_path_factory.mktemp("introspection")
        await grant(folder / "state", idp.port)
        async with gateway(folder, files) as gw:
            made = World(gw, idp)
            first = made.token()

            async def counts() -> bool:
                return (await made.ask(first)).status_code == 200

            await gw.eventually(counts, 15)
            yield made


@pytest.fixture(autouse=True)
def well(world: World) -> None:
    world.idp.down, world.idp.slow_s = False, 0.0


def headers_of(answer: httpx.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.json()["headers"]}


async def test_a_token_counts_as_its_issuer_says(world: World) -> None:
    claims = {"department": "finance", "scope": "orders:read orders:write", "user": {"level": 4}, "staff": True}
    token = world.token(**claims, teams=["red", "blue"], roles=["ops"])
    for path in ("/orders", "/orders/finance", "/orders/read"):
        answer = await world.ask(token, path)
        assert answer.status_code == 200, answer.text
    told = headers_of(answer)
    seen = {name: told[name] for name in ("x-caller", "x-method", "x-department", "x-level", "x-groups")}
    assert seen == {
        "x-caller": "https://idp.example.com|ines",
        "x-method": "jwt",
        "x-department": "finance",
        "x-level": "4",
        "x-groups": '["ops"]',
    }
    assert not [name for name in told if name.startswith("x-bartizan") or name == "authorization"]
    assert (await world.ask(token, "/orders/others")).status_code == 403
    assert world.idp.asked[token] == 1, "it is asked once"
    assert world.idp.forms[-1] == {"token": token, "token_type_hint": "access_token"}
    record = await world.gw.record(answer)
    assert (record["principal"], record["issuer"], record["auth_method"]) == ("https://idp.example.com|ines", "corp", "jwt")
    assert record["attributes"]["department"] == "finance"
    assert token not in world.gw.log() and token not in (world.gw.state / "records" / "requests.jsonl").read_text()


async def test_none_wrong_and_revoked_are_refused_alike(world: World) -> None:
    assert (await world.gw.get("/orders")).status_code == 401
    answer = await world.ask(opaque())
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="edge", error="invalid_token"'
    assert answer.headers["content-type"] == "application/problem+json"
    assert await world.details(answer) == "rbac_access_denied_matched_policy[inactive-token]"
    token = world.token()
    assert (await world.ask(token)).status_code == 200
    world.idp.says[token] = {"active": False}
    began = time.monotonic()
    assert (await world.ask(token)).status_code == 200, "what was learned counts for `cache`"

    async def refused() -> bool:
        return (await world.ask(token)).status_code == 401

    await world.gw.eventually(refused, 6)
    assert time.monotonic() - began < 4, "and not much longer"
    tampered = world.token()
    for wrong in (tampered[:-1], tampered + "x", tampered.upper()):
        assert (await world.ask(wrong)).status_code == 401


NOW = int(time.time())


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW - 3600},
        {"nbf": NOW + 3600},
        {"iss": "https://evil.example.com"},
        {"iss": "https://idp.example.com/"},
        {"aud": "other"},
        {"aud": ["other", "another"]},
        {"aud": []},
        {"aud": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "ines\r\nx-bartizan-principal: acme"},
        {"sub": "ines\0"},
        {"sub": " ines"},
        {"sub": "\ud800"},
        {"sub": "x" * 9000},
        {"token_type": "mac"},
        {"token_use": "refresh_token"},
        {"typ": "Refresh"},
        {"active": False},
    ],
)
async def test_what_doesnt_count_here_is_refused(world: World, claims: dict[str, Any]) -> None:
    for path in ("/orders", "/orders/finance"):
        answer = await world.ask(
            world.token(department="finance") if not claims else world.said(good(department="finance", **claims)), path
        )
        assert answer.status_code == 401, answer.text
    assert await world.details(answer) == "rbac_access_denied_matched_policy[inactive-token]"


@pytest.mark.parametrize(
    "said",
    [
        good(active="true"),
        good(active=1),
        good(active=None),
        good(exp="9999999999"),
        good(exp=True),
        good(nbf="0"),
        good(aud={"orders": True}),
        good(aud=["orders", 7]),
        good(iss=7),
        good(sub=7),
        good(cnf="x"),
        [good()],
        "true",
        b"",
        b"{",
        b"active=true&sub=ines",
        json.dumps(good())[:-1].encode() + b', "active": true}',
        json.dumps(good())[:-1].encode() + b', "sub": "root"}',
        json.dumps(good()).replace('"ines"', "NaN").encode(),
        json.dumps(good()).encode("utf-16"),
        b"[" * 60000,
        json.dumps(good(padding="x" * 70_000)).encode(),
        Response(json.dumps(good()), media_type="text/html"),
        Response(json.dumps(good()), 201, media_type="application/json"),
        Response(json.dumps(good()), 500, media_type="application/json"),
        Response(json.dumps(good()), 401, media_type="application/json"),
        Response(json.dumps(good()), media_type="application/json", headers={"content-encoding": "gzip"}),
        Response(json.dumps(good()), media_type="application/token-introspection+jwt"),
        Response(status_code=204),
    ],
)
async def test_an_answer_that_is_none_is_no_answer(world: World, said: Any) -> None:
    answer = await world.ask(world.said(said))
    assert answer.status_code == 503, answer.text
    assert await world.details(answer) == "rbac_access_denied_matched_policy[unasked-token]"
    assert (await world.ask(world.token())).status_code == 200, "others count"


async def test_it_isnt_led_elsewhere(world: World) -> None:
    token = world.token()
    led = world.said(RedirectResponse(f"{world.idp.url}?there", 307))
    assert (await world.ask(led)).status_code == 503
    assert world.idp.asked[led] == 1, "no redirect is followed"
    assert (await world.ask(token)).status_code == 200


@pytest.mark.parametrize(
    "value", ["finance\r\nx-bartizan-sub-corp: root", "finance\n", "fin\0ance", "finance ", "\tfinance", "x" * 9000, "\udfff"]
)
async def test_a_claim_that_no_header_can_hold_isnt_there(world: World, value: str) -> None:
    token = world.token(department=value)
    answer = await world.ask(token)
    assert answer.status_code == 200 and "x-department" not in headers_of(answer), answer.text
    assert headers_of(answer)["x-caller"] == "https://idp.example.com|ines"
    assert (await world.ask(token, "/orders/finance")).status_code == 403
    assert (await world.ask(token, "/orders/others")).status_code == 403, "a denial holds where nothing is known"


async def test_claims_of_other_types_are_no_attributes(world: World) -> None:
    for claims in ({"department": ["finance"]}, {"department": {"a": "finance"}}, {"department": None}):
        token = world.said({**good(), **claims})
        assert (await world.ask(token, "/orders/finance")).status_code == 403
    accented = world.token(department="Zürich")
    assert (await world.ask(accented)).json()["headers"] and (await world.gw.record(await world.ask(accented)))["attributes"][
        "department"
    ] == "Zürich"


async def test_what_cant_be_a_token_isnt_asked_about(world: World) -> None:
    before = sum(world.idp.asked.values())
    for wrong in ('"', "a%20b", "tökèn", "{}", "a&token=b", "=", "x" * 9000, "a=b"):
        answer = await world.gw.client.get("/orders", headers=[(b"authorization", b"Bearer " + wrong.encode())])
        assert answer.status_code in {401, 431}, wrong
    assert sum(world.idp.asked.values()) == before


async def test_signed_tokens_are_checked_by_envoy_alone(world: World) -> None:
    before = sum(world.idp.asked.values())
    assert (await world.ask(CORP.token())).status_code == 200
    for wrong in (
        CORP.token(exp=1),
        CORP.token(aud="other"),
        TokenIssuer().token(),
        CORP.token()[:-4] + "AAAA",
        "ey.ey.ey",
        "eyJhbGciOiJub25lIn0.e30.",
    ):
        answer = await world.ask(wrong)
        assert answer.status_code == 401
        assert (await world.details(answer)).startswith("jwt_authn_access_denied")
    assert sum(world.idp.asked.values()) == before


async def test_without_keys_an_issuer_is_asked_about_signed_tokens_too(world: World) -> None:
    token = CORP.token(iss="https://signed.example.com")
    assert (await world.ask(token, "/orders/signed")).status_code == 401
    assert world.idp.asked[token] == 1
    token = CORP.token(iss="https://signed.example.com", jti="2")
    world.idp.says[token] = good(iss="https://signed.example.com")
    assert (await world.ask(token, "/orders/signed")).status_code == 200
    assert (await world.ask(token)).status_code == 401, "elsewhere it is one of a stranger's"


async def test_each_is_asked_about_its_own_tokens_alone(world: World) -> None:
    partner = world.token("pt_", iss="https://partner.example.com")
    assert (await world.ask(partner, "/orders/partner")).status_code == 200
    assert "client_secret" in world.idp.forms[-1]
    for path in ("/orders", "/orders/keys"):
        answer = await world.ask(world.token("pt_", iss="https://partner.example.com"), path)
        assert answer.status_code == 401
    asked = sum(world.idp.asked.values())
    for path, token in (("/orders/partner", world.token()), ("/orders/keys", world.token()), ("/orders/open", world.token())):
        assert (await world.ask(token, path)).status_code == (200 if path == "/orders/open" else 401)
    assert sum(world.idp.asked.values()) == asked, "where its issuer isn't accepted nobody is asked"


async def test_on_public_routes_it_is_taken_out(world: World) -> None:
    answer = await world.ask(world.token(), "/orders/open")
    assert answer.status_code == 200
    assert "authorization" not in headers_of(answer) and "x-caller" not in headers_of(answer)


async def test_forged_headers_say_nothing(world: World) -> None:
    forged = {
        "x-bartizan-sub-corp": "root",
        "x-bartizan-claim-department": "finance",
        "x-bartizan-asks": "partner",
        "x-bartizan-verdict": "active",
        "x-bartizan-binding": "dpop",
        "x-bartizan-proof": "dpop",
        "x-envoy-auth-headers-to-remove": "x-bartizan-asks",
        "x-forwarded-proto": "https",
    }
    answer = await world.ask(opaque(), **forged)
    assert answer.status_code == 401
    assert (await world.gw.get("/orders", headers=forged)).status_code == 401
    answer = await world.ask(world.token(), **forged)
    assert answer.status_code == 200 and headers_of(answer)["x-caller"] == "https://idp.example.com|ines"
    assert "x-department" not in headers_of(answer)
    assert (await world.ask(world.token(), "/orders/finance", **forged)).status_code == 403


async def test_two_credentials_are_refused_and_nobody_is_asked(world: World) -> None:
    _, key = world.gw.new_key("acme")

    async def counts() -> bool:
        return (await world.gw.get("/orders", headers={"x-api-key": key})).status_code == 200

    await world.gw.eventually(counts)
    asked = sum(world.idp.asked.values())
    assert (await world.ask(world.token(), **{"x-api-key": key})).status_code == 401
    doubled = [("authorization", f"Bearer {world.token()}"), ("authorization", f"Bearer {world.token()}")]
    assert (await world.gw.client.get("/orders", headers=doubled)).status_code == 401
    assert (await world.gw.get(f"/orders?access_token={world.token()}")).status_code == 401
    assert (await world.gw.get("/orders", headers={"cookie": f"access_token={world.token()}"})).status_code == 401
    assert sum(world.idp.asked.values()) == asked


async def test_many_at_once_ask_once(world: World) -> None:
    world.idp.slow_s = 0.2
    token = world.token()
    answers = await asyncio.gather(*(world.ask(token) for _ in range(30)))
    assert {one.status_code for one in answers} == {200}
    assert world.idp.asked[token] == 1


async def test_an_outage_ends_nothing_that_is_known(world: World) -> None:
    token = world.token()
    assert (await world.ask(token)).status_code == 200
    world.idp.down = True
    assert (await world.ask(token)).status_code == 200
    assert (await world.ask(world.token())).status_code == 503
    await asyncio.sleep(2.1)
    assert (await world.ask(token)).status_code == 503, "it is known no longer than `cache`"
    world.idp.down, world.idp.slow_s = False, 3.0
    began = time.monotonic()
    assert (await world.ask(world.token())).status_code == 503
    assert time.monotonic() - began < 2.5, "it has a time in which to answer"
    world.idp.slow_s = 0.0
    assert (await world.ask(token)).status_code == 200


async def test_garbage_doesnt_become_a_flood(world: World) -> None:
    await asyncio.sleep(1)
    before = sum(world.idp.asked.values())
    answers = await asyncio.gather(*(world.ask(opaque("pt_"), "/orders/partner") for _ in range(60)))
    assert {one.status_code for one in answers} == {401, 503}
    assert sum(world.idp.asked.values()) - before <= 15
    assert (await world.ask(world.token())).status_code == 200, "the other issuer is asked still"


async def test_expiry_ends_what_is_known(world: World) -> None:
    """Tokens expire by the issuer's clock and `clock_skew`; what is known of them lasts no longer."""
    token = world.token(exp=int(time.time()) - 28)
    assert (await world.ask(token)).status_code == 200
    await asyncio.sleep(2.2)
    assert (await world.ask(token)).status_code == 401


async def test_a_token_bound_to_a_key_needs_its_proof(world: World) -> None:
    mine, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    token = world.token(cnf={"jkt": jkt(mine)}, token_type="DPoP")

    def proof(key: ec.EllipticCurvePrivateKey, **more: Any) -> str:
        claims = {"jti": str(uuid.uuid4()), "htm": "GET", "htu": f"{world.gw.url}/orders/bound", "iat": int(time.time()) + 1}
        claims |= {"ath": encoded(hashlib.sha256(token.encode()).digest()), **more}
        return jwt.encode(claims, key, "ES256", headers={"typ": "dpop+jwt", "jwk": jwk(key)})

    good_one = proof(mine)
    assert (await world.ask(token, "/orders/bound", "DPoP", dpop=good_one)).status_code == 200
    refused = await world.ask(token, "/orders/bound", "DPoP", dpop=good_one)
    assert refused.status_code == 401 and "used already" in refused.headers["www-authenticate"]
    for wrong in (proof(other), proof(mine, htm="POST"), "x"):
        assert (await world.ask(token, "/orders/bound", "DPoP", dpop=wrong)).status_code == 401
    for path in ("/orders", "/orders/bound"):
        answer = await world.ask(token, path)
        assert answer.status_code == 401, "stolen, it counts nowhere"
        assert await world.details(answer) == "rbac_access_denied_matched_policy[unproven-token]"
    plain = world.token()
    assert (await world.ask(plain, "/orders/bound")).status_code == 401
    assert (await world.ask(plain, "/orders/bound", "DPoP", dpop=proof(mine))).status_code == 401


async def test_a_secret_that_changes_is_used_at_once(world: World) -> None:
    file = world.gw.files / "secret.txt"
    file.write_text("s0me-other-secret")

    async def refused() -> bool:
        return (await world.ask(world.token())).status_code == 503 and world.idp.refused > 0

    await world.gw.eventually(refused, 10)
    file.unlink()
    await world.gw.until(lambda now: any("client_secret" in one for one in now["warnings"]))
    assert SECRET not in world.gw.log() and "s0me-other" not in world.gw.log()
    file.write_text(SECRET)

    async def back() -> bool:
        return (await world.ask(world.token())).status_code == 200

    await world.gw.eventually(back, 10)


async def test_a_named_secret_goes_where_it_was_granted(world: World) -> None:
    async def status() -> int:
        return (await world.ask(world.token("pt_", iss="https://partner.example.com"), "/orders/partner")).status_code

    async def is_status(wanted: int) -> bool:
        await asyncio.sleep(0.25)  # five tokens a second are asked about
        return await status() == wanted

    await world.gw.eventually(lambda: is_status(200), 5)
    refused = world.idp.refused
    await grant(world.gw.state, 9)
    await world.gw.until(lambda now: any("client_secret" in one for one in now["warnings"]))
    await world.gw.eventually(lambda: is_status(503), 5)
    before = sum(world.idp.asked.values())
    assert await status() == 503 and sum(world.idp.asked.values()) == before and world.idp.refused == refused, "nobody is asked without it"
    await grant(world.gw.state, world.idp.port)
    await world.gw.eventually(lambda: is_status(200), 5)


async def test_what_cant_ask_refuses_and_comes_back(world: World) -> None:
    token = world.token()
    assert (await world.ask(token)).status_code == 200
    pid = next(pid for pid in children(world.gw.process.pid) if b"bartizan.callout" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(pid, signal.SIGSTOP)
    try:
        answer = await world.ask(token)
        assert answer.status_code == 503 and await world.details(answer) == "ext_authz_error", "slow"
    finally:
        os.kill(pid, signal.SIGKILL)
    answer = await world.ask(token)
    assert answer.status_code in {200, 503}, "dead, or back already"
    assert (await world.ask(CORP.token())).status_code == 200, "nobody else's trouble"

    async def back() -> bool:
        return (await world.ask(token)).status_code == 200

    await world.gw.eventually(back, 10)


async def test_a_replay_of_all_that_was_asked_agrees(world: World) -> None:
    """The last test: what the others asked was recorded."""
    await agrees(world.gw, judged=50)
