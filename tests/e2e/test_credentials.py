"""Credentials under attack: whatever is sent, only one good credential of an accepted kind lets its own principal in."""

import asyncio
import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.e2e import http2
from tests.e2e.gateway import Gateway, TokenIssuer, gateway, upstream

CORP = TokenIssuer()
WEB = TokenIssuer(url="https://web.example.com", kid="w1")
LATE = TokenIssuer(url="https://late.example.com", kid="l1")
ROTATING = TokenIssuer(url="https://rotating.example.com", kid="r1")
STRICT = TokenIssuer(url="https://strict.example.com", kid="s1")
STRANGER = TokenIssuer(url=CORP.url, kid=CORP.kid)

APIS = ("orders", "keys", "tokens", "web", "late", "rotating", "strict", "open", "finance", "ops", "quoted", "gold")
GATEWAY = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
attributes: {plan: string, department: string}
api_keys: {headers: [x-api-key, x-other-key], cookies: [session-key]}
blocking: {exempt: [127.0.0.0/8]}
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [orders]
jwks: {file: corp.json}
groups: roles
attributes: {department: dept}
---
kind: Issuer
name: web
issuer: https://web.example.com
audiences: [orders]
jwks: http://127.0.0.1:JWKS/web
---
kind: Issuer
name: late
issuer: https://late.example.com
audiences: [orders]
jwks: http://127.0.0.1:JWKS/late
---
kind: Issuer
name: rotating
issuer: https://rotating.example.com
audiences: [orders]
jwks: {file: rotating.json}
---
kind: Issuer
name: strict
issuer: https://strict.example.com
audiences: [orders]
jwks: {file: strict.json}
clock_skew: 0s
"""
POLICIES = """
kind: Authenticate
name: either
target: {paths: [/orders, /finance, /ops, /quoted, /gold, /h2]}
any: [api_key, {jwt: corp}]
---
{kind: Authenticate, name: keys, target: {api: keys}, any: [api_key]}
---
{kind: Authenticate, name: tokens, target: {api: tokens}, any: [{jwt: corp}]}
---
{kind: Authenticate, name: web, target: {api: web}, any: [{jwt: web}]}
---
{kind: Authenticate, name: late, target: {api: late}, any: [{jwt: late}]}
---
{kind: Authenticate, name: rotating, target: {api: rotating}, any: [{jwt: rotating}]}
---
{kind: Authenticate, name: strict, target: {api: strict}, any: [{jwt: strict}]}
---
{kind: Public, name: open, target: {api: open}, reason: nothing here is anybody's}
---
{kind: Authorize, name: finance, target: {api: finance}, allow: principal.department == "finance"}
---
{kind: Authorize, name: ops, target: {api: ops}, allow: '"ops" in principal.groups'}
---
{kind: Authorize, name: quoted, target: {api: quoted}, allow: '"a\\"b" in principal.groups || "c,d" in principal.groups'}
---
{kind: Authorize, name: gold, target: {api: gold}, allow: principal.plan == "gold"}
"""
CONSUMERS = """
{kind: Consumer, name: acme, groups: [ops], attributes: {plan: gold, department: finance}}
---
{kind: Consumer, name: globex, groups: ['a"b', 'x","ops'], attributes: {plan: free, department: sales}}
---
{kind: Consumer, name: short-lived, attributes: {plan: free}}
---
{kind: Consumer, name: initech, credentials: [{api_key: {file: initech.key}}], attributes: {plan: free}}
---
{kind: Consumer, name: hooli, credentials: [{api_key: {file: hooli.key}}], attributes: {plan: gold}}
"""
INITECH, SHARED = "initech-brought-this-key", "both-brought-this-key"

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Published:
    """What the authorization servers' web server publishes, and how often it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, str]] = {"/web": (200, WEB.jwks()), "/late": (500, "not yet"), "/slow": (200, WEB.jwks())}
        self.patience = threading.Event()
        self.asked: list[str] = []
        self.port = 0


@contextmanager
def publishing() -> Iterator[Published]:
    told = Published()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.asked.append(self.path)
            if self.path == "/slow":
                told.patience.wait(20)
            status, text = told.answers.get(self.path, (404, ""))
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        told.patience.set()
        server.shutdown()
        server.server_close()


class World:
    """The gateway with two good keys and the server of JWK Sets."""

    def __init__(self, gw: Gateway, published: Published) -> None:
        self.gw, self.published = gw, published
        self.refusals: list[str] = []
        self.acme_id, self.acme = gw.new_key("acme")
        _, self.globex = gw.new_key("globex")

    async def status(self, path: str, headers: Any = None) -> int:
        return (await self.gw.client.get(path, headers=headers)).status_code

    async def within(self, seconds: float, wanted: int, path: str, headers: Any) -> None:
        """That the answer becomes `wanted` within so many seconds."""

        async def so() -> bool:
            return await self.status(path, headers) == wanted

        await self.gw.eventually(so, seconds)

    async def refused(self, path: str, headers: Any, status: int = 401) -> None:
        """That it is refused, in our form. When all tests have run, the records are to say that it never reached the upstream."""
        answer = await self.gw.client.get(path, headers=headers)
        assert answer.status_code == status, (answer.status_code, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert ("www-authenticate" in answer.headers) == (status == 401)
        self.refusals.append(answer.headers["x-request-id"])

    async def look_back(self) -> None:
        """That nothing refused has reached the upstream."""
        await asyncio.sleep(0.5)
        records = {one.get("request_id"): one for one in self.gw.records()}
        for ident in self.refusals:
            assert records[ident].get("upstream_ms") is None and records[ident]["details"] != "via_upstream", records[ident]


def _apis(port: int, streams: int) -> str:
    told = "identity_headers: {x-caller: id, x-roles: groups, x-how: method}}\n"
    apis = "".join(f"---\n{{kind: Api, name: {name}, paths: [/{name}], upstream: 'http://127.0.0.1:{port}', {told}" for name in APIS)
    binary = f"{{endpoints: [{{url: 'http://127.0.0.1:{streams}'}}], protocol: h2}}"
    return f"{apis}---\n{{kind: Api, name: h2, paths: [/h2], upstream: {binary}, {told}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder: Path = tmp_path_factory.mktemp("credentials")
    (folder / "files").mkdir()
    for name, issuer in {"corp": CORP, "rotating": ROTATING, "strict": STRICT}.items():
        (folder / "files" / f"{name}.json").write_text(issuer.jwks())
    (folder / "files" / "initech.key").write_text(INITECH + "\n")
    (folder / "files" / "hooli.key").write_text("hooli-brought-this-key\n")
    with upstream() as port, publishing() as published:
        async with http2.upstream() as streams:
            declared = GATEWAY.replace("JWKS", str(published.port)) + _apis(port, streams)
            async with gateway(folder, {"gateway.yaml": declared, "policies.yaml": POLICIES, "consumers.yaml": CONSUMERS}) as gw:
                made = World(gw, published)
                for key in (made.acme, made.globex):
                    await made.within(5, 200, "/orders", {"x-api-key": key})
                yield made
                await made.look_back()


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"iss": CORP.url, "aud": "orders", "sub": "ines", "iat": now, "exp": now + 3600, **more}


def _handmade(header: dict[str, Any], claims: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    text = f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(claims).encode())}"
    return f"{text}.{_b64(sign(text.encode()))}"


