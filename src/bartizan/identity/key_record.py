"""An API key of a consumer, as it is kept, wanted, made and revoked."""

from dataclasses import dataclass
from typing import Any

from bartizan.secrets.sealed import Secret


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key that wasn't revoked. It may have expired."""

    id: str
    consumer: str
    name: str
    key: Secret
    created: float
    """Seconds since the epoch, as is `expires`."""
    expires: float | None
    scopes: tuple[str, ...] = ()
    """What it says instead of its consumer's attribute `scopes`; none: what the consumer's says."""
    successor: str = ""
    """The id of the key that it was rotated to."""

    def told(self) -> dict[str, Any]:
        """All but its text."""
        return {
            "id": self.id,
            "consumer": self.consumer,
            "name": self.name,
            "created": self.created,
            "expires": self.expires,
            "scopes": list(self.scopes),
            "successor": self.successor,
        }

    def details(self) -> dict[str, Any]:
        """What the audit log says of it beside its id."""
        told: dict[str, Any] = {"consumer": self.consumer, "name": self.name, "expires": self.expires}
        told |= {"scopes": list(self.scopes)} if self.scopes else {}
        return told | ({"successor": self.successor} if self.successor else {})


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the only moment its text is shown: `key.reveal()`."""

    id: str
    consumer: str
    key: Secret


@dataclass(frozen=True, slots=True)
class WantedKey:
    """What a key is to be."""

    consumer: str
    name: str = ""
    expires: float | None = None
    """Seconds since the epoch."""
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Revoked:
    """A key that was revoked."""

    id: str
    digest: bytes
    """Of its text, which isn't kept."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened since the last `poll`."""

    generation: int
    shards: frozenset[str]
    added: tuple[str, ...]
    revoked: tuple[str, ...]
