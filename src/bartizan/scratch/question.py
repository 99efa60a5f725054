"""A request that hasn't happened: what a scratch instance is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from bartizan.identity.table import ConsumerView

Claim: TypeAlias = str | bool | int | float | list[object] | dict[str, object] | None


@dataclass(frozen=True, slots=True)
class Token:
    """A good token: signed by the issuer, for the right audience, not expired."""

    issuer: str
    """The name of the Issuer."""
    subject: str
    claims: Mapping[str, Claim] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A good client certificate: issued by the CA that the Tls policy names so, with one subject alternative name.

    It means the Consumer that lists it, if there is one.
    """

    ca: str
    san: str = ""
    fingerprint: str = ""
    """SHA-256 in hex."""


@dataclass(frozen=True, slots=True)
class UnknownKey:
    """An API key that isn't any consumer's: mistyped, expired, revoked, or of a consumer who is disabled."""


@dataclass(frozen=True, slots=True)
class Identified:
    """Someone whom production has identified already: a principal as a record tells it, whatever is declared of it now."""

    method: Literal["api_key", "jwt", "mtls"]
    id: str
    issuer: str = ""
    """The name of the Issuer, or the CA's."""
    noted: tuple[tuple[str, str], ...] = ()
    """Its attributes and `groups`, by name, as the texts that the record holds: lists as JSON."""


Principal: TypeAlias = ConsumerView | Token | Certificate | Identified | UnknownKey
"""Who asks, by the credential that shows it. A consumer shows an API key."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request, and what can't be known from it: who sends it, when, and from where.

    Credentials that stand in `headers` are looked at as a gateway does that knows no key and no token: they are wrong ones.
    """

    method: str
    path: str
    """With its query."""
    host: str = "localhost"
    headers: tuple[tuple[str, str], ...] = ()
    principal: Principal | None = None
    """None: nobody; the request carries no credential."""
    at: datetime | None = None
    """With a time zone. None: now."""
    source: str = "127.0.0.1"
    """The caller's address as the gateway sees it: behind trusted proxies, the one that they tell."""
    listener: str = ""
    """The listener it comes to. Empty: the first."""
    size: int = 0
    """The announced size of its body, in bytes."""
    ja4: str = ""
    """The fingerprint of the caller's TLS."""
    device: str = ""
    """The enrolled device that it comes from; empty: none."""
    device_state: str = "pending"
    """As the Device says it."""
    context: Mapping[str, Claim] = field(default_factory=dict)
    """What context sources say of who asks, by attribute: none is asked. What isn't given is missing."""
    place: tuple[tuple[str, str], ...] = ()
    """What databases tell of the caller's address, as texts by names such as `country`: no database is asked. A truth is `true`, `false` or
    `unknown`; one that isn't given is false, all else that isn't given is unknown."""
