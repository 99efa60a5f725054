"""Logging in with a provider elsewhere: only what it signed for us, now, for this login, in this browser, lets somebody in."""

import base64
import hmac
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from joserfc.jws import serialize_compact
from starlette.responses import Response

from bartizan.authorization.asking import COOKIE, Asked
from bartizan.authorization.people.outside import _checked, away, back
from bartizan.authorization.sessions import Session
from bartizan.errors import NotFound, Unauthenticated
from bartizan.model.authorization import Outside
from bartizan.model.fields import SecretRef
from tests.unit.authorization.rig import ISSUER, Rig

KEY, OTHER = (ECKey.generate_key("P-256", {"kid": "k1"}) for _ in range(2))
NAME = "__Host-bartizan-outside"


class Provider:
    """An OpenID provider that says what it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], str]] = []
        self.token = ""
        self.metadata: dict[str, Any] = {}
        handler = type("Handler", (_Handler,), {"provider": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path: str) -> object:
        if path == "/token":
            return {"id_token": self.token} if self.token else {}
        if path == "/jwks":
            return KeySet([KEY]).as_dict(private=False)
        ends = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/jwks"}
        return {"issuer": self.issuer, **{name: self.issuer + end for name, end in ends.items()}, **self.metadata}


class _Handler(BaseHTTPRequestHandler):
    provider: Provider

    def do_GET(self) -> None:
        told = orjson.dumps(self.provider.answer(self.path))
        self.send_response(200)
        self.send_header("content-length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def do_POST(self) -> None:
        form = self.rfile.read(int(self.headers["content-length"])).decode()
        read = {name: values[0] for name, values in parse_qs(form).items()}
        self.provider.asked.append((self.path, read, self.headers.get("authorization", "")))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def provider(rig: Rig) -> Iterator[Provider]:
    made = Provider()
    rig.gateway.secrets["GOOGLE"] = "its secret"
    declare(rig, made)
    yield made
    made.server.shutdown()
    made.server.server_close()


def declare(rig: Rig, provider: Provider, **more: Any) -> None:
    one = {"issuer": provider.issuer, "client_id": "us", "client_secret": {"env": "GOOGLE"}, "title": "Google", **more}
    rig.declare(outside={"google": one, "other": one})


class Away:
    """A browser that was sent to the provider."""

    def __init__(self, rig: Rig, name: str = "google", leads: str = "") -> None:
        self.rig, self.name = rig, name
        answer = away(rig.here, self.asked({"in": leads}, {}))
        assert answer.status_code == 303, bytes(answer.body)
        self.at = urlsplit(answer.headers["location"])
        self.query = {key: values[0] for key, values in parse_qs(self.at.query).items()}
        self.cookie = answer.headers["set-cookie"]
        self.bound = self.cookie.partition("=")[2].partition(";")[0]

    def asked(self, query: dict[str, str], cookies: dict[str, str]) -> Asked:
        return Asked("GET", "/login/outside", tuple(query.items()), (), {}, cookies, "192.0.2.1", {"name": self.name})

    def claims(self, **more: Any) -> dict[str, Any]:
        now = int(time.time())
        own = {
            "iss": f"{self.at.scheme}://{self.at.netloc}",
            "aud": "us",
            "sub": "7",
            "exp": now + 300,
            "iat": now,
            "nonce": self.query["nonce"],
        }
        return {name: value for name, value in {**own, **more}.items() if value is not None}

    def comes_back(self, query: dict[str, str] | None = None, cookie: str | None = None, name: str = "google") -> Response:
        told = {"state": self.query["state"], "code": "c", **(query or {})}
        self.name = name
        return back(self.rig.here, self.asked(told, {NAME: self.bound if cookie is None else cookie}))


def signed(claims: dict[str, Any], key: Any = KEY, **header: str) -> str:
    told = {"alg": "ES256", "kid": "k1", **header}
    return jwt.encode(told, claims, key, [told["alg"]])


def by_secret(claims: dict[str, Any]) -> str:
    """Signed with the public key, as if it were a secret."""
    parts = [base64.urlsafe_b64encode(orjson.dumps(one)).rstrip(b"=") for one in ({"alg": "HS256", "kid": "k1"}, claims)]
    made = hmac.digest(KEY.as_pem(private=False), b".".join(parts), "sha256")
    return b".".join([*parts, base64.urlsafe_b64encode(made).rstrip(b"=")]).decode()


def session(rig: Rig, answer: Response) -> Session | None:
    """Who was let in."""
    cookies = [value.decode() for name, value in answer.raw_headers if name == b"set-cookie"]
    own = [one.partition("=")[2].partition(";")[0] for one in cookies if one.startswith(f"{COOKIE}=")]
    return rig.sessions.of(own[0]) if own else None


def test_somebody_is_sent_there_with_all_that_binds_the_answer(rig: Rig, provider: Provider) -> None:
    gone = Away(rig)
    assert f"{gone.at.scheme}://{gone.at.netloc}{gone.at.path}" == f"{provider.issuer}/authorize"
    assert gone.query["redirect_uri"] == f"{ISSUER}/login/outside/google/callback" and gone.query["scope"] == "openid profile"
    assert (gone.query["response_type"], gone.query["client_id"], gone.query["code_challenge_method"]) == ("code", "us", "S256")
    lower = gone.cookie.lower()
    assert gone.cookie.startswith(NAME) and all(one in lower for one in ("httponly", "secure", "path=/", "samesite=lax"))
    assert gone.query["state"] not in gone.cookie and Away(rig).query["state"] != gone.query["state"]


def test_who_comes_back_with_what_it_signed_is_let_in_as_nobody_here(rig: Rig, provider: Provider) -> None:
    gone = Away(rig)
    provider.token = signed(gone.claims(name="Gail", groups=["ops"], acr="phr", amr=["mfa"], preferred_username="ann"))
    found = session(rig, gone.comes_back())
    assert found is not None and (found.person.name, found.person.title, found.person.outside) == ("7@google", "Gail", "google")
    assert found.person.id.startswith("out_") and (found.person.groups, found.person.acr, found.person.amr) == ((), "", ())
    (path, form, authorization), secret = provider.asked[0], base64.b64encode(b"us:its secret").decode()
    assert (path, authorization, form["code"]) == ("/token", f"Basic {secret}", "c")
    assert create_s256_code_challenge(form["code_verifier"]) == gone.query["code_challenge"]


def test_what_it_is_trusted_with_counts(rig: Rig, provider: Provider) -> None:
    declare(rig, provider, groups="roles", trusted_groups=["sales"], factors="trust")
    gone = Away(rig)
    provider.token = signed(gone.claims(roles=["ops", "sales", "sales", 7, "No Name"], acr="phr", amr=["hwk"], auth_time=1000))
    found = session(rig, gone.comes_back())
    assert found is not None and (found.person.groups, found.person.acr, found.person.amr) == (("sales",), "phr", ("hwk",))
    assert found.person.at == 1000


WRONG: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://evil.example.com"},
    "no issuer": {"iss": None},
    "for somebody else": {"aud": "them"},
    "for nobody": {"aud": None},
    "meant for another": {"aud": ["us", "them"], "azp": "them"},
    "expired": {"exp": 1_000_000_000},
    "without an end": {"exp": None},
    "an end that is none": {"exp": "9000000000"},
    "of another login": {"nonce": "x"},
    "of no login": {"nonce": None},
    "a nonce that is none": {"nonce": 7},
    "of nobody": {"sub": None},
    "of an empty name": {"sub": ""},
    "of a number": {"sub": 7},
    "of a long name": {"sub": "x" * 256},
    "of a name with lines": {"sub": "a\nb"},
}


def refused(rig: Rig, gone: Away, answer: Response) -> None:
    assert answer.status_code == 403 and session(rig, answer) is None and rig.gateway.noted == []
    assert session(rig, gone.comes_back()) is None, "a state counts once"


@pytest.mark.parametrize("wrong", WRONG)
def test_an_id_token_that_doesnt_hold_lets_nobody_in(rig: Rig, provider: Provider, wrong: str) -> None:
    gone = Away(rig)
    provider.token = signed(gone.claims(**WRONG[wrong]))
    answer = gone.comes_back()
    assert b"Logging in with Google failed" in bytes(answer.body)
    provider.token = signed(gone.claims())
    refused(rig, gone, answer)


@pytest.mark.parametrize("how", ["none", "HS256", "another key", "no token", "garbage", "cut", "deep"])
def test_nor_does_one_that_it_didnt_sign(rig: Rig, provider: Provider, how: str) -> None:
    gone = Away(rig)
    claims, good = gone.claims(), signed(gone.claims())
    bare = [base64.urlsafe_b64encode(orjson.dumps(one)).rstrip(b"=").decode() for one in ({"alg": "none", "kid": "k1"}, claims)]
    provider.token = {
        "none": f"{bare[0]}.{bare[1]}.",
        "HS256": by_secret(claims),
        "another key": signed(claims, OTHER),
        "no token": "",
        "garbage": "a.b.c",
        "cut": good[:-4],
        "deep": serialize_compact({"alg": "ES256", "kid": "k1"}, b'{"a":' + b"[" * 5000, KEY, ["ES256"]),
    }[how]
    answer = gone.comes_back()
    provider.token = good
    refused(rig, gone, answer)


@pytest.mark.parametrize(
    ("query", "cookie", "name"),
    [
        ({"state": ""}, None, "google"),
        ({"state": "x"}, None, "google"),
        ({}, "", "google"),
        ({}, "x", "google"),
        ({}, "é", "google"),
        ({"state": "é"}, None, "google"),
        ({}, None, "other"),
    ],
)
def test_only_the_browser_that_went_there_comes_back(
    rig: Rig, provider: Provider, query: dict[str, str], cookie: str | None, name: str
) -> None:
    gone = Away(rig)
    provider.token = signed(gone.claims())
    answer = gone.comes_back(query, cookie, name)
    assert answer.status_code == 403 and session(rig, answer) is None and provider.asked == []
    assert session(rig, gone.comes_back()) is not None, "somebody else's try takes nothing away"


def test_with_the_answer_of_another_browser_nobody_is_let_in(rig: Rig, provider: Provider) -> None:
    mine, theirs = Away(rig), Away(rig)
    provider.token = signed(theirs.claims())
    assert session(rig, mine.comes_back({"state": theirs.query["state"]})) is None
    assert session(rig, mine.comes_back()) is None, "the nonce is of another login"


@pytest.mark.parametrize("query", [{"code": ""}, {"code": "", "error": "access_denied"}, {"iss": "https://evil.example.com"}])
def test_an_answer_that_is_none(rig: Rig, provider: Provider, query: dict[str, str]) -> None:
    gone = Away(rig)
    provider.token = signed(gone.claims())
    answer = gone.comes_back(query)
    assert provider.asked == []
    refused(rig, gone, answer)


def test_it_took_too_long(rig: Rig, provider: Provider) -> None:
    gone = Away(rig)
    provider.token = signed(gone.claims())
    rig.now += 900
    assert session(rig, gone.comes_back()) is None


@pytest.mark.parametrize(
    "metadata", [{"issuer": "https://evil.example.com"}, {"authorization_endpoint": None}, {"token_endpoint": "ftp://x"}]
)
def test_metadata_that_isnt_its_own_leads_nowhere(rig: Rig, provider: Provider, metadata: dict[str, Any]) -> None:
    provider.metadata = metadata
    with pytest.raises(AssertionError):
        Away(rig)


def test_one_that_isnt_declared_isnt_there(rig: Rig, provider: Provider) -> None:
    for do in (away, back):
        with pytest.raises(NotFound):
            do(rig.here, Asked("GET", "/", (), (), {}, {}, "192.0.2.1", {"name": "nobody"}))


def test_without_its_secret_nobody_is_let_in_and_the_page_doesnt_tell(
    rig: Rig, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    gone = Away(rig)
    provider.token = signed(gone.claims())
    del rig.gateway.secrets["GOOGLE"]
    answer = gone.comes_back()
    assert answer.status_code == 403 and b"GOOGLE" not in bytes(answer.body) and "GOOGLE" in caplog.text and provider.asked == []


OUTSIDE = Outside(issuer="https://idp.example.com", client_id="us", client_secret=SecretRef(env="X"))


def claims(**more: Any) -> dict[str, Any]:
    return {"iss": "https://idp.example.com", "aud": "us", "exp": time.time() + 60, "nonce": "n", "sub": "ines", **more}


@pytest.mark.parametrize("more", [{}, {"aud": ["us"]}, {"azp": "us"}, {"aud": ["us", "us"], "azp": "us"}])
def test_one_for_us_alone_counts(more: dict[str, Any]) -> None:
    assert _checked(claims(**more), OUTSIDE, "n")["sub"] == "ines"


@pytest.mark.parametrize(
    "more",
    [
        {"aud": ["us", "them"]},
        {"aud": ["us", "them"], "azp": "us"},
        {"aud": "them"},
        {"aud": []},
        {"aud": None},
        {"aud": {"us": 1}},
        {"azp": "them"},
        {"iss": "https://idp.example.com/"},
        {"iss": ["https://idp.example.com"]},
        {"nonce": "m"},
        {"nonce": None},
        {"exp": time.time() - 120},
        {"exp": True},
        {"exp": "9999999999"},
        {"sub": ""},
        {"sub": 7},
        {"sub": "local:root"},
        {"sub": "node:edge-1"},
        {"sub": "a\nb"},
        {"sub": "x" * 256},
    ],
)
def test_any_other_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        _checked(claims(**more), OUTSIDE, "n")
