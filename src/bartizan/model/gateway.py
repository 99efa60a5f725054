"""Gateway: where callers connect, which attributes conditions may speak of, and where credentials stand."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from bartizan.model.attributes import name_problem
from bartizan.model.authorization import AuthorizationServer
from bartizan.model.fields import AsTuple, Declared, Duration, Name, Network, OwnHeader, Size
from bartizan.model.places import Places
from bartizan.model.releases import Releases
from bartizan.model.team import Team

_SHORTEST_STALE = timedelta(seconds=3)
AttributeType = Literal["string", "number", "bool", "list", "words"]


class Listener(Declared):
    """An address where callers connect."""

    name: Name = Field(description="What policies call this listener.")
    address: str = Field(description="IP address and port, such as 127.0.0.1:8080 or [::]:8443.")
    trusted_proxies: Annotated[tuple[Network, ...], AsTuple] = Field(
        default=(), description="Networks of proxies in front of this listener whose X-Forwarded-For is believed."
    )

    @field_validator("address")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or not 0 <= int(port) <= 65535:
            raise ValueError("an address is host:port, such as 127.0.0.1:8080 or [::]:8443")
        return value

    @property
    def host(self) -> str:
        """The host without brackets."""
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port; 0 lets the system choose."""
        return int(self.address.rpartition(":")[2])


class CredentialPlaces(Declared):
    """Where API keys may stand in a request. Each of these places is checked or stripped on every route."""

    headers: Annotated[tuple[OwnHeader, ...], AsTuple] = Field(
        default=("x-api-key",), description="Request headers that may hold an API key."
    )
    cookies: Annotated[tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")], ...], AsTuple] = Field(
        default=(), description="Cookies that may hold an API key."
    )


class Records(Declared):
    """The records of requests: one JSON line each."""

    keep: Size = Field(default=1024**3, description="How many bytes of records are kept before the oldest are deleted.")
    rotate: Size = Field(default=64 * 1024**2, description="The size at which a file of records is closed and the next one begun.")
    pseudonymise: bool = Field(default=False, description="Keep only the first 24 bits of an address, as a network.")


class Blocking(Declared):
    """Sources with many failed attempts to authenticate are refused for a while."""

    attempts: int = Field(default=50, ge=3, description="Failed attempts within `window` that block a source.")
    window: Duration = Field(default="60s", validate_default=True, description="How long an attempt counts.")
    duration: Duration = Field(default="5m", validate_default=True, description="How long a source stays blocked.")
    exempt: Annotated[tuple[Network, ...], AsTuple] = Field(
        default=(), description="Networks that are never blocked, such as your own NAT."
    )


class Gateway(Declared):
    """The gateway itself. Exactly one is declared."""

    kind: Literal["Gateway"] = "Gateway"
    name: Name = Field(description="The gateway's name.")
    listeners: Annotated[tuple[Listener, ...], AsTuple] = Field(min_length=1, description="Where callers connect.")
    attributes: dict[str, AttributeType] = Field(
        default_factory=dict, description="The attributes of principals that conditions may speak of, with their types."
    )
    api_keys: CredentialPlaces = Field(default=CredentialPlaces(), description="Where API keys may stand.")
    records: Records = Field(default=Records(), description="The records of requests.")
    blocking: Blocking = Field(default=Blocking(), description="When a source of failed attempts is blocked.")
    teams: dict[Name, Team] = Field(default_factory=dict, description="Teams, each with the hosts and paths that it may serve.")
    max_stale: Duration | None = Field(
        default=None,
        description="How long a node goes on taking API keys when it hears nothing from the control plane: then it refuses them, because "
        "some may have been revoked. At least 3s. For ever, unless you say so.",
    )
    places: Places = Field(
        default=Places(), description="Databases that tell where callers are, so that conditions may ask for `source.country` and its like."
    )
    releases: Releases = Field(default=Releases(), description="How changes of policy are let out.")
    authorization_server: AuthorizationServer | None = Field(
        default=None, description="An OAuth 2.0 and OpenID Connect server of the gateway's own; there is none unless it stands here."
    )
    otlp: str | None = Field(
        default=None, pattern=r"^https?://", description="An OpenTelemetry collector (OTLP over gRPC) that receives traces."
    )

    @field_validator("attributes")
    @classmethod
    def _attribute_names(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if wrong := name_problem(name):
                raise ValueError(f"the name of an attribute {wrong}: {name!r}")
        return value

    @field_validator("max_stale")
    @classmethod
    def _not_too_short(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and value < _SHORTEST_STALE:
            raise ValueError("max_stale is 3s or more: nodes hear from the control plane every second")
        return value

    @model_validator(mode="after")
    def _distinct(self) -> "Gateway":
        names = [listener.name for listener in self.listeners]
        if len(set(names)) != len(names):
            raise ValueError("two listeners have the same name")
        return self