def _hs256(secret: bytes) -> Callable[[], str]:
    def made() -> str:
        return _handmade({"alg": "HS256", "kid": CORP.kid, "typ": "JWT"}, _claims(), lambda text: hmac.digest(secret, text, hashlib.sha256))

    return made


def _unsigned(alg: str) -> Callable[[], str]:
    return lambda: _handmade({"alg": alg, "kid": CORP.kid}, _claims(), lambda _: b"")


def _signed(header: dict[str, Any] | None = None, key: rsa.RSAPrivateKey = CORP.key, alg: str = "RS256", **claims: Any) -> str:
    whole = {name: value for name, value in _claims(**claims).items() if value is not None}
    return jwt.encode(whole, key, alg, headers={"kid": CORP.kid, **(header or {})})


def _changed(part: int, change: Callable[[str], str]) -> Callable[[], str]:
    def made() -> str:
        parts = CORP.token().split(".")
        parts[part] = change(parts[part])
        return ".".join(parts)

    return made


def _pem() -> bytes:
    return CORP.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _der() -> bytes:
    return CORP.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _elevated(payload: str) -> str:
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return _b64(json.dumps({**claims, "dept": "finance", "roles": ["ops"]}).encode())


BAD_TOKENS: dict[str, Callable[[], str]] = {
    "expired": lambda: CORP.token(exp=int(time.time()) - 3600),
    "expired long ago": lambda: CORP.token(exp=1),
    "expiry below zero": lambda: CORP.token(exp=-1),
    "expiry as a text": lambda: _handmade({"alg": "RS256", "kid": CORP.kid}, _claims(exp="9999999999"), _rs256),
    "expiry beyond numbers": lambda: _handmade({"alg": "RS256", "kid": CORP.kid}, _claims(exp=10**30), _rs256),
    "no expiry": lambda: CORP.token(exp=None),
    "not valid yet": lambda: CORP.token(nbf=int(time.time()) + 3600),
    "of another issuer's name": lambda: CORP.token(iss="https://evil.example.com"),
    "of an issuer's name in another case": lambda: CORP.token(iss="https://IDP.example.com"),
    "of an issuer's name with a slash": lambda: CORP.token(iss="https://idp.example.com/"),
    "of no issuer": lambda: CORP.token(iss=None),
    "of several issuers": lambda: _handmade({"alg": "RS256", "kid": CORP.kid}, _claims(iss=[CORP.url]), _rs256),
    "signed by one issuer in the name of another": lambda: WEB.token(iss=CORP.url),
    "for someone else": lambda: CORP.token(aud="invoices"),
    "for several others": lambda: CORP.token(aud=["invoices", "order", "orders2"]),
    "for nobody": lambda: CORP.token(aud=None),
    "without a subject": lambda: CORP.token(sub=None),
    "with an empty subject": lambda: CORP.token(sub=""),
    "with a list as the subject": lambda: _handmade({"alg": "RS256", "kid": CORP.kid}, _claims(sub=["ines"]), _rs256),
    "signed by a stranger": lambda: STRANGER.token(),
    "signed by a stranger, without a kid": lambda: jwt.encode(_claims(), STRANGER.key, "RS256"),
    "signed by a stranger whose key comes along": lambda: _signed({"jwk": STRANGER.jwk()}, STRANGER.key),
    "signed by a stranger whose keys' address comes along": lambda: _signed({"jku": "https://evil.example.com/jwks"}, STRANGER.key),
    "with a kid that is a path": lambda: _signed({"kid": "../../../../dev/null"}, STRANGER.key),
    "with a kid nobody has": lambda: _signed({"kid": "k2"}),
    "none": _unsigned("none"),
    "None": _unsigned("None"),
    "NONE": _unsigned("NONE"),
    "nOnE": _unsigned("nOnE"),
    "none with the signature of a good one": _changed(0, lambda _: _b64(b'{"alg":"none"}')),
    "no algorithm": lambda: _handmade({"kid": CORP.kid}, _claims(), lambda _: b""),
    "signed with the public key as a secret (PEM)": _hs256(_pem()),
    "signed with the public key as a secret (PEM, stripped)": _hs256(_pem().strip()),
    "signed with the public key as a secret (DER)": _hs256(_der()),
    "signed with the public key as a secret (modulus)": _hs256(CORP.jwk()["n"].encode()),
    "signed with the public key as a secret (JWK)": _hs256(json.dumps(CORP.jwk()).encode()),
    "signed with nothing as a secret": _hs256(b""),
    "of an algorithm that isn't allowed": lambda: _signed(alg="RS512"),
    "of another padding": lambda: _signed(alg="PS256"),
    "of elliptic curves under an RSA key's kid": lambda: jwt.encode(
        _claims(), ec.generate_private_key(ec.SECP256R1()), "ES256", headers={"kid": CORP.kid}
    ),
    "with changed claims": _changed(1, _elevated),
    "with a changed header": _changed(0, lambda part: _b64(base64.urlsafe_b64decode(part + "==").replace(b"k1", b"k1 "))),
    "with another signature": _changed(2, lambda part: "A" * len(part)),
    "with a cut signature": _changed(2, lambda part: part[:-8]),
    "without a signature": _changed(2, lambda _: ""),
    "of two parts": lambda: CORP.token().rpartition(".")[0],
    "of four parts": lambda: CORP.token() + ".AAAA",
    "of five parts": lambda: CORP.token() + ".AAAA.AAAA",
    "with claims that are no object": lambda: _handmade({"alg": "RS256", "kid": CORP.kid}, ["ines"], _rs256),  # type: ignore[arg-type]
    "of dots": lambda: "..",
    "of one letter": lambda: "x",
    "of 20,000 letters": lambda: "x" * 20_000,
    "twice": lambda: f"{CORP.token()},{CORP.token()}",
}


