"""What applications ask about tokens: only what would still be taken counts."""

import base64
from typing import Any

import pytest

from bartizan.authorization.tokens import Issued, Wanted
from tests.unit.authorization.oauth.test_grants import BASIC, asks
from tests.unit.authorization.rig import DECLARED, Rig

OTHER = "Basic " + base64.b64encode(b"other:s3cret").decode()


def began(rig: Rig, scope: str = "openid") -> tuple[str, str, Issued]:
    """Somebody's cookie, and the tokens of an application of theirs."""
    clients = {**DECLARED["clients"], "other": {"redirect_uris": ["https://b.example.com"], "secret": {"env": "WEB"}}}
    rig.declare(clients=clients)
    cookie, who = rig.logged_in()
    made = rig.tokens.issue(rig.declared, Wanted(rig.client(), who, scope), refresh=True)
    return cookie, str(made.answer["refresh_token"]), made


def introspected(rig: Rig, token: str, authorization: str = BASIC) -> dict[str, Any]:
    status, told = asks(rig, authorization, "/introspect", "introspection", token=token)
    assert status == 200, told
    return told


def refreshed(rig: Rig, text: str) -> str:
    return str(asks(rig, grant_type="refresh_token", refresh_token=text)[1]["refresh_token"])


def test_a_token_of_ones_own_is_told(rig: Rig) -> None:
    _, text, made = began(rig)
    told = introspected(rig, str(made.answer["access_token"]))
    assert told["active"] and (told["username"], told["client_id"], told["jti"]) == ("ann", "web", made.jti)
    told = introspected(rig, text)
    assert told == {"active": True, "client_id": "web", "scope": "openid", "sub": rig.person().id, "exp": int(rig.now) + 3600}


def test_one_of_another_isnt(rig: Rig) -> None:
    _, text, made = began(rig)
    for token in (text, str(made.answer["access_token"]), "x", "bzr_fam_\0.x"):
        assert introspected(rig, token, OTHER) == {"active": False}


def test_who_has_no_secret_asks_nothing(rig: Rig) -> None:
    _, text, _ = began(rig)
    for authorization in ("", BASIC[:-4], "Bearer x"):
        assert asks(rig, authorization, "/introspect", "introspection", token=text)[0] in (400, 401)
    assert asks(rig, "", "/introspect", "introspection", token=text, client_id="phone")[0] in (400, 401)


def test_a_refresh_token_that_was_used_counts_as_long_as_it_would_be_taken(rig: Rig) -> None:
    _, text, _ = began(rig)
    after = refreshed(rig, text)
    rig.now += 10
    assert introspected(rig, text)["active"] and introspected(rig, after)["active"]
    rig.now += 0.1
    assert introspected(rig, text) == {"active": False} and introspected(rig, after)["active"]


@pytest.mark.parametrize("scope", ["openid", "openid offline_access"])
def test_who_left_has_no_refresh_token_that_counts(rig: Rig, scope: str) -> None:
    cookie, text, _ = began(rig, scope)
    session = rig.sessions.of(cookie)
    assert session is not None
    rig.sessions.end(session)
    assert introspected(rig, text)["active"] is ("offline_access" in scope)
    rig.accounts.remove("ann")
    assert introspected(rig, text) == {"active": False}


def test_what_is_given_back_counts_no_more(rig: Rig) -> None:
    _, text, made = began(rig)
    access = str(made.answer["access_token"])
    assert asks(rig, BASIC, "/revoke", "revocation", token=access) == (200, {})
    assert introspected(rig, access) == {"active": False} and introspected(rig, text)["active"]
    assert asks(rig, OTHER, "/revoke", "revocation", token=text)[0] == 400 and introspected(rig, text)["active"]
    assert asks(rig, "", "/revoke", "revocation", token=text, client_id="web")[0] in (400, 401) and introspected(rig, text)["active"]
    assert asks(rig, BASIC, "/revoke", "revocation", token=text) == (200, {})
    assert introspected(rig, text) == {"active": False}
    assert asks(rig, BASIC, "/revoke", "revocation", token="nothing of ours") == (200, {})


def test_with_a_refresh_token_that_was_used_its_family_is_given_back(rig: Rig) -> None:
    _, text, _ = began(rig)
    after = refreshed(rig, text)
    rig.now += 100
    assert asks(rig, BASIC, "/revoke", "revocation", token=text) == (200, {}) and introspected(rig, after) == {"active": False}
