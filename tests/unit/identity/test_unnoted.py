"""Deeds that couldn't be noted at once are kept until they are."""

from pathlib import Path

import pytest

from bartizan.errors import Unavailable
from bartizan.identity.unnoted import FILE, Unnoted
from bartizan.secrets.keyring import load_or_create
from bartizan.store import Event


def event(target: str) -> Event:
    return Event("local:ann", "key.revoke", target, "local", "done", {"consumer": "acme"})


@pytest.fixture
def unnoted(tmp_path: Path) -> Unnoted:
    return Unnoted(tmp_path, load_or_create(tmp_path / "control.key"), clock=lambda: 1_800_000_000.0)


def test_they_are_noted_once_in_their_order_with_their_time(unnoted: Unnoted, tmp_path: Path) -> None:
    assert not unnoted.waits() and unnoted.note(lambda one: None) == 0
    for name in ("key/a", "key/b"):
        unnoted.keep(event(name))
    assert unnoted.waits()
    assert b"revoke" not in (tmp_path / FILE).read_bytes()  # it is sealed
    found: list[Event] = []
    assert unnoted.note(found.append) == 2
    assert [(one.actor, one.target, one.details["at"], one.details["consumer"]) for one in found] == [
        ("local:ann", name, 1_800_000_000.0, "acme") for name in ("key/a", "key/b")
    ]
    assert not unnoted.waits() and unnoted.note(found.append) == 0


def test_what_cant_be_noted_stays(unnoted: Unnoted) -> None:
    unnoted.keep(event("key/a"))

    def busy(one: Event) -> None:
        raise Unavailable("The store is busy.")

    with pytest.raises(Unavailable):
        unnoted.note(busy)
    unnoted.keep(event("key/b"))
    found: list[Event] = []
    assert unnoted.note(found.append) == 2