def _rs256(text: bytes) -> bytes:
    return jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(text, CORP.key)


async def test_an_unknown_key_is_refused_fetched_within_a_second_and_at_most_once_a_minute(world: World) -> None:
    """The first of all, because any refused token may use up the minute's fetch."""
    await world.within(2, 200, "/web", _bearer(WEB.token()))
    assert world.published.asked.count("/web") == 1
    new = TokenIssuer(url=WEB.url, kid="w2")
    world.published.answers["/web"] = (200, json.dumps({"keys": [WEB.jwk(), new.jwk()]}))
    await world.refused("/web", _bearer(new.token()))
    await world.within(1, 200, "/web", _bearer(new.token()))
    assert world.published.asked.count("/web") == 2
    for i in range(20):
        await world.refused("/web", _bearer(TokenIssuer(url=WEB.url, kid=f"x{i}", key=new.key).token()))
    await asyncio.sleep(1)
    assert world.published.asked.count("/web") == 2
    assert await world.status("/web", _bearer(WEB.token())) == 200


@pytest.mark.parametrize("name", BAD_TOKENS)
async def test_a_bad_token_is_refused(world: World, name: str) -> None:
    await world.refused("/orders", _bearer(BAD_TOKENS[name]()))


@pytest.mark.parametrize("change", [{}, {"nbf": 1}, {"aud": ["other", "orders"]}, {"iat": None}], ids=str)
async def test_a_good_token_is_accepted_so_that_the_others_prove_something(world: World, change: dict[str, Any]) -> None:
    assert await world.status("/orders", _bearer(CORP.token(**change))) == 200


async def test_without_a_kid_a_token_counts_if_one_of_the_issuers_keys_signed_it(world: World) -> None:
    assert await world.status("/orders", _bearer(jwt.encode(_claims(), CORP.key, "RS256"))) == 200


async def test_an_expired_token_stops_counting_though_it_was_cached(world: World) -> None:
    soon = STRICT.token(exp=int(time.time()) + 2)
    assert await world.status("/strict", _bearer(soon)) == 200
    assert await world.status("/strict", _bearer(soon)) == 200
    # No leeway was asked for; Envoy's smallest is a second.
    await world.within(4.5, 401, "/strict", _bearer(soon))


@pytest.mark.parametrize("age", [5, 20, 50])
async def test_no_clock_skew_means_none_and_not_the_default(world: World, age: int) -> None:
    await world.refused("/strict", _bearer(STRICT.token(exp=int(time.time()) - age)))
    await world.refused("/strict", _bearer(STRICT.token(nbf=int(time.time()) + age)))


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer  "])
async def test_the_scheme_knows_no_case(world: World, scheme: str) -> None:
    assert await world.status("/orders", {"authorization": f"{scheme} {CORP.token()}"}) == 200
    await world.refused("/orders", {"authorization": f"{scheme} {STRANGER.token()}"})
    await world.refused("/orders", {"authorization": f"{scheme} {STRANGER.token()}", "x-api-key": world.acme})


@pytest.mark.parametrize(
    "form",
    [
        "",
        "Bearer",
        "{}",
        "Token {}",
        "Basic {}",
        "Bearer\t{}",
        "Bearer {},",
        "Bearer {} x",
        'Bearer "{}"',
        "Bearer={}",
        "Bearer:{}",
        "x Bearer {}",
    ],
)
async def test_what_is_no_bearer_token_is_refused_and_never_passed_on(world: World, form: str) -> None:
    await world.refused("/orders", {"authorization": form.replace("{}", CORP.token())})
    await world.refused("/orders", {"authorization": form.replace("{}", CORP.token()), "x-api-key": world.acme})


# Keys


def _bad_keys(world: World) -> dict[str, bytes]:
    good = world.acme
    flipped = good[:-1] + ("a" if good[-1] != "a" else "b")
    return {
        "empty": b"",
        "dash": b"-",
        "one letter": b"x",
        "the prefix alone": b"bz_",
        "the shard alone": good[:4].encode(),
        "cut": good[:-1].encode(),
        "longer": f"{good}a".encode(),
        "another ending": flipped.encode(),
        "another case": good.swapcase().encode(),
        "a shard in capitals": f"bz_{good[3].upper()}{good[4:]}".encode() if good[3].isalpha() else b"bz_A",
        "a shard that isn't there": f"bz_1{good[4:]}".encode(),
        "a shard that can't be": f"bz_;{good[4:]}".encode(),
        "a shard with no keys of ours": f"bz_7{'a' * 36}".encode(),
        "its public name": world.acme_id.encode(),
        "its consumer's name": b"acme",
        "an identity": b";id=acme;key=key_a;groups=[];plan=gold;",
        "another key behind a comma": f"{good},{good}".encode(),
        "a blank inside": f"{good[:10]} {good[10:]}".encode(),
        "in quotes": f'"{good}"'.encode(),
        "bytes that are no text": b"\xff\xfe" + good.encode(),
        "after bytes that are no text": good.encode() + b"\xff",
        "very long": b"bz_a" + b"x" * 20_000,
        "as a token": b"Bearer " + good.encode(),
    }


