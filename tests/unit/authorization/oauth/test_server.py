"""Authlib's server on our parts: what applications are answered when what they ask is wrong, and who answers."""

import pytest
from starlette.responses import Response

from bartizan.authorization.asking import Asked, OAuthRequest
from bartizan.authorization.oauth.server import origin_of
from tests.unit.authorization.oauth.test_grants import BASIC
from tests.unit.authorization.rig import ISSUER, Rig


def answered(rig: Rig, *form: tuple[str, str], query: tuple[tuple[str, str], ...] = (), endpoint: str = "") -> Response:
    return rig.here.server().answered(Asked("POST", "/token", query, form, {"authorization": BASIC}, {}, "192.0.2.1"), endpoint)


@pytest.mark.parametrize("endpoint", ["", "introspection", "revocation", "device_authorization"])
def test_what_is_said_twice_is_refused(rig: Rig, endpoint: str) -> None:
    for name in ("grant_type", "token", "scope", "client_id", "code", 'x"><script>'):
        answer = answered(rig, (name, "a"), (name, "b"), endpoint=endpoint)
        assert answer.status_code == 400 and b'"invalid_request"' in bytes(answer.body) and b"<" not in bytes(answer.body)
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", ["grant_type", "scope", "code", "refresh_token", "client_id", "redirect_uri"])
@pytest.mark.parametrize("value", ["", "\0", "\x7f", '"', "é", "\\", "\ud800", "x" * 10000, "a\r\nSet-Cookie: b=c", "<script>"])
def test_whatever_is_sent_is_answered(rig: Rig, name: str, value: str) -> None:
    for grant in ("authorization_code", "refresh_token", "client_credentials"):
        form = {"grant_type": grant, "code": "c", "refresh_token": "r", name: value}
        answer = answered(rig, *form.items())
        assert answer.status_code in (400, 401) and b"error" in bytes(answer.body)
        assert "set-cookie" not in answer.headers and b"<script>" not in bytes(answer.body)


def test_a_secret_in_the_url_counts_not(rig: Rig) -> None:
    asked = Asked("POST", "/token", (("client_id", "web"), ("client_secret", "s3cret")), (("grant_type", "refresh_token"),), {}, {}, "")
    answer = rig.here.server().answered(asked)
    assert answer.status_code in (400, 401) and b"invalid_client" in bytes(answer.body)


def test_what_is_known_of_one_request_is_known_of_no_other(rig: Rig) -> None:
    """An ID token is made by what its own request left behind, however many are answered at once."""
    server, form = rig.here.server(), (("grant_type", "authorization_code"),)
    grants = [server.get_token_grant(OAuthRequest(Asked("POST", "/token", (), form, {}, {}, ""), ISSUER)) for _ in range(2)]
    hooks = [{one.__self__ for one in grant._hooks["after_create_token_response"]} for grant in grants]
    assert hooks[0] and hooks[1] and not hooks[0] & hooks[1]


def test_who_answers_is_told_with_each_answer(rig: Rig) -> None:
    answer = rig.here.server().handle_response(302, "", [("Location", "https://app.example.com/callback?code=c&state=s")])
    assert answer.status_code == 303 and answer.headers["location"] == (
        f"https://app.example.com/callback?code=c&state=s&iss={ISSUER.replace(':', '%3A').replace('/', '%2F')}"
    )


def test_another_revision_is_another_server(rig: Rig) -> None:
    first = rig.here.server()
    assert rig.here.server() is first
    rig.declare(access_token="1m")
    assert rig.here.server() is not first and rig.here.server().declared is rig.declared


@pytest.mark.parametrize(
    ("uri", "origin"),
    [
        ("https://app.example.com:8443/callback?a=1", "https://app.example.com:8443"),
        ("http://127.0.0.1:7/back", "http://127.0.0.1:7"),
        ("http://[::1]:7/back", "http://[::1]:7"),
        ("com.example.app:/callback", "com.example.app:"),
    ],
)
def test_what_a_pages_policy_calls_the_place_after(uri: str, origin: str) -> None:
    assert origin_of(uri) == origin
