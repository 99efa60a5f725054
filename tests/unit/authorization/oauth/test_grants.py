"""Grants: who got a code and then logged out, or is here no more, gets nothing for it."""

import base64
from typing import Any

import orjson
import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from bartizan.authorization.asking import Asked
from bartizan.authorization.oauth.grants import told_of
from bartizan.authorization.person import Person
from bartizan.identity.accounts import Place
from tests.unit.authorization.rig import Rig

CALLBACK = "https://app.example.com/callback"
VERIFIER = "verifier-" * 6
BASIC = "Basic " + base64.b64encode(b"web:s3cret").decode()
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
SCOPE = "openid offline_access"


def asks(rig: Rig, authorization: str = BASIC, path: str = "/token", endpoint: str = "", **form: str) -> tuple[int, dict[str, Any]]:
    """What an application is answered."""
    headers = {"authorization": authorization} if authorization else {}
    answer = rig.here.server().answered(Asked("POST", path, (), tuple(form.items()), headers, {}, "192.0.2.1"), endpoint)
    return answer.status_code, orjson.loads(answer.body)


def allowed(rig: Rig, who: Person, code: str = "code", **more: str) -> dict[str, str]:
    """What the application shows that somebody allowed something."""
    kept = {"client": "web", "redirect_uri": CALLBACK, "scope": SCOPE, "nonce": "", "code_challenge": create_s256_code_challenge(VERIFIER)}
    rig.here.server().codes.keep(code, {**kept, **more}, who)
    return {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}


def test_a_code_becomes_tokens_once_and_again_takes_them_back(rig: Rig) -> None:
    form = allowed(rig, rig.logged_in()[1])
    status, told = asks(rig, **form)
    assert status == 200 and {"access_token", "refresh_token", "id_token"} <= set(told)
    assert asks(rig, **form)[1]["error"] == "invalid_grant"
    status, again = asks(rig, grant_type="refresh_token", refresh_token=told["refresh_token"])
    assert (status, again["error"]) == (400, "invalid_grant") and [claim for claim, *_ in rig.gateway.blocked] == ["token"]


@pytest.mark.parametrize(
    ("wrong", "authorization"),
    [
        ({"code": "other"}, BASIC),
        ({"code": ""}, BASIC),
        ({"code": "code\0"}, BASIC),
        ({"redirect_uri": CALLBACK + "/"}, BASIC),
        ({"redirect_uri": ""}, BASIC),
        ({"code_verifier": "x" * 54}, BASIC),
        ({"code_verifier": ""}, BASIC),
        ({"code_verifier": create_s256_code_challenge(VERIFIER)}, BASIC),
        ({}, ""),
        ({}, "Basic " + base64.b64encode(b"web:wrong").decode()),
        ({}, "Basic " + base64.b64encode(b"nobody:s3cret").decode()),
        ({"client_id": "web"}, ""),
        ({"client_id": "phone"}, ""),
        ({"client_id": "web", "client_secret": "wrong"}, ""),
    ],
)
def test_a_code_is_for_who_asked_as_they_asked(rig: Rig, wrong: dict[str, str], authorization: str) -> None:
    status, told = asks(rig, authorization, **{**allowed(rig, rig.logged_in()[1]), **wrong})
    assert status in (400, 401) and set(told) <= {"error", "error_description", "error_uri"}
    assert rig.tokens.families(rig.person().id) == ()


LEAVING = ["logged out", "logged out everywhere", "removed", "invited anew"]


def leaves(rig: Rig, cookie: str, how: str) -> None:
    session = rig.sessions.of(cookie)
    assert session is not None
    if how == "logged out":
        rig.sessions.end(session)
    elif how == "logged out everywhere":
        rig.sessions.end_all(session.person.id, "by an admin")
    elif how == "removed":
        rig.accounts.remove("ann")
    else:
        rig.accounts.invite("ann", Place())


@pytest.mark.parametrize("how", LEAVING)
def test_what_somebody_allowed_who_left_meanwhile_becomes_no_tokens(rig: Rig, how: str) -> None:
    cookie, who = rig.logged_in()
    form = allowed(rig, who)
    leaves(rig, cookie, how)
    status, told = asks(rig, **form)
    assert (status, told["error"]) == (400, "invalid_grant") and rig.tokens.families(who.id) == ()


@pytest.mark.parametrize("how", [*LEAVING, "stays"])
def test_nor_does_a_device_that_they_allowed_it(rig: Rig, how: str) -> None:
    rig.declare(clients={"tv": {"grants": ["device_code", "refresh_token"], "scopes": ["openid", "offline_access"]}})
    cookie, who = rig.logged_in()
    devices = rig.here.server().devices
    secret, typed = devices.begin("tv", SCOPE)
    devices.decide(typed, who)
    if how != "stays":
        leaves(rig, cookie, how)
    status, told = asks(rig, "", grant_type=DEVICE, device_code=secret, client_id="tv")
    assert (status == 200) is (how == "stays") and (told.get("error") == "invalid_grant") is (how != "stays")
    assert len(rig.tokens.families(who.id)) == (how == "stays")
    assert asks(rig, "", grant_type=DEVICE, device_code=secret, client_id="tv")[0] == 400


def test_the_newest_groups_are_told(rig: Rig) -> None:
    form = allowed(rig, rig.logged_in()[1])
    rig.accounts.put("ann", Place(None, None, ("sales",)))
    claims = rig.tokens.read(rig.declared, asks(rig, **form)[1]["access_token"])
    assert claims["groups"] == ["sales"]


def test_an_application_is_told_of_somebody_what_its_scopes_allow(rig: Rig) -> None:
    who = rig.person()
    assert told_of(who, "openid") == {"sub": who.id}
    assert told_of(who, "openid profile groups") == {"sub": who.id, "preferred_username": "ann", "name": "ann", "groups": []}
    assert told_of(who, "openid profiles") == {"sub": who.id}