async def test_a_bad_key_is_refused_and_all_bad_keys_look_alike(world: World) -> None:
    told = set()
    for name, key in _bad_keys(world).items():
        answer = await world.gw.client.get("/orders", headers=[(b"x-api-key", key)])
        assert answer.status_code == 401, name
        body = {**answer.json(), "request_id": ""}
        told.add((json.dumps(body, sort_keys=True), answer.headers["www-authenticate"], tuple(sorted(answer.headers))))
    assert len(told) == 1
    expired, key = world.gw.new_key("short-lived", expires=time.time() + 1)
    ident, revoked = world.gw.new_key("short-lived")
    await world.within(1, 200, "/orders", {"x-api-key": revoked})
    world.gw.revoke(ident)
    for one in (key, revoked):
        await world.within(2.6, 401, "/orders", {"x-api-key": one})
        answer = await world.gw.get("/orders", headers={"x-api-key": one})
        body = {**answer.json(), "request_id": ""}
        assert (json.dumps(body, sort_keys=True), answer.headers["www-authenticate"], tuple(sorted(answer.headers))) in told, expired


async def test_a_key_is_its_own_consumer_and_nobody_else(world: World) -> None:
    for key, caller in ((world.acme, "acme"), (world.globex, "globex"), (INITECH, "initech")):
        headers = dict((await world.gw.get("/orders", headers={"x-api-key": key})).json()["headers"])
        assert (headers["x-caller"], headers["x-how"]) == (caller, "api_key")
    assert await world.status("/finance", {"x-api-key": world.acme}) == 200
    await world.refused("/finance", {"x-api-key": world.globex}, 403)


async def test_a_key_may_stand_in_each_declared_place_and_nowhere_else(world: World) -> None:
    good = world.acme
    for headers in (
        {"x-api-key": good},
        {"x-other-key": good},
        {"cookie": f"session-key={good}"},
        {"cookie": f"a=b; session-key={good} ; c=d"},
    ):
        answer = await world.gw.get("/orders", headers=headers)
        assert answer.status_code == 200, headers
        assert good not in answer.text
    assert ["cookie", "a=b; c=d"] in answer.json()["headers"]
    for headers in (
        {"cookie": f"Session-Key={good}"},
        {"cookie": f"session-key ={good[:-1]}"},
        {"cookie": f"xsession-key={good}"},
        {"x-api-keys": good},
        {"apikey": good},
        {"proxy-authorization": f"Bearer {good}"},
    ):
        await world.refused("/orders", headers)
    for query in (f"access_token={CORP.token()}", f"x-api-key={good}", f"api_key={good}", f"authorization=Bearer%20{good}"):
        await world.refused(f"/orders?{query}", {})


async def test_a_cookie_costs_no_more_than_its_length(world: World) -> None:
    started = time.perf_counter()
    await world.refused("/orders", {"cookie": "session-key=y" + " " * 50_000 + "x"})
    await world.refused("/orders", {"cookie": "other=y" + " " * 50_000 + "x; " + "session-key" * 100})
    assert time.perf_counter() - started < 1


# Several credentials


def _several(world: World) -> dict[str, list[tuple[str, str]]]:
    key, other, token, bad = world.acme, world.globex, CORP.token(), STRANGER.token()
    return {
        "two good tokens": [("authorization", f"Bearer {token}"), ("authorization", f"Bearer {CORP.token(sub='otto')}")],
        "the same token twice": [("authorization", f"Bearer {token}"), ("authorization", f"Bearer {token}")],
        "a good token, then a bad one": [("authorization", f"Bearer {token}"), ("authorization", f"Bearer {bad}")],
        "a bad token, then a good one": [("authorization", f"Bearer {bad}"), ("authorization", f"Bearer {token}")],
        "a token and a password": [("authorization", f"Bearer {token}"), ("authorization", "Basic Zm9vOmJhcg==")],
        "joined tokens": [("authorization", f"Bearer {token}, Bearer {token}")],
        "two good keys": [("x-api-key", key), ("x-api-key", other)],
        "the same key twice": [("x-api-key", key), ("x-api-key", key)],
        "a good key, then a bad one": [("x-api-key", key), ("x-api-key", "wrong")],
        "a bad key, then a good one": [("x-api-key", "wrong"), ("x-api-key", key)],
        "a good key, then an empty one": [("x-api-key", key), ("x-api-key", "")],
        "joined keys": [("x-api-key", f"{key},{other}")],
        "keys in two headers": [("x-api-key", key), ("x-other-key", key)],
        "a key and an empty one in another header": [("x-api-key", key), ("x-other-key", "")],
        "a good key in one header, a bad one in another": [("x-other-key", key), ("x-api-key", "wrong")],
        "a key and the same in a cookie": [("x-api-key", key), ("cookie", f"session-key={key}")],
        "a key and a bad one in a cookie": [("x-api-key", key), ("cookie", "session-key=wrong")],
        "a bad key and a good one in a cookie": [("x-api-key", "wrong"), ("cookie", f"session-key={key}")],
        "two in one cookie": [("cookie", f"session-key={key}; session-key={other}")],
        "two cookies": [("cookie", f"session-key={key}"), ("cookie", f"session-key={key}")],
        "a cookie hidden in another's quotes": [("cookie", f'a="; session-key=wrong; "; session-key={key}')],
        "a key and a token": [("x-api-key", key), ("authorization", f"Bearer {token}")],
        "a key and a bad token": [("x-api-key", key), ("authorization", f"Bearer {bad}")],
        "a bad key and a token": [("x-api-key", "wrong"), ("authorization", f"Bearer {token}")],
        "a key and a password": [("x-api-key", key), ("authorization", "Basic Zm9vOmJhcg==")],
        "a key and nothing": [("x-api-key", key), ("authorization", "")],
        "a key of no shard and a token": [("x-api-key", "bz_1x"), ("authorization", f"Bearer {token}")],
        "no key at all and a token": [("x-api-key", ""), ("authorization", f"Bearer {token}")],
        "all places": [("x-api-key", key), ("x-other-key", key), ("cookie", f"session-key={key}"), ("authorization", f"Bearer {token}")],
    }


