"""Who logs in to the admin API by a token of the authorization server, and as what."""

import asyncio
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from bartizan.authorization.clients import ADMIN_API, client
from bartizan.authorization.here import Here
from bartizan.authorization.person import PHISHING_RESISTANT, Person
from bartizan.authorization.tokens import Wanted
from bartizan.compile.read import assemble, read
from bartizan.errors import Forbidden, NotFound, Unauthenticated
from bartizan.identity.accounts import FILE as PEOPLE
from bartizan.identity.accounts import Accounts, Place
from bartizan.identity.token_keys import FILE, SigningKeys
from bartizan.identity.unnoted import Unnoted
from bartizan.model.authorization import COMMAND_LINE, AuthorizationServer
from bartizan.model.snapshot import Snapshot
from bartizan.plane.authorization import BY, Authorization
from bartizan.plane.living import Living
from bartizan.plane.noting import Noting
from bartizan.secrets.keyring import load_or_create
from bartizan.secrets.seal import Signatures
from bartizan.secrets.signing import SigningKey
from bartizan.store import embedded, open_store
from tests.unit.authorization.rig import enrolled
from tests.unit.plane.test_desk import CALLERS, compiled
from tests.unit.plane.test_desk import FILES as OTHERS

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
authorization_server:
  issuer: https://login.example.com
  listen: 127.0.0.1:18090
  clients: {app: {redirect_uris: [https://app.example.com/callback], scopes: [openid, offline_access]}}
  operators:
    groups: {sales: {role: editor, team: orders}, ops: {role: admin}}
    phishing_resistant: [admin]
"""


class Rig:
    """An authorization server within a control plane, and its people."""

    def __init__(self, state: Path) -> None:
        envelope = load_or_create(state / "control.key")
        self.store = open_store(embedded(state), Signatures(SigningKey(state / "signing.key", envelope)))
        self.accounts = Accounts(state / PEOPLE, envelope)
        self.keys = SigningKeys(state / FILE, envelope)
        self.living = Living(state, state, lambda: None)
        self.active: Snapshot | None = None
        self.declare(FILES)
        around = (self.living, Noting(self.store.audit, Unnoted(state, envelope)), state)
        self.plane = Authorization(self.store, self.accounts, self.keys, around, lambda: self.active)
        self.here = Here(self.store.authorizations, self.accounts, self.keys, self.plane)

    def declare(self, text: str) -> None:
        found = assemble([read(text, "edge.yaml")], {})
        assert isinstance(found, Snapshot), found
        self.active = found

    def person(self, place: Place, **more: Any) -> Person:
        """Somebody who has just logged in."""
        account = enrolled(self.accounts, "ann", place, time.time())
        who = Person(account.id, "ann", "ann", account.groups, "mfa", ("pwd",), time.time(), "", 0.0)
        return self.here.logged_in(replace(who, **more), "browser", "")[1]

    def token(self, who: Person | None, name: str = COMMAND_LINE, **more: Any) -> str:
        found = client(self.here.declared(), name, self.plane)
        assert found is not None
        return str(self.here.tokens.issue(self.here.declared(), Wanted(found, who, "openid", **more)).answer["access_token"])


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.store.close()


def refused(rig: Rig, token: str) -> None:
    with pytest.raises(Unauthenticated) as found:
        rig.plane.operator(token)
    assert found.value.code == "token-unknown"


def test_who_has_a_role_has_that_once_for_each_token(rig: Rig) -> None:
    who = rig.person(Place("editor", "orders", ("ops",)))
    token = rig.token(who)
    found = rig.plane.operator(token)
    assert (found.name, found.role, found.team) == ("ann", "editor", "orders"), "and not that of their groups"
    refused(rig, token)
    assert rig.plane.operator(rig.token(who)).role == "editor"


def test_who_has_none_has_that_of_the_first_group_that_fits(rig: Rig) -> None:
    found = rig.plane.operator(rig.token(rig.person(Place(None, None, ("other", "ops", "sales")))))
    assert (found.role, found.team) == ("editor", "orders")


def test_a_role_is_what_it_is_now_and_not_when_the_token_was_made(rig: Rig) -> None:
    token = rig.token(rig.person(Place(None, None, ("sales",))))
    rig.accounts.put("ann", Place(None, None, ()))
    with pytest.raises(Forbidden) as found:
        rig.plane.operator(token)
    assert found.value.code == "role-none"


@pytest.mark.parametrize("place", [Place("admin"), Place(None, None, ("ops",))])
def test_some_roles_want_a_passkey(rig: Rig, place: Place) -> None:
    who = rig.person(place)
    for acr in ("mfa", "", "phrh", "PHR"):
        with pytest.raises(Forbidden) as found:
            rig.plane.operator(rig.token(replace(who, acr=acr)))
        assert found.value.code == "passkey-needed"
    assert rig.plane.operator(rig.token(replace(who, acr="phr"))).role == "admin"
    rig.declare(FILES.replace("[admin]", "[]"))
    assert rig.plane.operator(rig.token(who)).role == "admin"


def test_a_token_for_something_else_logs_nobody_in(rig: Rig) -> None:
    who = rig.person(Place("editor"))
    for token in (
        rig.token(who, "app"),
        rig.token(who, audiences=("https://login.example.com",)),
        rig.token(None),
        rig.token(None, actor={"sub": "app"}, audiences=(ADMIN_API,), subject={"sub": who.id, "sid": who.sid, "preferred_username": "ann"}),
        rig.keys.signed({"iss": "https://login.example.com", "exp": 9_000_000_000, "aud": ADMIN_API, "sub": who.id, "sid": "s"}, "JWT"),
        rig.keys.signed({"iss": "https://evil.example.com", "exp": 9_000_000_000, "aud": ADMIN_API, "sub": who.id, "sid": "s"}, "at+jwt"),
        "",
        "a.b.c",
    ):
        refused(rig, token)


@pytest.mark.parametrize("how", ["logged out", "removed", "invited anew"])
def test_who_left_logs_in_no_more_by_what_they_have(rig: Rig, how: str) -> None:
    who = rig.person(Place(None, None, ("sales",)))
    token = rig.token(who)
    if how == "logged out":
        assert rig.plane.end_logins(who.id, "by an admin") == 1
    elif how == "removed":
        rig.accounts.remove("ann")
    else:
        rig.accounts.invite("ann", Place(None, None, ("sales",)))
    refused(rig, token)


def test_who_is_known_elsewhere_has_what_their_groups_are(rig: Rig) -> None:
    gail = Person("out_1", "7@google", "Gail", ("sales",), "", (), time.time(), "", 0.0, outside="google")
    who = rig.here.logged_in(gail, "browser", "")[1]
    found = rig.plane.operator(rig.token(who))
    assert (found.name, found.role, found.team) == ("7@google", "editor", "orders")


def test_with_all_logins_go_all_refresh_tokens(rig: Rig) -> None:
    who = rig.person(Place())
    app = client(rig.here.declared(), "app", rig.plane)
    assert app is not None
    rig.here.tokens.issue(rig.here.declared(), Wanted(app, who, "openid offline_access"), refresh=True)
    assert rig.plane.end_logins(who.id, "by an admin") == 1 and rig.here.tokens.families(who.id) == ()
    held = rig.living.brakes.held(time.time())
    assert {one.what for one in held} == {"session", "token"} and {one.by for one in held} == {BY}


def test_without_a_declaration_nobody_logs_in(rig: Rig) -> None:
    token = rig.token(rig.person(Place("editor")))
    rig.active = None
    assert rig.plane.issuer() is None and rig.plane.gateway_name() == ""
    with pytest.raises(NotFound):
        rig.plane.operator(token)


def test_a_rotation_makes_a_key_that_is_published(rig: Rig) -> None:
    rig.token(None)
    made = rig.plane.rotate(lost=True)
    assert [one["kid"] for one in rig.keys.published()["keys"]] == [made]


def test_an_address_that_is_in_use_is_told(rig: Rig) -> None:
    async def run(taken: socket.socket) -> None:
        rig.declare(FILES.replace("18090", str(taken.getsockname()[1])))
        task = asyncio.create_task(rig.plane.run())
        while not rig.plane.warnings():
            await asyncio.sleep(0.01)
        task.cancel()

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        asyncio.run(asyncio.wait_for(run(taken), 5))
    assert "for the authorization server can't be used" in rig.plane.warnings()[0]


def told(active: Snapshot | None) -> Authorization:
    nothing = cast("Any", None)
    return Authorization(cast("Any", _Store()), nothing, nothing, (nothing, nothing, nothing), lambda: active)


class _Clock:
    clock = time.time


class _Store:
    authorizations = _Clock()


def test_a_role_for_passkeys_alone_is_for_passkeys_alone() -> None:
    active = compiled(OTHERS, CALLERS % "").snapshot
    server = AuthorizationServer.model_validate({"issuer": "https://login.example.com", "operators": {"phishing_resistant": ["admin"]}})
    with_server = active.gateway.model_copy(update={"authorization_server": server})
    some = told(replace(active, gateway=with_server))
    for acr in ("", "mfa", "phrh", "PHR"):
        with pytest.raises(Forbidden, match="passkey"):
            some.check_factor("admin", acr)
    some.check_factor("admin", PHISHING_RESISTANT)
    some.check_factor("editor", "mfa")


def test_while_nothing_is_active_nobody_logs_in_without_a_passkey() -> None:
    with pytest.raises(Forbidden, match="No revision is active"):
        told(None).check_factor("viewer", "mfa")
    told(None).check_factor("admin", PHISHING_RESISTANT)
