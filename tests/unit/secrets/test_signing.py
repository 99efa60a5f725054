"""Signing keys: made once, kept sealed, checked by their public half."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bartizan.errors import Unavailable
from bartizan.secrets.envelope import CannotOpen, Envelope
from bartizan.secrets.signing import PUBLIC_BYTES, SIGNATURE_BYTES, SigningKey, verified

ENVELOPE = Envelope(bytes(range(32)))


def test_what_was_signed_is_verified_and_nothing_else(tmp_path: Path) -> None:
    key, other = SigningKey(tmp_path / "a", ENVELOPE), SigningKey(tmp_path / "b", ENVELOPE)
    signature = key.sign(b"text")
    assert (len(key.public), len(signature)) == (PUBLIC_BYTES, SIGNATURE_BYTES)
    assert verified(key.public, signature, b"text")
    assert not verified(key.public, signature, b"Text")
    assert not verified(other.public, signature, b"text")
    assert not verified(key.public, bytes([signature[0] ^ 1]) + signature[1:], b"text")
    assert not verified(key.public, b"", b"text")
    assert not verified(b"short", signature, b"text")


def test_the_key_is_the_same_when_it_is_loaded_again_and_sealed_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "state" / "signing.key"
    made = SigningKey(path, ENVELOPE)
    assert SigningKey(path, ENVELOPE).public == made.public
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["signing.key"]
    with pytest.raises(CannotOpen):
        SigningKey(path, Envelope(bytes(32)))


def test_of_several_that_make_it_at_once_all_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: SigningKey(tmp_path / "key", ENVELOPE).public, range(8)))
    assert len(set(keys)) == 1


def test_a_damaged_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    SigningKey(path, ENVELOPE)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CannotOpen):
        SigningKey(path, ENVELOPE)
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(Unavailable):
        SigningKey(folder, ENVELOPE)


def test_it_doesnt_print_its_secret(tmp_path: Path) -> None:
    key = SigningKey(tmp_path / "key", ENVELOPE)
    assert repr(key) == f"SigningKey(public={key.public.hex()})"
