"""People who log in: invited once, with a second factor whose codes count once, throttled, and the same after a restart."""

import base64
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from bartizan.errors import BartizanError, Conflict, Invalid, NotFound, TooMany, Unauthenticated
from bartizan.identity import accounts
from bartizan.identity.accounts import FILE, MOST_GROUPS, MOST_PASSKEYS, Accounts, Kept, Place, Shown
from bartizan.identity.passkeys import Passkey
from bartizan.identity.passwords import hashed
from bartizan.secrets.envelope import Envelope

PASSWORD = "correct horse battery"


class Rig:
    """Accounts, and a clock that is set."""

    def __init__(self, folder: Path) -> None:
        self.now, self.path = 1_800_000_000.0, folder / FILE
        self.accounts = self.begun()
        self.secret = ""
        self.recovery: list[str] = []

    def begun(self) -> Accounts:
        return Accounts(self.path, Envelope(b"k" * 32), lambda: self.now)

    def code(self, steps: int = 0) -> str:
        return TOTP(base64.b32decode(self.secret), 6, SHA1(), 30).generate(int(self.now) + 30 * steps).decode()  # noqa: S303 - what apps can do

    def enrolled(self, name: str = "ann") -> None:
        _, invitation = self.accounts.invite(name, Place("admin"))
        self.secret = self.accounts.offer(name, invitation.reveal())
        self.recovery = self.accounts.enrol(Shown(name, PASSWORD, self.code()), invitation.reveal())
        self.now += 60

    def logs_in(self, code: str, password: str = PASSWORD, name: str = "ann") -> str:
        """`in`, or the code of what was wrong."""
        try:
            return "in" if self.accounts.login(Shown(name, password, code)) else ""
        except BartizanError as error:
            return error.code


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_an_invitation_counts_once_for_a_day_and_for_nobody_else(rig: Rig) -> None:
    told, invitation = rig.accounts.invite("ann", Place("editor", "orders"))
    assert (told.name, told.role, told.team, told.enrolled) == ("ann", "editor", "orders", None)
    for name, text in (("bob", invitation.reveal()), ("ann", "wrong"), ("ann", "")):
        with pytest.raises(Unauthenticated):
            rig.accounts.offer(name, text)
    with pytest.raises(Conflict):
        rig.accounts.enrol(Shown("ann", PASSWORD, "000000"), invitation.reveal())
    rig.secret = rig.accounts.offer("ann", invitation.reveal())
    assert rig.accounts.offer("ann", invitation.reveal()) == rig.secret
    with pytest.raises(Invalid):
        rig.accounts.enrol(Shown("ann", PASSWORD, rig.code(5)), invitation.reveal())
    assert len(set(rig.accounts.enrol(Shown("ann", PASSWORD, rig.code()), invitation.reveal()))) == 10
    with pytest.raises(Unauthenticated):
        rig.accounts.offer("ann", invitation.reveal())
    with pytest.raises(Unauthenticated):
        rig.accounts.enrol(Shown("ann", PASSWORD, rig.code()), invitation.reveal())
    _, late = rig.accounts.invite("bob", Place("viewer"))
    rig.now += 86401
    with pytest.raises(Unauthenticated):
        rig.accounts.offer("bob", late.reveal())


@pytest.mark.parametrize("password", ["short", "a" * 12, "abababababab", "xx ANN xx and more", "x" * 300])
def test_a_password_that_is_too_easy_is_told(rig: Rig, password: str) -> None:
    _, invitation = rig.accounts.invite("ann", Place("admin"))
    rig.secret = rig.accounts.offer("ann", invitation.reveal())
    with pytest.raises(Invalid):
        rig.accounts.enrol(Shown("ann", password, rig.code()), invitation.reveal())
    assert not rig.accounts.all()[0].enrolled


