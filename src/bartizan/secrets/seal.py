"""Who signs what the store keeps, and whose signatures count there. A signer's name is its public key in hex."""

from collections.abc import Iterable

from bartizan.errors import Invalid, Unavailable
from bartizan.secrets.signing import PUBLIC_BYTES, SigningKey, verified


class Signatures:
    """Signs with `key`, if there is one, and trusts it and the further public keys."""

    def __init__(self, key: SigningKey | None = None, trusted: Iterable[bytes] = ()) -> None:
        self._key = key
        self._trusted = {one.hex() for one in trusted} | ({key.public.hex()} if key is not None else set())

    @property
    def signer(self) -> str:
        """The public key that belongs to what `sign` makes; empty if nothing can be signed."""
        return self._key.public.hex() if self._key is not None else ""

    def sign(self, text: bytes) -> bytes:
        """The signature of these bytes."""
        if self._key is None:
            raise Unavailable("There are only public keys here: nothing can be signed.", code="no-signing-key")
        return self._key.sign(text)

    def verify(self, signer: str, text: bytes, signature: bytes) -> bool:
        """Whether this key is trusted, and made this signature of these bytes."""
        return signer in self._trusted and verified(bytes.fromhex(signer), signature, text)


def public_key(text: str) -> bytes:
    """A public key as people pass it on: 64 hexadecimal digits."""
    try:
        found = bytes.fromhex(text.strip())
    except ValueError:
        found = b""
    if len(found) != PUBLIC_BYTES:
        raise Invalid(f"{text!r} isn't a public key: it has {2 * PUBLIC_BYTES} hexadecimal digits.", code="public-key-unreadable")
    return found
