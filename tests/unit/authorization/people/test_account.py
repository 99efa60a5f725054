"""Who may change their passkeys: a password and a code, which a false page can have, are enough for the first one at most."""

from dataclasses import replace

import pytest

from bartizan.authorization.asking import Asked
from bartizan.authorization.people.account import account, account_page
from bartizan.authorization.person import PHISHING_RESISTANT
from bartizan.identity.accounts import Place
from bartizan.identity.passkeys import Passkey
from tests.unit.authorization.rig import ISSUER, Rig

ONE = Passkey("AAAA", "key", 0, False, "")
OPERATORS = {"groups": {"sre": {"role": "editor"}}, "phishing_resistant": ["admin", "editor"]}


def asked(rig: Rig, *, acr: str = "mfa", method: str = "GET") -> Asked:
    """Of Ann, who has just logged in."""
    cookie, _ = rig.logged_in("ann", acr=acr)
    deed = {"deed": "passkey-add"} if method == "POST" else {}
    return Asked(method, "/account", (), (), {"origin": ISSUER}, {"__Host-bartizan": cookie}, "192.0.2.1", deed)


def may_add(rig: Rig, acr: str = "mfa") -> bool:
    """Whether the page offers it, and the server looks at what comes."""
    page = bytes(account_page(rig.here, asked(rig, acr=acr)).body).decode()
    sent = bytes(account(rig.here, asked(rig, acr=acr, method="POST")).body).decode()
    offered, refused = "Add a passkey" in page, "Log in with a passkey of yours first" in sent
    assert offered is not refused
    return offered


@pytest.mark.parametrize(
    ("place", "late"),
    [
        (Place(), True),
        (Place("viewer"), True),
        (Place("admin"), False),
        (Place(None, None, ("sre",)), False),
        (Place(None, None, ("x",)), True),
    ],
    ids=["nobody", "viewer", "admin", "by-group", "other-group"],
)
def test_the_first_one_is_added_right_after_enrolling_by_whom_the_policy_asks_for_one(rig: Rig, place: Place, late: bool) -> None:
    rig.declare(operators=OPERATORS)
    rig.account("ann")
    rig.accounts.put("ann", place)
    rig.now += 3599
    assert may_add(rig)
    rig.now += 1
    assert may_add(rig) is late


def test_others_are_added_with_a_passkey_alone(rig: Rig) -> None:
    rig.account("ann")
    rig.accounts.add_passkey("ann", ONE, "mine")
    assert not may_add(rig) and may_add(rig, PHISHING_RESISTANT)


def test_who_is_invited_anew_has_no_passkey_and_may_add_one(rig: Rig) -> None:
    rig.declare(operators=OPERATORS)
    rig.account("ann")
    rig.accounts.put("ann", Place("admin"))
    rig.accounts.add_passkey("ann", replace(ONE, id="BBBB"), "mine")
    rig.now += 7200
    rig.account("ann")
    rig.accounts.put("ann", Place("admin"))
    assert may_add(rig)