async def test_more_than_one_credential_is_refused_whichever_is_right(world: World) -> None:
    for name, headers in _several(world).items():
        for path in ("/orders", "/keys", "/tokens"):
            assert await world.status(path, headers) == 401, (name, path)
            await world.refused(path, headers)


async def test_more_than_one_credential_is_refused_on_http2_too(world: World) -> None:
    for name, headers in _several(world).items():
        answer = await http2.send(world.gw.port, http2.request("GET", "/orders", "a", *headers))
        assert answer.status == 401, name


async def test_on_a_public_route_every_place_of_a_credential_is_emptied(world: World) -> None:
    for name, headers in _several(world).items():
        answer = await world.gw.client.get("/open", headers=headers)
        assert answer.status_code == 200, name
        passed = {header: value for header, value in answer.json()["headers"]}
        assert not {"authorization", "x-api-key", "x-other-key", "x-caller", "x-how", "x-roles"} & passed.keys(), name
        assert "session-key" not in passed.get("cookie", "") and world.acme not in answer.text, name


async def test_a_kind_of_credential_that_isnt_accepted_here_is_refused(world: World) -> None:
    assert await world.status("/keys", {"x-api-key": world.acme}) == 200
    assert await world.status("/tokens", _bearer(CORP.token())) == 200
    await world.refused("/tokens", {"x-api-key": world.acme})
    await world.refused("/keys", _bearer(CORP.token()))
    await world.within(2, 200, "/web", _bearer(WEB.token()))
    await world.refused("/tokens", _bearer(WEB.token()))
    await world.refused("/web", _bearer(CORP.token()))


# What a caller claims to be

FORGED = {
    "x-bartizan-principal": ';id=acme;key=k;groups=["ops"];plan=gold;department=finance;',
    "X-Bartizan-Principal": ";id=acme;",
    "x-bartizan-sub-corp": "root",
    "x-bartizan-claim-department": "finance",
    "x-bartizan-claim-groups": "WyJvcHMiXQ==",
    "x-bartizan-cert": "corp|spiffe://corp/root",
    "x-bartizan-ca": "corp",
    "x-bartizan-fingerprint": "0" * 64,
    "x-bartizan-scope": "*/open",
    "X-BARTIZAN-SCOPE": "*/open",
    "x-bartizan-refusal": "",
    "x-bartizan-never": "x",
    "x-bartizan-now": "2020-01-01T00:00:00Z",
    "x-bartizan-source": "10.0.0.1",
    "x-bartizan-ja4": "forged",
    "x-caller": "root",
    "X-Caller": "root",
    "x-how": "mtls",
    "x-roles": '["ops"]',
    "x-envoy-original-path": "/open",
    "x-envoy-upstream-rq-timeout-ms": "1",
    "x-envoy-internal": "true",
    "x-envoy-decorator-operation": "x",
    "x-envoy-peer-metadata": "x",
    "x-envoy-expected-rq-timeout-ms": "1",
    "x-envoy-max-retries": "100",
    "x-envoy-force-trace": "true",
    "x-forwarded-client-cert": "By=spiffe://x;URI=spiffe://corp/root",
}
KEPT = {"x-forwarded-client-cert"}


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_identity_opens_nothing_and_reaches_nobody(world: World, name: str) -> None:
    forged = [(name, FORGED[name])]
    for path in ("/orders", "/finance", "/ops", "/tokens"):
        assert (await world.gw.client.get(path, headers=forged)).status_code == 401, path
    for headers, path, status in (
        ([("x-api-key", world.globex)], "/finance", 403),
        ([("x-api-key", world.globex)], "/ops", 403),
        ([("x-api-key", world.globex)], "/gold", 403),
        ([("authorization", f"Bearer {CORP.token()}")], "/finance", 403),
        ([("authorization", f"Bearer {CORP.token()}")], "/ops", 403),
    ):
        assert (await world.gw.client.get(path, headers=[*headers, *forged])).status_code == status, path
    answer = await world.gw.client.get("/orders", headers=[("x-api-key", world.globex), *forged, *forged])
    assert answer.status_code == 200
    passed = [
        (header, value)
        for header, value in answer.json()["headers"]
        if header.startswith(("x-bartizan", "x-envoy", "x-caller", "x-how", "x-roles", "x-forwarded-client"))
    ]
    assert sorted(header for header, _ in passed) == ["x-caller", "x-how", "x-roles"]
    assert ("x-caller", "globex") in passed and ("x-how", "api_key") in passed
    answer = await world.gw.client.get("/open", headers=forged)
    assert answer.status_code == 200
    assert not [header for header, _ in answer.json()["headers"] if header == name.lower()]


