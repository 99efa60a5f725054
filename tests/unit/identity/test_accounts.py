"""People who log in: invited once, with a second factor whose codes count once, throttled, and the same after a restart."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from bartizan.errors import BartizanError, Conflict, Invalid, NotFound, TooMany, Unauthenticated
from bartizan.identity.accounts import FILE, Accounts, Place, Shown
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
    assert (told.name, told.role, told.team, told.enrolled) == ("ann", "editor", "orders", False)
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
