"""Consumers and issuers of the API: kept, sealed, and read like those of the files."""

from pathlib import Path

import pytest

from bartizan.errors import BartizanError, Invalid
from bartizan.identity.declared import Declared
from bartizan.secrets.envelope import Envelope

ENVELOPE = Envelope(b"k" * 32)
ACME = ("Consumer", "acme")


def body(name: str = "acme", more: str = "") -> bytes:
    return b'{"kind":"Consumer","name":"%s"%s}' % (name.encode(), more.encode())


@pytest.fixture
def declared(tmp_path: Path) -> Declared:
    return Declared(tmp_path / "declared", ENVELOPE)


def test_what_is_declared_outlasts_a_restart(declared: Declared, tmp_path: Path) -> None:
    declared.put(ACME, body(), "ann", 1.0)
    declared.put(("Consumer", "globex"), body("globex", ',"disabled":true'), "ann", 2.0)
    declared.delete(ACME, "ann", 3.0)
    for one in (declared, Declared(tmp_path / "declared", ENVELOPE)):
        assert ACME not in one
        assert [(each.kind, each.name, each.file) for each in one.read().resources] == [("Consumer", "globex", "api/Consumer/globex")]
        assert one.generation == 3
        assert not one.read().problems


def test_it_is_read_anew_only_when_it_has_changed(declared: Declared) -> None:
    declared.put(ACME, body(), "ann", 1.0)
    first = declared.read()
    assert declared.read() is first
    declared.put(ACME, body(more=',"disabled":true'), "ann", 1.0)
    assert declared.read() is not first


def test_what_cant_be_declared_isnt_kept(declared: Declared) -> None:
    with pytest.raises(Invalid) as refused:
        declared.put(ACME, body(more=',"disabld":true'), "ann", 1.0)
    assert "disabled" in str(refused.value.problems[0])
    assert declared.generation == 0


def test_nothing_stands_in_the_open(declared: Declared, tmp_path: Path) -> None:
    declared.put(ACME, body(more=',"attributes":{"job":"astronaut"}'), "ann", 1.0)
    written = (tmp_path / "declared").read_bytes()
    assert b"acme" not in written
    assert b"astronaut" not in written


def test_tampered_with_it_isnt_believed(declared: Declared, tmp_path: Path) -> None:
    declared.put(ACME, body(), "ann", 1.0)
    declared.put(ACME, body(more=',"disabled":true'), "ann", 1.0)
    first, second = (tmp_path / "declared").read_bytes().splitlines(keepends=True)
    for wrong in (second, second + first, first + first, first[:-9] + b"AAAAAAAA\n"):
        (tmp_path / "wrong").write_bytes(wrong)
        with pytest.raises(BartizanError):
            Declared(tmp_path / "wrong", ENVELOPE)