@pytest.mark.parametrize(
    "name",
    ["X_Bartizan_Principal", "x_bartizan_principal", "x-bartizan_principal", "x_caller", "X_Api_Key", "x_api-key", "x_envoy_internal"],
)
async def test_a_header_with_underscores_is_refused_because_others_read_it_as_dashes(world: World, name: str) -> None:
    for path in ("/orders", "/open"):
        answer = await world.gw.raw(f"GET {path} HTTP/1.1\r\nhost: a\r\nx-api-key: {world.acme}\r\n{name}: ;id=root;\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 400 "), answer
        told = await http2.send(world.gw.port, http2.request("GET", path, "a", ("x-api-key", world.acme), (name.lower(), ";id=root;")))
        assert told.status != 200


@pytest.mark.parametrize("form", ["{} : x", " {}: x", "{}\t: x", "{}\r\n : x", "\x0b{}: x", "x: y\n {}: x"])
async def test_a_header_in_an_odd_form_never_passes_as_ours(world: World, form: str) -> None:
    for name in ("x-bartizan-principal", "x-caller"):
        answer = await world.gw.raw(f"GET /open HTTP/1.1\r\nhost: a\r\n{form.replace('{}', name)}\r\n\r\n".encode("latin-1"))
        status, _, body = answer.partition(b"\r\n\r\n")
        if b" 200 " in status.split(b"\r\n")[0]:
            names = [header for header, _ in json.loads(body)["headers"]]
            assert not [header for header in names if "bartizan" in header or header == "x-caller"]


async def test_trailers_carry_no_identity(world: World) -> None:
    chunked = (
        b"POST /orders HTTP/1.1\r\nhost: a\r\nx-api-key: %s\r\ntransfer-encoding: chunked\r\ntrailer: x-bartizan-principal\r\n\r\n"
        b"3\r\nabc\r\n0\r\nx-bartizan-principal: ;id=root;\r\nx-caller: root\r\nx-api-key: wrong\r\n\r\n"
    )
    answer = await world.gw.raw(chunked % world.globex.encode())
    told = json.loads(answer.partition(b"\r\n\r\n")[2].split(b"\r\n")[0 if b"content-length" in answer.lower() else 1])
    assert [value for header, value in told["headers"] if header == "x-caller"] == ["globex"]
    assert "root" not in json.dumps(told)
    trailers = [("x-bartizan-principal", ";id=root;"), ("x-caller", "root"), ("authorization", "Bearer x")]
    for path in ("/orders", "/h2"):
        for more, status in (([("x-api-key", world.globex)], 200), ([], 401)):
            got = await http2.send(world.gw.port, http2.request("POST", path, "a", *more), b"abc", trailers)
            assert got.status == status, path
            assert b"root" not in got.body and b"Bearer" not in got.body
    passed = await http2.send(world.gw.port, http2.request("POST", "/h2", "a", ("x-api-key", world.globex)), b"abc", trailers)
    assert (json.loads(passed.body)["body"], json.loads(passed.body)["trailers"]) == ("abc", [])


async def test_connection_cannot_take_our_headers_away(world: World) -> None:
    named = "close, x-caller, x-how, x-bartizan-key, x-bartizan-principal, x-bartizan-token, x-bartizan-scope"
    answer = await world.gw.get("/orders", headers={"x-api-key": world.globex, "connection": named, "x-caller": "root"})
    assert dict(answer.json()["headers"])["x-caller"] == "globex"
    # Naming the credential takes it away, which can only close.
    assert await world.status("/orders", {"x-api-key": world.globex, "connection": "close, x-api-key"}) in {200, 401}
    assert await world.status("/orders", {"x-api-key": "wrong", "connection": "close, x-api-key"}) == 401
    assert await world.status("/orders", _bearer(CORP.token()) | {"x-api-key": "wrong", "connection": "close, x-api-key"}) in {200, 401}


# One principal each


@pytest.mark.parametrize(
    "subject", ["a|b", "https://idp.example.com|x", "acme", ";id=acme;", "a;key=b", "a b", "ünï🐈", "%s", "a,b", '"', "\\1", "=", "x" * 200]
)
async def test_a_subject_is_told_whole_behind_its_issuer(world: World, subject: str) -> None:
    answer = await world.gw.get("/orders", headers=_bearer(CORP.token(sub=subject)))
    assert answer.status_code == 200
    told = [value.encode("latin-1").decode() for header, value in answer.json()["headers"] if header == "x-caller"]
    assert told == [f"https://idp.example.com|{subject}"]
    assert (await world.gw.record(answer))["principal"] == f"https://idp.example.com|{subject}"
    await world.refused("/finance", _bearer(CORP.token(sub=subject)), 403)


@pytest.mark.parametrize("subject", ["a\r\nx-admin: true", "a\nb", "a\0b", "a\rb", "\n"])
async def test_a_subject_that_no_header_can_hold_reaches_nobody(world: World, subject: str) -> None:
    answer = await world.gw.get("/orders", headers=_bearer(CORP.token(sub=subject)))
    assert answer.status_code in {401, 403, 503}
    assert (await world.gw.record(answer)).get("upstream_ms") is None
    for header in ("dept", "roles"):
        answer = await world.gw.get("/orders", headers=_bearer(CORP.token(**{header: [subject] if header == "roles" else subject})))
        assert answer.status_code != 200 or "x-admin" not in dict(answer.json()["headers"])


async def test_issuers_that_could_be_mixed_up_or_cant_be_asked_are_mistakes(world: World) -> None:
    names = ("https://idp.example.com|x", "a|b", "corp")
    urls = ("http://127.0.0.1:99999/", "http://[::1", "https://", "https:///jwks", "https://a b/", "ftp://a/", "//a/")
    bad = [f"{{kind: Issuer, name: bad-{i}, issuer: '{name}', audiences: [a], jwks: {{keys: []}}}}" for i, name in enumerate(names)]
    bad += [f"{{kind: Issuer, name: url-{i}, issuer: 'https://a', audiences: [a], jwks: '{url}'}}" for i, url in enumerate(urls)]
    told = await world.gw.edit("bad.yaml", "\n---\n".join(bad), enforced=False)
    wanted = [f"Issuer/bad-{i}: issuer" for i in range(len(names))] + [f"Issuer/url-{i}: jwks" for i in range(len(urls))]
    assert sorted(problem["path"] for problem in told["refused"]) == wanted
    (world.gw.files / "bad.yaml").unlink()
    await world.gw.until(lambda now: not now["refused"])


