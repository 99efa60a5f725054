"""A key that signs releases in tests, and nodes that trust it."""

import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bartizan.node.trust import Judge, write_trust


class Signing:
    """Signs."""

    def __init__(self, seed: bytes = bytes(32)) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public: bytes = self._key.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


SIGNER, STRANGER = Signing(), Signing(b"stranger".ljust(32))


def believing(state: Path, *signers: Signing, group: str = "default", clock: Callable[[], float] = time.time) -> Judge:
    """Makes a node with this state trust the signers (SIGNER if none is named)."""
    write_trust(state, [one.public for one in signers or (SIGNER,)], group)
    return Judge(state, clock)
