"""What a place of a key-encryption key must be: it wraps data keys, and tells them again; its description holds no secret."""

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import BaseModel, ConfigDict

from bartizan.errors import Unavailable
from bartizan.secrets.envelope import KEY_BYTES, Envelope


class Unreachable(Unavailable):
    """What holds the key can't be asked just now; it may be, later."""

    code = "kek-unreachable"


@dataclass(frozen=True, slots=True)
class Place:
    """A data key's: which key file its keyring belongs to, and which one of its keys it is."""

    key: Path
    """The key file's name in the state; where it is says `keyfile.placed`."""
    ident: str

    @property
    def context(self) -> str:
        """What the data key is wrapped for."""
        return f"data-key/{self.key.stem}/{self.ident}"


class Kek(BaseModel):
    """A place of a key-encryption key. What it is made with stands in the keyring, for everybody to read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str

    @abstractmethod
    def wrap(self, key: bytes, place: Place) -> str:
        """A data key as the keyring holds it. Unavailable if it can't be wrapped; Unreachable if that may pass."""

    @abstractmethod
    def unwrap(self, wrapped: str, place: Place) -> bytes:
        """The data key. Unavailable if it isn't told, with what to do about it; Unreachable if that may pass."""

    @abstractmethod
    def told(self) -> str:
        """Where it is, as people are told."""

    def prepare(self, key: Path) -> None:
        """Called before anything is wrapped with it for the first time. `key`: the key file's name in the state."""

    def is_settled(self, key: Path) -> bool:
        """Whether a crash left nothing to `settle`."""
        return True

    def settle(self, key: Path, wrapped: str) -> None:
        """Called once the keyring holds what it wrapped: what else was prepared is cleared away."""


def wrapping(key: bytes) -> Envelope:
    """The envelope of a key-encryption key that we hold: derived, so that one that was a data key once seals nothing twice."""
    return Envelope(HKDF(SHA256(), KEY_BYTES, None, b"bartizan key-encryption key").derive(key))