def test_what_is_wrong_isnt_told_apart(rig: Rig) -> None:
    rig.enrolled()
    assert rig.logs_in(rig.code(), "wrong horse battery") == "login-wrong"
    assert rig.logs_in("000000") == "login-wrong"
    assert rig.logs_in(rig.code(), name="nobody") == "login-wrong"
    assert rig.logs_in(rig.code(), "") == "login-wrong"
    rig.accounts.invite("new", Place("viewer"))
    assert rig.logs_in(rig.code(), "", name="new") == "login-wrong"
    assert rig.logs_in(rig.code()) == "in"


@pytest.mark.parametrize(("steps", "told"), [(-2, "login-wrong"), (-1, "in"), (0, "in"), (1, "in"), (2, "login-wrong")])
def test_a_clock_may_be_off_by_half_a_minute(rig: Rig, steps: int, told: str) -> None:
    rig.enrolled()
    rig.now += 300
    assert rig.logs_in(rig.code(steps)) == told


def test_a_code_counts_once_and_none_before_it_counts_after(rig: Rig) -> None:
    rig.enrolled()
    code, earlier = rig.code(), rig.code(-1)
    assert [rig.logs_in(code), rig.logs_in(code), rig.logs_in(earlier)] == ["in", "login-wrong", "login-wrong"]
    rig.accounts.close()
    rig.accounts = rig.begun()
    assert rig.logs_in(code) == "login-wrong", "nor after a restart"
    rig.now += 30
    assert rig.logs_in(rig.code()) == "in"


@pytest.mark.parametrize("code", ["", "12345", "1234567", "１２３４５６", "12 456", "-12345", "abcdef"])
def test_what_is_no_code(rig: Rig, code: str) -> None:
    rig.enrolled()
    assert rig.logs_in(code) == "login-wrong"


def test_a_recovery_code_counts_once_however_it_is_typed(rig: Rig) -> None:
    rig.enrolled()
    one, other = rig.recovery[:2]
    assert rig.logs_in(one) == "in" and rig.logs_in(one) == "login-wrong"
    assert rig.logs_in(other.upper().replace("-", " ")) == "in"
    assert rig.accounts.all()[0].recovery_codes == 8


def test_many_wrong_codes_lock_longer_each_time_but_no_wrong_passwords(rig: Rig) -> None:
    rig.enrolled()
    for _ in range(20):
        rig.logs_in("000000", "wrong horse battery")
    assert rig.accounts.all()[0].locked_until is None
    for seconds in (60, 120, 240):
        assert [rig.logs_in("000000") for _ in range(6)] == ["login-wrong"] * 5 + ["account-locked"]
        assert rig.logs_in(rig.code()) == "account-locked"
        assert rig.accounts.all()[0].locked_until == rig.now + seconds
        rig.now += seconds + 1
    assert rig.logs_in(rig.code()) == "in"
    with pytest.raises(TooMany):
        for _ in range(6):
            rig.logs_in("000000")
        rig.accounts.login(Shown("ann", PASSWORD, rig.code(1)))


def test_who_is_invited_anew_or_removed_doesnt_come_in_as_before(rig: Rig) -> None:
    rig.enrolled()
    rig.accounts.invite("ann", Place("viewer"))
    assert rig.logs_in(rig.code()) == "login-wrong" and rig.logs_in(rig.recovery[0]) == "login-wrong"
    rig.enrolled("bob")
    rig.accounts.remove("bob")
    assert rig.logs_in(rig.code(), name="bob") == "login-wrong"
    with pytest.raises(NotFound):
        rig.accounts.remove("bob")
    assert [one.name for one in rig.accounts.all()] == ["ann"]


def test_another_process_sees_it_and_the_disk_holds_no_secret(rig: Rig) -> None:
    rig.enrolled()
    other = rig.begun()
    assert other.login(Shown("ann", PASSWORD, rig.code())).name == "ann"
    with pytest.raises(Unauthenticated):
        rig.accounts.login(Shown("ann", PASSWORD, rig.code()))
    text = rig.path.read_bytes()
    for secret in (PASSWORD, rig.secret, *rig.recovery, "argon2"):
        assert secret.encode() not in text


