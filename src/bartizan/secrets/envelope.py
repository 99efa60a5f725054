"""An envelope: AES-256-GCM around a secret, bound to the place it belongs to.

Sealed bytes are `version (1) | key id (8) | nonce (12) | ciphertext and tag`. The header and the context are authenticated
too, so that sealed bytes moved to another place, cut or edited don't open.
"""

import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bartizan.errors import Unavailable

KEY_BYTES = 32
_VERSION = b"\x01"
_ID_BYTES = 8
_HEADER_BYTES = 1 + _ID_BYTES
_NONCE_BYTES = 12
_TAG_BYTES = 16
OVERHEAD = _HEADER_BYTES + _NONCE_BYTES + _TAG_BYTES


class CannotOpen(Unavailable):
    """Sealed bytes that don't open: `WrongKey` or `Tampered`."""

    code = "sealed-unreadable"


class WrongKey(CannotOpen):
    """They were sealed with another key."""

    code = "sealed-with-another-key"


class Tampered(CannotOpen):
    """They were sealed with this key, and are not what was sealed, or not where it was put."""

    code = "sealed-tampered"


class Envelope:
    """Seals and opens with one key. `key_id` names the key and tells nothing about it."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
        ident = hashlib.sha256(b"bartizan key id\0" + key).digest()[:_ID_BYTES]
        self.key_id = ident.hex()
        self._header = _VERSION + ident
        self._cipher = AESGCM(key)

    def __repr__(self) -> str:
        return f"Envelope(key_id={self.key_id})"

    def seal(self, plaintext: bytes, context: str) -> bytes:
        """`plaintext` for `context` (such as "keys/17") only. The same text gives other bytes each time."""
        nonce = os.urandom(_NONCE_BYTES)
        return self._header + nonce + self._cipher.encrypt(nonce, plaintext, self._header + context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        header, body = sealed[:_HEADER_BYTES], sealed[_HEADER_BYTES:]
        if header != self._header or len(body) < _NONCE_BYTES + _TAG_BYTES:
            raise self._misfit(sealed, context)
        try:
            return self._cipher.decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], header + context.encode())
        except InvalidTag:
            raise Tampered(
                f"{context}: was changed or moved after it was sealed. Restore it from a backup; "
                "if nobody should have touched it, find out who did."
            ) from None

    def _misfit(self, sealed: bytes, context: str) -> CannotOpen:
        if len(sealed) < OVERHEAD:
            return Tampered(f"{context}: is cut off after {len(sealed)} bytes. Restore it from a backup.")
        if sealed[:1] != _VERSION:
            return Tampered(
                f"{context}: isn't sealed in a form that this version knows. Use the version that wrote it, or restore it from a backup."
            )
        return WrongKey(
            f"{context}: was sealed with the key {sealed[1:_HEADER_BYTES].hex()}, and this is the key {self.key_id}. "
            "Put back the key file that belongs to this state, or start with an empty state."
        )
