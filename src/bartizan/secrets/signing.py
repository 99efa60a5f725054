"""The key that signs releases, revisions and the audit log: Ed25519, made at first use, kept sealed; anybody may have its public half."""

from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bartizan.errors import Unavailable
from bartizan.lib.files import made_once
from bartizan.secrets.envelope import CannotOpen, Envelope

PUBLIC_BYTES = 32
SIGNATURE_BYTES = 64
_CONTEXT = "signing-key"


class SigningKey:
    """The key whose sealed form is in `path`. Of several that make it at once, one wins and all get the same."""

    def __init__(self, path: Path, envelope: Envelope) -> None:
        try:
            try:
                self._key = _opened(path, envelope)
            except FileNotFoundError:
                with envelope.kept():
                    made_once(path, envelope.seal(Ed25519PrivateKey.generate().private_bytes_raw(), _CONTEXT))
                self._key = _opened(path, envelope)
        except OSError as error:
            raise Unavailable(f"The signing key {path} can't be used: {error.strerror or error}.", code="signing-key-unusable") from error
        self.public = self._key.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex()})"

    def sign(self, data: bytes) -> bytes:
        """The signature. What is signed begins with words that say what it is, so that it can't be taken for something else."""
        return self._key.sign(data)


def verified(public: bytes, signature: bytes, data: bytes) -> bool:
    """Whether the key with this public half made this signature of these bytes."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def _opened(path: Path, envelope: Envelope) -> Ed25519PrivateKey:
    sealed = path.read_bytes()
    try:
        return Ed25519PrivateKey.from_private_bytes(envelope.open(sealed, _CONTEXT))
    except CannotOpen as error:
        raise type(error)(f"The signing key {path} can't be read. {error.message}") from None