@pytest.mark.parametrize(
    "roles, ops, quoted",
    [
        (["ops"], 200, 403),
        (["x", "ops"], 200, 403),
        (['x","ops'], 403, 403),
        (['ops"'], 403, 403),
        (['"ops"'], 403, 403),
        (["ops,x"], 403, 403),
        (["Ops"], 403, 403),
        (["ops "], 403, 403),
        ([["ops"]], 403, 403),
        ([{"ops": "ops"}], 403, 403),
        ({"ops": "ops"}, 403, 403),
        ("ops", 403, 403),
        ('["ops"]', 403, 403),
        ([], 403, 403),
        (None, 403, 403),
        (True, 403, 403),
        (['a"b'], 403, 200),
        (["c,d"], 403, 200),
        (["c", "d"], 403, 403),
        (["a\\", "b"], 403, 403),
    ],
    ids=str,
)
async def test_groups_of_a_token_are_the_texts_in_its_list_and_nothing_else(world: World, roles: Any, ops: int, quoted: int) -> None:
    headers = _bearer(CORP.token(roles=roles))
    assert (await world.status("/ops", headers), await world.status("/quoted", headers)) == (ops, quoted)


async def test_groups_of_a_consumer_are_the_same(world: World) -> None:
    assert await world.status("/ops", {"x-api-key": world.acme}) == 200
    assert await world.status("/ops", {"x-api-key": world.globex}) == 403
    assert await world.status("/quoted", {"x-api-key": world.globex}) == 200


@pytest.mark.parametrize(
    "claims, path, status",
    [
        ({"dept": "finance"}, "/finance", 200),
        ({"dept": "sales"}, "/finance", 403),
        ({"department": "finance"}, "/finance", 403),
        ({"Dept": "finance"}, "/finance", 403),
        ({"dept": ["finance"]}, "/finance", 403),
        ({"dept": {"finance": "finance"}}, "/finance", 403),
        ({"dept": "finance\0"}, "/finance", 403),
        ({"dept": "sales;department=finance;"}, "/finance", 403),
        ({"plan": "gold"}, "/gold", 403),
        ({"groups": ["ops"]}, "/ops", 403),
        ({"id": "acme", "method": "api_key", "key": "x"}, "/gold", 403),
        ({"sub": ";plan=gold;department=finance;"}, "/finance", 403),
        ({"sub": "x;plan=gold;"}, "/gold", 403),
    ],
    ids=str,
)
async def test_only_claims_that_the_issuer_names_become_attributes(world: World, claims: dict[str, Any], path: str, status: int) -> None:
    assert await world.status(path, _bearer(CORP.token(**claims))) == status


# What is live


async def test_a_consumers_attribute_its_end_and_its_return_hold_within_a_second(world: World) -> None:
    consumers = world.gw.files / "consumers.yaml"
    key = {"x-api-key": world.globex}
    revision = (await world.gw.status())["revision"]
    for old, new, path, status in (
        ("department: sales", "department: finance", "/finance", 200),
        ("", "", "/finance", 403),
        ("name: globex,", "name: globex, disabled: true,", "/orders", 401),
        ("", "", "/orders", 200),
        ("name: globex,", "name: somebody-else,", "/orders", 401),
        ("", "", "/orders", 200),
    ):
        consumers.write_text(CONSUMERS.replace(old, new, 1))
        await world.within(1, status, path, key)
        assert await world.status("/finance", {"x-api-key": world.acme}) == 200
    assert (await world.gw.status())["revision"] == revision


async def test_a_brought_key_changes_with_its_file_and_belongs_to_one_consumer(world: World) -> None:
    old, new = {"x-api-key": INITECH}, {"x-api-key": "initech-brought-another"}
    file = world.gw.files / "initech.key"
    assert (await world.status("/orders", old), await world.status("/orders", new)) == (200, 401)
    file.write_text("initech-brought-another\n")
    await world.within(1.5, 401, "/orders", old)
    assert await world.status("/orders", new) == 200
    file.unlink()
    await world.within(1.5, 401, "/orders", new)
    assert any("initech" in warning for warning in (await world.gw.status())["warnings"])
    for name in ("initech.key", "hooli.key"):
        (world.gw.files / name).write_text(SHARED)
    await asyncio.sleep(1.2)
    await world.refused("/orders", {"x-api-key": SHARED})
    assert any("hooli" in warning for warning in (await world.gw.status())["warnings"])
    file.write_text(INITECH)
    await world.within(1.5, 200, "/orders", old)


async def test_a_removed_key_of_an_issuer_stops_counting_within_a_second_for_cached_tokens_too(world: World) -> None:
    file = world.gw.files / "rotating.json"
    other = TokenIssuer(url=ROTATING.url, kid="r2")
    token = _bearer(ROTATING.token())
    for _ in range(5):
        assert await world.status("/rotating", token) == 200
    file.write_text(json.dumps({"keys": [ROTATING.jwk(), other.jwk()]}))
    await world.within(1, 200, "/rotating", _bearer(other.token()))
    assert await world.status("/rotating", token) == 200
    file.write_text(other.jwks())
    await world.within(1, 401, "/rotating", token)
    await world.refused("/rotating", _bearer(ROTATING.token()))
    assert await world.status("/rotating", _bearer(other.token())) == 200
    # The same name for another key: what the old one signed is refused.
    file.write_text(json.dumps({"keys": [{**other.jwk(), "kid": "r1"}]}))
    await world.within(1, 401, "/rotating", _bearer(other.token()))
    await world.refused("/rotating", token)
    file.write_text(ROTATING.jwks())
    await world.within(1, 200, "/rotating", token)


