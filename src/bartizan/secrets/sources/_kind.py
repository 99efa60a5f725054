"""What a place of a key-encryption key must be: it wraps data keys, and tells them again; its description holds no secret."""

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import BaseModel, ConfigDict

from bartizan.errors import Unavailable
from bartizan.secrets.envelope import KEY_BYTES, Envelope, Tampered, WrongKey, sealed_by
from bartizan.secrets.places import ring_file


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


@dataclass(frozen=True, slots=True)
class Held:
    """A key-encryption key that we hold, and what people are told if it is the wrong one."""

    by: Envelope
    what: str
    """What it is, as a sentence begins."""
    remedy: str
    """What to do with `that belongs to it`."""
    code: str

    def unwrapped(self, sealed: bytes, place: Place) -> bytes:
        """The data key. Unavailable if this isn't the right key, or if the keyring is damaged."""
        try:
            return self.by.open(sealed, place.context)
        except WrongKey:
            told = (
                f"{self.what} isn't the one of this state: {ring_file(place.key)} was wrapped with the key {sealed_by(sealed)}, and this "
                f"is the key {self.by.key_id}. {self.remedy} that belongs to it; nothing was changed."
            )
            raise Unavailable(told, code=self.code) from None
        except Tampered as error:
            raise Unavailable(f"The keyring {ring_file(place.key)} can't be used. {error.message}", code="keyring-damaged") from None


def wrapping(key: bytes) -> Envelope:
    """The envelope of a key-encryption key that we hold: derived, so that one that was a data key once seals nothing twice."""
    return Envelope(HKDF(SHA256(), KEY_BYTES, None, b"bartizan key-encryption key").derive(key))
