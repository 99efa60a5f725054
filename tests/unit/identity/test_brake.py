"""Emergency brakes: they hold, end, wait for a second person, and outlast whoever set them."""

from pathlib import Path

import pytest

from bartizan.errors import Conflict, Forbidden, Invalid, NotFound
from bartizan.identity.brake import LONGEST_S, Brake, Brakes, What
from bartizan.secrets.envelope import Envelope

ENVELOPE = Envelope(b"k" * 32)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def brakes(tmp_path: Path, clock: Clock) -> Brakes:
    return Brakes(tmp_path / "brakes", ENVELOPE, clock)


def wanted(what: What = "consumer", value: str = "acme", *, until: float = 2000, reason: str = "stolen") -> Brake:
    return Brake("", what, value, reason, "ann", 0, until)


def test_a_brake_holds_until_its_end(brakes: Brakes, clock: Clock) -> None:
    made = brakes.brake(wanted())
    assert (made.since, made.by) == (1000, "ann")
    assert brakes.active(1999.9) == (made,)
    assert brakes.active(2000) == brakes.held(2000) == ()
    clock.now = 2000
    with pytest.raises(NotFound):
        brakes.lift(made.id, "bob")


def test_it_outlasts_a_restart_and_so_does_its_lifting(brakes: Brakes, tmp_path: Path, clock: Clock) -> None:
    first, second = brakes.brake(wanted()), brakes.brake(wanted(value="globex"))
    brakes.lift(first.id, "bob")
    again = Brakes(tmp_path / "brakes", ENVELOPE, clock)
    assert again.active(1500) == (second,)
    assert again.generation == brakes.generation == 3


def test_another_process_is_seen(brakes: Brakes, tmp_path: Path, clock: Clock) -> None:
    other = Brakes(tmp_path / "brakes", ENVELOPE, clock)
    assert not other.poll()
    made = brakes.brake(wanted())
    assert other.poll()
    assert other.active(1500) == (made,)


def test_a_waiting_one_holds_when_a_second_person_approves(brakes: Brakes) -> None:
    made = brakes.brake(wanted(), waits=True)
    assert brakes.active(1500) == ()
    assert brakes.held(1500) == (made,)
    with pytest.raises(Forbidden, match="a second person"):
        brakes.approve(made.id, "ann")
    assert brakes.active(1500) == ()
    approved = brakes.approve(made.id, "bob")
    assert brakes.active(1500) == (approved,)
    assert approved.approved_by == "bob"
    with pytest.raises(Conflict):
        brakes.approve(made.id, "eve")


@pytest.mark.parametrize(
    ("what", "value", "kept"),
    [
        ("ip", "192.0.2.7", "192.0.2.7/32"),
        ("ip", "::ffff:192.0.2.7", "192.0.2.7/32"),
        ("ip", "2001:db8::/32", "2001:db8::/32"),
        ("path", "/orders/", "/orders"),
        ("path", "/", "/"),
        ("consumer", "https://idp.example|alice", "https://idp.example|alice"),
        ("key", "key_abc", "key_abc"),
    ],
)
def test_what_is_refused_has_one_form(brakes: Brakes, what: What, value: str, kept: str) -> None:
    assert brakes.brake(wanted(what, value)).value == kept


@pytest.mark.parametrize(
    "wrong",
    [
        wanted("ip", "192.0.2.7/24"),
        wanted("ip", "everyone"),
        wanted("path", "orders"),
        wanted("path", "/a b"),
        wanted("path", "/a?b=1"),
        wanted("consumer", ""),
        wanted("consumer", "a;b"),
        wanted(reason=" "),
        wanted(reason="a\nb"),
        wanted(until=1000),
        wanted(until=1000 + LONGEST_S + 1),
    ],
)
def test_what_cant_be_a_brake_changes_nothing(brakes: Brakes, wrong: Brake) -> None:
    with pytest.raises(Invalid):
        brakes.brake(wrong)
    assert brakes.generation == 0


def test_what_others_know_never_takes_anything_back(brakes: Brakes, clock: Clock) -> None:
    made, waits = brakes.brake(wanted()), brakes.brake(wanted(value="globex"), waits=True)
    before = brakes.told(1000)
    brakes.lift(made.id, "bob")
    approved = brakes.approve(waits.id, "bob")
    assert brakes.take(before) == 0
    assert brakes.active(1000) == (approved,)
    clock.now = 2000
    assert brakes.told(2000) == ()
    assert brakes.take(before) == 0