SECRET = b"shared-with-everybody-who-can-read-it"
ODD_KEYS: dict[str, dict[str, Any]] = {
    "a shared secret": {"kty": "oct", "kid": "h1", "alg": "HS256", "k": _b64(SECRET)},
    "a shared secret that says it is RSA": {"kty": "RSA", "kid": "h1", "alg": "HS256", "k": _b64(SECRET)},
    "no parts": {"kty": "RSA", "kid": "h1"},
    "parts that are no numbers": {"kty": "RSA", "kid": "h1", "n": "???", "e": 3},
    "a curve that isn't there": {"kty": "EC", "kid": "h1", "crv": "P-0", "x": "AA", "y": "AA"},
    "a point that isn't on the curve": {
        "kty": "EC",
        "kid": "h1",
        "crv": "P-256",
        "x": _b64(b"\1" * 32),
        "y": _b64(b"\1" * 32),
        "alg": "ES256",
    },
    "for encryption": {**STRANGER.jwk(), "kid": "h1", "use": "enc"},
    "no object": [],  # type: ignore[dict-item]
    "a kid that is no text": {**STRANGER.jwk(), "kid": 7, "alg": "HS256"},
}


@pytest.mark.parametrize("name", ODD_KEYS)
async def test_an_odd_key_beside_a_good_one_counts_for_nothing_and_harms_nobody(world: World, name: str) -> None:
    file = world.gw.files / "rotating.json"
    marker = TokenIssuer(url=ROTATING.url, kid=f"m{time.time_ns()}", key=WEB.key)
    file.write_text(json.dumps({"keys": [ODD_KEYS[name], ROTATING.jwk(), marker.jwk()]}))
    await world.within(1.5, 200, "/rotating", _bearer(marker.token()))
    assert await world.status("/rotating", _bearer(ROTATING.token())) == 200
    claims = {**_claims(), "iss": ROTATING.url}
    forged = [_handmade({"alg": "HS256", "kid": "h1"}, claims, lambda text: hmac.digest(SECRET, text, hashlib.sha256))]
    forged += [jwt.encode(claims, STRANGER.key, "RS256", headers=more) for more in ({"kid": "h1"}, {})]
    for token in forged:
        await world.refused("/rotating", _bearer(token))


@pytest.mark.parametrize("text", ["", "<html>", "[]", "{}", '{"keys": "x"}', '{"keys": null}', "null", "7", '{"keys":[', "[" * 5000])
async def test_a_key_set_that_cant_be_read_keeps_the_last_good_one_and_is_told(world: World, text: str) -> None:
    file = world.gw.files / "rotating.json"
    file.write_text(text)

    def warned(now: dict[str, Any]) -> bool:
        return any("Issuer/rotating" in warning for warning in now["warnings"])

    await world.gw.until(warned, 2)
    assert await world.status("/rotating", _bearer(ROTATING.token())) == 200
    file.write_text(ROTATING.jwks())
    await world.gw.until(lambda now: not warned(now), 2)


async def test_without_any_keys_it_is_our_fault_and_nobody_elses_trouble(world: World) -> None:
    token = _bearer(LATE.token())
    answer = await world.gw.get("/late", headers=token)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:bartizan:problem:unavailable")
    assert "www-authenticate" not in answer.headers
    assert any("Issuer/late" in warning for warning in (await world.gw.status())["warnings"])
    assert await world.status("/orders", _bearer(CORP.token())) == 200
    assert await world.status("/late") == 401
    world.published.answers["/late"] = (200, LATE.jwks())
    await world.within(7, 200, "/late", token)


async def test_an_issuer_that_cant_be_asked_stops_no_other_and_an_edit_of_one_keeps_its_keys(world: World) -> None:
    file = world.gw.files / "gateway.yaml"
    text = file.read_text()
    token = _bearer(WEB.token())
    await world.within(2, 200, "/web", token)
    extra = "".join(
        f"---\n{{kind: Issuer, name: odd-{i}, issuer: 'https://odd-{i}.example.com', audiences: [a], jwks: '{url}'}}\n"
        for i, url in enumerate(("http://127.0.0.1:1/", "http://no-such-host.invalid/", f"http://127.0.0.1:{world.published.port}/slow"))
    )
    edited = text.replace(
        "issuer: https://web.example.com\naudiences: [orders]", "issuer: https://web.example.com\naudiences: [orders, more]"
    )
    assert edited != text
    file.write_text(edited + extra)
    seen = set()
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        seen.add(await world.status("/web", token))
    assert seen == {200}
    assert await world.status("/web", _bearer(WEB.token(aud="more"))) == 200
    rotated = TokenIssuer(url=ROTATING.url, kid="r9")
    (world.gw.files / "rotating.json").write_text(rotated.jwks())
    await world.within(1.5, 200, "/rotating", _bearer(rotated.token()))
    await world.gw.until(lambda now: all(any(f"Issuer/odd-{i}" in warning for warning in now["warnings"]) for i in range(2)), 6)
    (world.gw.files / "rotating.json").write_text(ROTATING.jwks())
    file.write_text(text)


async def test_no_credential_stands_in_a_record_or_a_log(world: World) -> None:
    secrets = [world.acme, world.globex, INITECH, SHARED, CORP.token().split(".")[2]]
    token = CORP.token()
    await world.gw.get(f"/orders?access_token={token}", headers={"referer": f"https://x/?{token}"})
    await world.gw.get("/orders", headers={"x-api-key": world.acme, "authorization": f"Bearer {token}"})
    answer = await world.gw.get("/orders", headers={"x-api-key": world.acme})
    await world.gw.record(answer)
    told = world.gw.log() + (world.gw.state / "envoy.log").read_text()
    told += "".join(path.read_text() for path in (world.gw.state / "records").iterdir())
    for secret in (*secrets, token, token.split(".")[2]):
        assert secret not in told
