"""An envelope: AES-256-GCM around a secret, bound to the place it belongs to.

Sealed bytes are `version (1) | key id (8) | nonce (12) | ciphertext and tag`. The header and the context are authenticated
too, so that sealed bytes moved to another place, cut or edited don't open.
"""

import hashlib
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bartizan.errors import Unavailable

KEY_BYTES = 32
_VERSION = b"\x01"
_ID_BYTES = 8
HEADER_BYTES = 1 + _ID_BYTES
"""How much of what is sealed tells by which key."""
_NONCE_BYTES = 12
_TAG_BYTES = 16
OVERHEAD = HEADER_BYTES + _NONCE_BYTES + _TAG_BYTES


class CannotOpen(Unavailable):
    """Sealed bytes that don't open: `WrongKey` or `Tampered`."""

    code = "sealed-unreadable"


class WrongKey(CannotOpen):
    """They were sealed with another key."""

    code = "sealed-with-another-key"


class Tampered(CannotOpen):
    """They were sealed with this key, and are not what was sealed, or not where it was put."""

    code = "sealed-tampered"


class Ring(Protocol):
    """Where an envelope's keys come from, if they may be changed while it is in use."""

    def newer(self, held: Mapping[bytes, bytes]) -> tuple[bytes, ...] | None:
        """The keys, the current one first, if they aren't what this told last; else None. `held`: those that the envelope has, by their
        ids. Unavailable if they can't be read."""

    def kept(self) -> AbstractContextManager[None]:
        """As long as it is held, the current key stays the current one, whoever would change it."""


@dataclass(frozen=True, slots=True)
class _Held:
    """The keys of an envelope."""

    header: bytes
    """How what is sealed with the current one begins."""
    keys: Mapping[bytes, bytes]
    ciphers: Mapping[bytes, AESGCM]


class Envelope:
    """Seals with one key, and opens with it and with those before it. `key_id` names the key and tells nothing about it. Any thread may
    use it."""

    def __init__(self, key: bytes, *former: bytes, ring: Ring | None = None) -> None:
        self._held = _held((key, *former))
        self._ring = ring
        self._looking = threading.Lock()

    def __repr__(self) -> str:
        return f"Envelope(key_id={self.key_id})"

    @property
    def key_id(self) -> str:
        """The current key's."""
        return self._held.header[1:].hex()

    def seal(self, plaintext: bytes, context: str) -> bytes:
        """`plaintext` for `context` (such as "keys/17") only. The same text gives other bytes each time."""
        self.look()
        held, nonce = self._held, os.urandom(_NONCE_BYTES)
        return held.header + nonce + held.ciphers[held.header].encrypt(nonce, plaintext, held.header + context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """What was sealed for `context`. CannotOpen if it wasn't, or not with a key of these."""
        header, body = sealed[:HEADER_BYTES], sealed[HEADER_BYTES:]
        cipher = self._held.ciphers.get(header)
        if cipher is None and self.look():
            cipher = self._held.ciphers.get(header)
        if cipher is None or len(body) < _NONCE_BYTES + _TAG_BYTES:
            raise self._misfit(sealed, context)
        try:
            return cipher.decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], header + context.encode())
        except InvalidTag:
            raise Tampered(
                f"{context}: was changed or moved after it was sealed. Restore it from a backup; "
                "if nobody should have touched it, find out who did."
            ) from None

    def look(self) -> bool:
        """Takes up what has become of its keys. Whether that is something else than before."""
        if self._ring is None:
            return False
        with self._looking:
            keys = self._ring.newer(self._held.keys)
            if keys is None:
                return False
            self._held = _held(keys)
            return True

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Nobody retires the current key meanwhile. For what is sealed and then written to a file of its own."""
        with self._ring.kept() if self._ring is not None else nullcontext():
            yield

    def _misfit(self, sealed: bytes, context: str) -> CannotOpen:
        if len(sealed) < OVERHEAD:
            return Tampered(f"{context}: is cut off after {len(sealed)} bytes. Restore it from a backup.")
        if sealed[:1] != _VERSION:
            return Tampered(
                f"{context}: isn't sealed in a form that this version knows. Use the version that wrote it, or restore it from a backup."
            )
        return WrongKey(
            f"{context}: was sealed with the key {sealed[1:HEADER_BYTES].hex()}, and this is the key {self.key_id}. "
            "Put back the key file and the keyring that belong to this state, or start with an empty state."
        )


def key_ident(key: bytes) -> bytes:
    """What names a key in all that it sealed. ValueError if it is no key."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
    return hashlib.sha256(b"bartizan key id\0" + key).digest()[:_ID_BYTES]


def sealed_by(sealed: bytes) -> str | None:
    """The id of the key that sealed this, by its first `HEADER_BYTES`. None if it doesn't begin like anything sealed."""
    return sealed[1:HEADER_BYTES].hex() if sealed[:1] == _VERSION and len(sealed) >= HEADER_BYTES else None


def _held(keys: tuple[bytes, ...]) -> _Held:
    headers = [_VERSION + key_ident(key) for key in keys]
    by_id = {header[1:]: key for header, key in zip(headers, keys, strict=True)}
    return _Held(headers[0], by_id, {header: AESGCM(key) for header, key in zip(headers, keys, strict=True)})
