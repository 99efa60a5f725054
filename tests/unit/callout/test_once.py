"""A proof counts once, and a nonce only as long as it is ours and fresh."""

import pytest

from bartizan.callout import once
from bartizan.callout.once import NONCE_S, Full, Once
from bartizan.callout.proof import Proof


def proof(name: str = "a", made: float = 1001.0, nonce: str = "") -> Proof:
    return Proof(name.encode().ljust(16), made, nonce)


def test_it_is_the_first_only_once_until_it_is_too_old_anyway() -> None:
    kept = Once(1000.0)
    assert [kept.is_first(proof(name), 1001.0) for name in ("a", "b", "a", "b")] == [True, True, False, False]
    assert not kept.is_first(proof("a"), 1120.0)
    assert kept.is_first(proof("a"), 1122.0)


def test_what_was_made_before_it_began_needs_a_nonce() -> None:
    kept = Once(1000.0)
    assert [kept.needs_nonce(proof(made=made), 1001.0) for made in (999.0, 1000.0, 1000.5)] == [True, True, False]
    assert not kept.needs_nonce(proof(made=999.0, nonce=kept.nonce(1001.0)), 1001.0)
    assert Once(1000.0, always=True).needs_nonce(proof(), 1001.0)


def test_only_its_own_fresh_nonces_count() -> None:
    kept, other = Once(1000.0), Once(1000.0)
    nonce = kept.nonce(1001.0)
    good = [kept.needs_nonce(proof(nonce=nonce), now) for now in (1001.0, 1001.0 + NONCE_S)]
    assert good == [False, False]
    assert kept.needs_nonce(proof(nonce=nonce), 1002.0 + NONCE_S), "too old"
    assert kept.needs_nonce(proof(nonce=nonce), 1000.0), "of the future: a clock went back"
    assert other.needs_nonce(proof(nonce=nonce), 1001.0), "another's"
    for wrong in ("", "x", "é", nonce[:-1], nonce + "A", nonce.swapcase(), "A" * 32):
        assert not wrong or kept.needs_nonce(proof(nonce=wrong), 1001.0), wrong


def test_when_there_is_no_room_none_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once, "_MOST", 2)
    kept = Once(1000.0)
    assert kept.is_first(proof("a"), 1001.0) and kept.is_first(proof("b"), 1001.0)
    with pytest.raises(Full):
        kept.is_first(proof("c"), 1001.0)
    assert kept.is_first(proof("c"), 1200.0)