@pytest.mark.parametrize("name", ["files", "first", "local:root", "node:a", "", "a\nb"])
def test_names_that_mean_something_else(rig: Rig, name: str) -> None:
    with pytest.raises(Invalid):
        rig.accounts.invite(name, Place("viewer"))


def passkey(ident: str, count: int = 0) -> Passkey:
    return Passkey(ident, "cHVibGlj", count, False, "aaguid")


def test_a_place_is_a_role_a_team_and_groups_and_outlasts_a_restart(rig: Rig) -> None:
    told, _ = rig.accounts.invite("ann", Place(None, None, ("sales", "eu-west")))
    assert (told.role, told.team, told.groups) == (None, None, ("sales", "eu-west"))
    rig.enrolled()
    before = rig.accounts.called("ann")
    assert (before.role, before.groups) == ("admin", ()) and before.id == told.id
    put = rig.accounts.put("ann", Place("editor", "orders", ("sales",)))
    assert put == replace(before, role="editor", team="orders", groups=("sales",)), "what they log in with stays"
    assert rig.logs_in(rig.code()) == "in"
    assert rig.begun().called("ann").groups == ("sales",)
    with pytest.raises(NotFound):
        rig.accounts.put("bob", Place("viewer"))


@pytest.mark.parametrize(
    "place",
    [
        Place(None, "orders"),
        Place("context"),
        Place("admin", "orders"),
        Place("nobody"),  # type: ignore[arg-type]
        Place("viewer", None, ("Sales",)),
        Place("viewer", None, ("",)),
        Place("viewer", None, ("a b",)),
        Place(None, None, ('a","b',)),
        Place(None, None, ("sales\n",)),
        Place(None, None, tuple(f"g{number}" for number in range(MOST_GROUPS + 1))),
    ],
)
def test_places_that_cant_be(rig: Rig, place: Place) -> None:
    with pytest.raises(Invalid):
        rig.accounts.invite("ann", place)
    assert rig.accounts.all() == ()
    rig.enrolled()
    before = rig.accounts.called("ann")
    with pytest.raises(Invalid):
        rig.accounts.put("ann", place)
    assert rig.accounts.called("ann") == before


def test_as_many_groups_as_there_may_be(rig: Rig) -> None:
    groups = tuple(f"g{number}" for number in range(MOST_GROUPS))
    assert rig.accounts.invite("ann", Place(None, None, groups))[0].groups == groups


def test_an_id_is_one_persons_as_long_as_they_are_here(rig: Rig) -> None:
    told, _ = rig.accounts.invite("ann", Place("viewer"))
    assert told.id.startswith("usr_") and rig.accounts.with_id(told.id) is None, "who hasn't enrolled has no account to log in to"
    rig.enrolled()
    found = rig.accounts.with_id(told.id)
    assert found is not None and found.name == "ann" and rig.begun().with_id(told.id) == found
    rig.accounts.invite("ann", Place("editor"))
    assert rig.accounts.called("ann").id == told.id and rig.accounts.with_id(told.id) is None
    rig.enrolled()
    assert rig.accounts.with_id(told.id) == rig.accounts.called("ann")
    rig.accounts.remove("ann")
    assert rig.accounts.with_id(told.id) is None
    rig.enrolled()
    assert rig.accounts.called("ann").id != told.id and rig.accounts.with_id(told.id) is None
    for ident in ("", "ann", "usr_"):
        assert rig.accounts.with_id(ident) is None


def test_a_passkey_comes_beside_a_password_and_is_one_persons(rig: Rig) -> None:
    rig.accounts.invite("bob", Place("viewer"))
    with pytest.raises(Conflict) as found:
        rig.accounts.add_passkey("bob", passkey("p1"), "key")
    assert found.value.code == "not-enrolled"
    rig.enrolled()
    rig.enrolled("bob")
    rig.accounts.add_passkey("ann", passkey("p1"), "phone")
    for name in ("ann", "bob"):
        with pytest.raises(Conflict) as found:
            rig.accounts.add_passkey(name, passkey("p1", 7), "another")
        assert found.value.code == "passkey-known"
    with pytest.raises(NotFound):
        rig.accounts.add_passkey("nobody", passkey("p2"), "key")
    assert rig.accounts.passkeys("ann") == (Kept(passkey("p1"), "phone", rig.now, None),)
    assert rig.accounts.passkeys("bob") == () and rig.accounts.called("ann").passkeys == 1
    assert rig.begun().passkeys("ann") == rig.accounts.passkeys("ann")


