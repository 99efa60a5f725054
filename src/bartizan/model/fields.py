"""The types that fields of resources share: names, durations, moments, sizes, networks, secrets by reference."""

import ipaddress
import re
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,=:@/-]*")
_HOST = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TAKEN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "te", "trailer"})
_TAKEN_HEADERS |= {"upgrade", "expect", "authorization", "cookie", "x-request-id"}
_BYTES = {"": 1, "B": 1, "KB": 1000, "KiB": 1024, "MB": 1000**2, "MiB": 1024**2, "GB": 1000**3, "GiB": 1024**3}


class Declared(BaseModel):
    """A frozen value that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)


def is_name(value: str) -> bool:
    """Whether this can be a name."""
    return _NAME.fullmatch(value) is not None


def _named(value: str) -> str:
    if not is_name(value):
        raise ValueError("a name is 1 to 63 of a-z, 0-9 and '-', and begins and ends with a letter or digit")
    return value


def _path(value: str) -> str:
    if not _PATH.fullmatch(value) or "//" in value or "/./" in f"{value}/" or "/../" in f"{value}/":
        raise ValueError("a path begins with '/' and holds no '%', '?', '#', ';', '//', '.' or '..' segments")
    return value if value == "/" else value.rstrip("/")


def is_host(value: str) -> bool:
    """Whether this can be a host, or a pattern of hosts."""
    return value == "*" or _HOST.fullmatch(value) is not None


def _host(value: str) -> str:
    if not is_host(value):
        raise ValueError("a host is lower case, without a port, such as api.example.com or *.example.com")
    return value


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a duration is a number with its unit, such as 250ms, 10s, 5m, 1h or 30d")
    return timedelta(seconds=float(match[1]) * UNITS[match[2]])


def _moment(value: Any) -> datetime:
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or not 1970 < found.year < 9999:
        raise ValueError("a time is written with its zone, such as 2026-12-31T18:00:00+01:00 or 2026-12-31T17:00:00Z (RFC 3339)")
    return found


def _size(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = re.fullmatch(r"(\d+) ?([KMG]?i?B|)", value) if isinstance(value, str) else None
    if match is None or match[2] not in _BYTES:
        raise ValueError("a size is a number of bytes, or one with a unit, such as 64KiB or 10MB")
    return int(match[1]) * _BYTES[match[2]]


def network(value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """An address or network; an IPv4 address mapped into IPv6 is that IPv4 address. Raises ValueError."""
    try:
        found = ipaddress.ip_network(value, strict=True)
    except ValueError as error:
        raise ValueError(f"{value!r} is not an IP address or network, such as 192.0.2.0/24 or 2001:db8::/32") from error
    if isinstance(found, ipaddress.IPv6Network) and found.prefixlen >= 96:
        mapped = found.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, found.prefixlen - 96))
    return found


def _network(value: str) -> str:
    return str(network(value))


def own_header(name: str) -> str:
    """A header that may be given a meaning: not one that frames messages or has a meaning already, nor one of ours or of Envoy's."""
    if not re.fullmatch(r"[a-z0-9-]{1,64}", name):
        raise ValueError(f"{name!r} can't name this header: use lower case letters, digits and '-'")
    if name in _TAKEN_HEADERS or name.startswith(("x-bartizan-", "x-envoy-")):
        raise ValueError(f"the header {name!r} has a meaning already: choose another, such as x-caller or x-api-key")
    return name


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Name = Annotated[str, AfterValidator(_named)]
UrlPath = Annotated[str, AfterValidator(_path)]
Host = Annotated[str, AfterValidator(_host)]
Duration = Annotated[timedelta, BeforeValidator(_duration, json_schema_input_type=str)]
Moment = Annotated[datetime, BeforeValidator(_moment, json_schema_input_type=str)]
Size = Annotated[int, BeforeValidator(_size, json_schema_input_type=int | str)]
Network = Annotated[str, AfterValidator(_network)]
Method = Annotated[str, Field(pattern=r"^[A-Z]{1,20}$")]
HeaderName = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
OwnHeader = Annotated[str, AfterValidator(own_header)]
AsTuple = BeforeValidator(_listed)


class SecretRef(Declared):
    """A secret by where it is: an environment variable, a file, or a named secret. Its value never stands in these files."""

    env: str | None = Field(default=None, description="The environment variable that holds the secret.")
    file: str | None = Field(default=None, description="The file that holds the secret; one newline at its end is ignored.")
    secret: Name | None = Field(
        default=None, description="The secret's name, as `bartizan secret set` was given it: one of the same team, granted for this use."
    )

    @model_validator(mode="before")
    @classmethod
    def _no_literal(cls, value: Any) -> Any:
        if isinstance(value, str):
            # The value isn't repeated: it may be the secret itself.
            raise ValueError("a secret can't stand here in the open: write {secret: NAME}, {env: NAME} or {file: PATH}")
        return value

    @model_validator(mode="after")
    def _one(self) -> "SecretRef":
        if sum(x is not None for x in (self.env, self.file, self.secret)) != 1:
            raise ValueError("give one of env, file and secret")
        return self

    @property
    def told(self) -> str:
        """Where it is, for messages."""
        return f"secret {self.secret}" if self.secret is not None else str(self.env or self.file)
