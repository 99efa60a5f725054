"""Named secrets: kept sealed, followed across processes, never shown, and found by those alone whom they are for."""

from pathlib import Path

import pytest

from bartizan.errors import Invalid, NotFound, Unavailable
from bartizan.identity.named import LONGEST, NamedSecrets, Wanted
from bartizan.model.named import OWN, Destination, Use
from bartizan.secrets.envelope import Envelope, WrongKey
from bartizan.secrets.sealed import Secret

ENVELOPE = Envelope(b"k" * 32)
VALUE = "what nobody is to see"
THERE = Use("orders", (Destination("partner.example.com", 443),))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def named(tmp_path: Path, clock: Clock) -> NamedSecrets:
    return NamedSecrets(tmp_path / "secrets", ENVELOPE, clock)


def wanted(
    name: str = "partner", value: str = VALUE, team: str | None = "orders", to: tuple[str, ...] = ("Partner.example.com",)
) -> Wanted:
    return Wanted(name, Secret(value), "ann", team, to)


def test_a_secret_is_found_by_its_use_and_tells_all_but_its_value(named: NamedSecrets, clock: Clock) -> None:
    named.set(wanted())
    clock.now = 1100.0
    made = named.set(wanted(value="another"))
    assert named.used("partner", THERE) == made
    assert made.value.reveal() == "another"
    assert made.told() == {
        "name": "partner",
        "team": "orders",
        "to": ["partner.example.com"],
        "created": 1000.0,
        "changed": 1100.0,
        "by": "ann",
        "version": 2,
    }
    assert "another" not in repr(made) + str(made.told())


def test_one_that_isnt_there_and_one_that_is_anothers_look_alike(named: NamedSecrets) -> None:
    named.set(wanted())
    named.set(wanted(team="billing", to=("other.example.com",)))
    for name, use in (
        ("partner", OWN),
        ("partner", Use("nobody", THERE.to)),
        ("partner", Use("billing", THERE.to)),
        ("partner", Use("orders", (*THERE.to, Destination("evil.example.com", 443)))),
        ("nothing", THERE),
    ):
        with pytest.raises(KeyError) as told:
            named.used(name, use)
        assert told.value.args == (name,)


def test_teams_have_names_of_their_own(named: NamedSecrets) -> None:
    for team in ("orders", "billing", None):
        named.set(wanted(team=team, value=f"of {team}"))
    assert [(one.team, one.value.reveal()) for one in named.all()] == [
        (None, "of None"),
        ("billing", "of billing"),
        ("orders", "of orders"),
    ]
    assert [one.target for one in named.all()] == ["secret/partner", "secret/billing/partner", "secret/orders/partner"]
    named.delete("orders", "partner", "ann")
    assert {team for team, _ in named.grants()} == {None, "billing"}
    with pytest.raises(NotFound):
        named.delete("orders", "partner", "ann")


def test_another_process_and_a_restart_see_it_and_a_deletion_is_for_good(named: NamedSecrets, tmp_path: Path) -> None:
    other = NamedSecrets(tmp_path / "secrets", ENVELOPE)
    assert not other.poll()
    named.set(wanted())
    assert other.poll() and not other.poll()
    assert other.used("partner", THERE).value.reveal() == VALUE
    other.delete("orders", "partner", "bob")
    assert other.poll() and named.poll()
    for one in (named, other, NamedSecrets(tmp_path / "secrets", ENVELOPE)):
        with pytest.raises(KeyError):
            one.used("partner", THERE)


def test_nothing_of_it_is_on_the_disk_in_the_open(named: NamedSecrets, tmp_path: Path) -> None:
    named.set(wanted())
    held = (tmp_path / "secrets").read_bytes()
    assert VALUE.encode() not in held and b"partner" not in held
    with pytest.raises(WrongKey):
        NamedSecrets(tmp_path / "secrets", Envelope(b"x" * 32))


@pytest.mark.parametrize(
    "wrong",
    [
        wanted(name="Partner"),
        wanted(name=""),
        wanted(name="a/b"),
        wanted(team="A"),
        wanted(value=""),
        wanted(value=VALUE * LONGEST),
        wanted(to=("*",)),
        wanted(to=tuple(f"{at}.example.com" for at in range(101))),
        wanted(to=("a" * 301,)),
        wanted(to=("https://partner.example.com",)),
        Wanted("partner", Secret(VALUE), ""),
    ],
)
def test_what_can_be_none_is_refused_without_its_value(named: NamedSecrets, wrong: Wanted) -> None:
    with pytest.raises(Invalid) as told:
        named.set(wrong)
    assert VALUE not in told.value.message
    assert named.all() == ()


def test_the_longest_values_are_read_again(named: NamedSecrets, tmp_path: Path) -> None:
    values = ["\x01" * LONGEST, "\U0001f512" * LONGEST, "\n" * LONGEST]
    for at, value in enumerate(values):
        named.set(wanted(f"s{at}", value))
    again = NamedSecrets(tmp_path / "secrets", ENVELOPE)
    assert [one.value.reveal() for one in again.all()] == values


def test_one_team_doesnt_fill_up_what_others_need(named: NamedSecrets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bartizan.identity.named._MOST", 2)
    for name in ("a", "b"):
        named.set(wanted(name))
    with pytest.raises(Invalid):
        named.set(wanted("c"))
    named.set(wanted("a", "another"))
    named.set(wanted("c", team="billing"))


def test_a_record_of_a_newer_version_isnt_passed_over(named: NamedSecrets, tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        named._ledger.append("grant", "orders", "partner")
    with pytest.raises(Unavailable):
        NamedSecrets(tmp_path / "secrets", ENVELOPE)