def test_there_are_only_so_many_passkeys(rig: Rig) -> None:
    rig.enrolled()
    for number in range(MOST_PASSKEYS):
        rig.accounts.add_passkey("ann", passkey(f"p{number}"), "key")
    with pytest.raises(TooMany):
        rig.accounts.add_passkey("ann", passkey("more"), "key")
    rig.accounts.remove_passkey("ann", "p3")
    rig.accounts.add_passkey("ann", passkey("more"), "key")
    assert [one.passkey.id for one in rig.accounts.passkeys("ann")][-1] == "more"


def test_by_a_passkey_its_owner_comes_in_and_its_use_is_kept(rig: Rig) -> None:
    rig.enrolled()
    rig.accounts.add_passkey("ann", passkey("p1", 3), "phone")
    ident, made = rig.accounts.called("ann").id, rig.now
    rig.now += 5
    shown: list[Passkey] = []

    def verify(kept: Passkey) -> Passkey:
        shown.append(kept)
        return replace(kept, count=kept.count + 1, backed_up=True)

    assert rig.accounts.login_with("p1", ident, verify).last == rig.now
    assert rig.begun().login_with("p1", ident, verify).id == ident
    assert shown == [passkey("p1", 3), replace(passkey("p1", 4), backed_up=True)]
    assert rig.accounts.passkeys("ann") == (Kept(replace(passkey("p1", 5), backed_up=True), "phone", made, rig.now),)


def test_a_passkey_names_nobody_else_and_nobody_without(rig: Rig) -> None:
    rig.enrolled()
    rig.enrolled("bob")
    rig.accounts.add_passkey("ann", passkey("p1"), "phone")
    rig.accounts.add_passkey("bob", passkey("p2"), "phone")
    ann, bob = rig.accounts.called("ann").id, rig.accounts.called("bob").id
    for ident, handle in (
        ("p1", bob),
        ("p2", ann),
        ("p1", ""),
        ("p1", "ann"),
        ("p1", ann + "\0"),
        ("p3", ann),
        ("", ann),
        ("p1", ann.upper()),
    ):
        with pytest.raises(Unauthenticated):
            rig.accounts.login_with(ident, handle, lambda _: pytest.fail("nothing is verified of somebody else's"))
    assert rig.accounts.called("ann").last is None


def test_what_doesnt_hold_leaves_no_trace(rig: Rig) -> None:
    rig.enrolled()
    rig.accounts.add_passkey("ann", passkey("p1", 3), "phone")

    def verify(_: Passkey) -> Passkey:
        raise Unauthenticated("no")

    with pytest.raises(Unauthenticated):
        rig.accounts.login_with("p1", rig.accounts.called("ann").id, verify)
    assert rig.accounts.passkeys("ann")[0].passkey.count == 3 and rig.accounts.passkeys("ann")[0].last is None
    assert rig.logs_in(rig.code()) == "in", "and holds nobody up"


