"""Named secrets, without their values: whose each is, and where it may be sent."""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from urllib.parse import urlsplit

from bartizan.model.fields import is_host
from bartizan.model.team import covers

_PATTERN = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(:(?P<port>[1-9][0-9]{0,4}))?")


@dataclass(frozen=True, slots=True, order=True)
class Destination:
    """A server to which a secret would be sent."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Use:
    """What a reference is for: whose resource it stands in, and where the secret would go. Without a destination it stays at the gateway,
    which compares callers' credentials with it or shows callers who it is."""

    team: str | None = None
    to: tuple[Destination, ...] = ()


def sent_to(url: str) -> Use:
    """What is sent to the server of an http:// or https:// URL, for no team."""
    parts = urlsplit(url)
    return Use(None, (Destination(parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)),))


OWN = Use()
"""What doesn't belong to a team, and goes nowhere: a consumer's key, a listener's certificate, an issuer's keys."""


def destination(text: str) -> str:
    """A pattern of destinations in its one form: `host`, `host:port`, `*.example.com`. ValueError if it is none."""
    found = _PATTERN.fullmatch(text.strip().lower())
    if found is None or int(found["port"] or 1) > 65535:
        raise ValueError(_wrong(text))
    host = found["host"]
    if host.startswith("["):
        host = f"[{_address(host[1:-1], text)}]"
    elif host == "*" or not is_host(host):
        raise ValueError(_wrong(text))
    return f"{host}:{found['port']}" if found["port"] else host


def _address(host: str, text: str) -> str:
    try:
        return str(IPv6Address(host))
    except ValueError:
        raise ValueError(_wrong(text)) from None


def _wrong(text: str) -> str:
    return f"{text!r} is no destination, such as partner.example.com, partner.example.com:8443, *.example.com or [2001:db8::7]:443"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a named secret may be used for."""

    team: str | None
    to: tuple[str, ...]
    """Patterns of destinations; none for a secret that goes nowhere."""

    def allows(self, use: Use) -> bool:
        """Whether it may be used so. A secret that has destinations is for these alone, one that has none is sent nowhere."""
        return use.team == self.team and bool(use.to) == bool(self.to) and not self.beyond(use)

    def beyond(self, use: Use) -> tuple[Destination, ...]:
        """The destinations of a use that the secret wasn't granted."""
        return tuple(one for one in use.to if not any(_covers(pattern, one) for pattern in self.to))


def _covers(pattern: str, one: Destination) -> bool:
    found = _PATTERN.fullmatch(pattern)
    if found is None:
        return False
    host = found["host"].removeprefix("[").removesuffix("]")
    return covers(host, one.host) and (found["port"] is None or int(found["port"]) == one.port)
