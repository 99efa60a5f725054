"""What is sealed opens with its key in its place, and nowhere else."""

import pytest
from hypothesis import given, strategies

from bartizan.errors import Unavailable
from bartizan.secrets.envelope import OVERHEAD, CannotOpen, Envelope, Tampered, WrongKey

ENVELOPE = Envelope(b"k" * 32)


@given(strategies.binary(max_size=200), strategies.text(max_size=20))
def test_what_is_sealed_opens(plaintext: bytes, context: str) -> None:
    sealed = ENVELOPE.seal(plaintext, context)
    assert len(sealed) == len(plaintext) + OVERHEAD
    assert ENVELOPE.open(sealed, context) == plaintext


def test_sealing_twice_tells_nothing() -> None:
    assert ENVELOPE.seal(b"same", "c") != ENVELOPE.seal(b"same", "c")
    assert b"plain-text" not in ENVELOPE.seal(b"plain-text", "c")


def test_any_bit_changed_is_noticed() -> None:
    sealed = ENVELOPE.seal(b"secret", "keys/1")
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(CannotOpen):
            ENVELOPE.open(bytes(changed), "keys/1")


def test_any_cut_is_noticed() -> None:
    sealed = ENVELOPE.seal(b"secret", "keys/1")
    for length in range(len(sealed)):
        with pytest.raises(Tampered):
            ENVELOPE.open(sealed[:length], "keys/1")


def test_moved_to_another_place_it_does_not_open() -> None:
    with pytest.raises(Tampered, match="keys/2: was changed or moved"):
        ENVELOPE.open(ENVELOPE.seal(b"secret", "keys/1"), "keys/2")


def test_another_key_is_told_from_tampering_and_both_ids_are_named() -> None:
    other = Envelope(b"o" * 32)
    with pytest.raises(WrongKey, match=f"{ENVELOPE.key_id}.*{other.key_id}.*Put back the key file") as caught:
        other.open(ENVELOPE.seal(b"secret", "keys/1"), "keys/1")
    assert isinstance(caught.value, Unavailable)


def test_an_unknown_version_is_named_as_such() -> None:
    with pytest.raises(Tampered, match="version"):
        ENVELOPE.open(b"\x02" + ENVELOPE.seal(b"secret", "c")[1:], "c")


def test_a_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32"):
        Envelope(b"short")


def test_it_does_not_print_its_key() -> None:
    assert repr(ENVELOPE) == f"Envelope(key_id={ENVELOPE.key_id})"