def test_of_a_passkey_and_its_copy_used_at_once_one_counts(rig: Rig) -> None:
    """The counter is looked at and kept in one go, in all processes: each sees what the one before wrote."""
    rig.enrolled()
    rig.accounts.add_passkey("ann", passkey("p1"), "phone")
    ident, stores = rig.accounts.called("ann").id, [rig.begun() for _ in range(3)]
    came: list[str] = []
    start = threading.Barrier(9)

    def use(which: int) -> None:
        def verify(kept: Passkey) -> Passkey:
            time.sleep(0.005)
            if kept.count >= 1:
                raise Unauthenticated("a copy")
            return replace(kept, count=1)

        start.wait()
        try:
            came.append(stores[which % 3].login_with("p1", ident, verify).name)
        except Unauthenticated:
            came.append("")

    threads = [threading.Thread(target=use, args=(which,)) for which in range(9)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(came) == [""] * 8 + ["ann"]


def test_a_passkey_that_was_removed_lets_nobody_in(rig: Rig) -> None:
    rig.enrolled()
    rig.enrolled("bob")
    rig.accounts.add_passkey("ann", passkey("p1"), "phone")
    ident = rig.accounts.called("ann").id
    for name, key in (("ann", "p2"), ("bob", "p1"), ("nobody", "p1")):
        with pytest.raises(NotFound):
            rig.accounts.remove_passkey(name, key)
    rig.accounts.remove_passkey("ann", "p1")
    for known in (rig.accounts, rig.begun()):
        assert known.passkeys("ann") == ()
        with pytest.raises(Unauthenticated):
            known.login_with("p1", ident, lambda kept: kept)
    rig.accounts.add_passkey("bob", passkey("p1"), "phone")


@pytest.mark.parametrize("how", ["invite", "remove"])
def test_passkeys_go_with_the_account_and_with_an_invitation(rig: Rig, how: str) -> None:
    rig.enrolled()
    rig.accounts.add_passkey("ann", passkey("p1"), "phone")
    ident = rig.accounts.called("ann").id
    if how == "invite":
        rig.accounts.invite("ann", Place("admin"))
    else:
        rig.accounts.remove("ann")
    with pytest.raises(Unauthenticated):
        rig.accounts.login_with("p1", ident, lambda kept: kept)
    rig.enrolled()
    assert rig.accounts.passkeys("ann") == ()


OTHER = "another horse battery"


def test_a_password_is_changed_by_who_shows_what_they_log_in_with(rig: Rig) -> None:
    rig.enrolled()
    rig.accounts.add_passkey("ann", passkey("p1"), "phone")
    for shown in (Shown("ann", "wrong horse battery", rig.code()), Shown("ann", PASSWORD, "000000"), Shown("bob", PASSWORD, rig.code())):
        with pytest.raises(Unauthenticated):
            rig.accounts.change_password(shown, OTHER)
    with pytest.raises(Invalid):
        rig.accounts.change_password(Shown("ann", PASSWORD, rig.code()), "ann ann ann ann")
    code = rig.code()
    rig.accounts.change_password(Shown("ann", PASSWORD, code), OTHER)
    rig.now += 30
    assert rig.logs_in(rig.code()) == "login-wrong" and rig.logs_in(rig.code(), OTHER) == "in"
    rig.now += 30
    with pytest.raises(Unauthenticated):
        rig.accounts.change_password(Shown("ann", OTHER, code), PASSWORD)
    assert len(rig.accounts.passkeys("ann")) == 1
    rig.accounts.change_password(Shown("ann", OTHER, rig.recovery[0]), PASSWORD)
    rig.now += 30
    assert rig.begun().login(Shown("ann", PASSWORD, rig.code())).recovery_codes == 9


@pytest.mark.parametrize("how", ["invite", "remove and invite", "change"])
def test_a_password_isnt_changed_of_who_was_invited_anew_meanwhile(rig: Rig, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """While the new one is hashed, an admin takes back what they log in with: they would log in without a second factor."""
    rig.enrolled()
    code = rig.code()

    def slow(password: str) -> str:
        monkeypatch.undo()
        if "remove" in how:
            rig.accounts.remove("ann")
        if "invite" in how:
            rig.accounts.invite("ann", Place("viewer"))
        else:
            rig.accounts.change_password(Shown("ann", PASSWORD, rig.code(1)), "a third horse battery")
        return hashed(password)

    monkeypatch.setattr(accounts, "hashed", slow)
    with pytest.raises(Unauthenticated):
        rig.accounts.change_password(Shown("ann", PASSWORD, code), OTHER)
    told = rig.accounts.called("ann")
    assert (told.enrolled is not None) is (how == "change")
    rig.now += 60
    assert rig.logs_in(rig.code(), OTHER) == "login-wrong"
