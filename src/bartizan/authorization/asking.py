"""A request to the authorization server, read once: its parameters, its form, and from where it came. Handlers are given nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import parse_qsl

from authlib.oauth2.rfc6749 import OAuth2Request
from authlib.oauth2.rfc6749.requests import OAuth2Payload
from starlette.requests import Request

from bartizan.envoy.names import H_CALLER
from bartizan.errors import Invalid

COOKIE = "__Host-bartizan"
_LARGEST = 256 << 10
_MOST_FIELDS = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    form: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    cookies: Mapping[str, str]
    origin: str
    """The address that it came from."""
    places: Mapping[str, str] = field(default_factory=dict)
    """What stands in the path."""

    def one(self, name: str) -> str:
        """A parameter of the query; empty if it isn't there."""
        return next((value for key, value in self.query if key == name), "")

    def field(self, name: str) -> str:
        """A field of the form; empty if it isn't there."""
        return next((value for key, value in self.form if key == name), "")

    @property
    def cookie(self) -> str:
        """That of the session."""
        return self.cookies.get(COOKIE, "")


async def asked(request: Request) -> Asked:
    """A request as handlers are given it. Invalid."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST:
            raise Invalid(f"A form has up to {_LARGEST >> 10} KiB.", code="form-too-large")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    form = bytes(body) if kind == "application/x-www-form-urlencoded" else b""
    return Asked(
        request.method,
        str(request.scope["path"]),
        _pairs(request.scope["query_string"]),
        _pairs(form),
        dict(request.headers),
        dict(request.cookies),
        _origin(request),
        dict(request.path_params),
    )


def _pairs(text: bytes) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(parse_qsl(text.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS))
    except ValueError as error:  # UnicodeDecodeError is one
        raise Invalid("The parameters can't be read.", code="form-unreadable") from error


def _origin(request: Request) -> str:
    """The caller's address as Envoy tells it, since only this machine reaches us. The last word in x-forwarded-for is that of the caller
    only where no proxy stands before Envoy."""
    told = request.headers.get(H_CALLER) or request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    try:
        return str(ip_address(told))
    except ValueError:
        return request.client.host if request.client else "unknown"


class Payload(OAuth2Payload):  # type: ignore[misc]  # authlib ships no types
    """Parameters as authlib asks for them."""

    def __init__(self, pairs: tuple[tuple[str, str], ...]) -> None:
        self._pairs = pairs

    @property
    def data(self) -> dict[str, str]:
        return {key: value for key, value in reversed(self._pairs) if value}

    @property
    def datalist(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for key, value in self._pairs:
            found.setdefault(key, []).append(value)
        return found


class OAuthRequest(OAuth2Request):  # type: ignore[misc]  # authlib ships no types
    """A request as authlib asks for it."""

    def __init__(self, of: Asked, issuer: str) -> None:
        super().__init__(of.method, issuer + of.path, headers={name.title(): value for name, value in of.headers.items()})
        self.of = of
        self.payload = Payload((*of.query, *of.form) if of.method == "GET" else of.form)

    @property
    def args(self) -> dict[str, str]:
        return Payload(self.of.query).data

    @property
    def form(self) -> dict[str, str]:
        return Payload(self.of.form).data
