"""Bounds what callers may send and what upstreams may tell. It is on with safe values even where nobody declares one.

```yaml
kind: Protect
name: uploads
target: {api: orders, paths: [/orders/attachments]}
body: 100MiB
hide: [server, x-powered-by, x-backend]
```

Where nothing else is said, a body may be 10 MiB (413), a request's headers 60 KiB and 100 lines (431), its URL 8 KiB (414); headers
must come within 10 seconds and the whole request within 5 minutes (408); an upstream gets at most 4,096 requests and connections at once,
and 1,024 may wait (503). Bodies stream through and aren't buffered: one whose length isn't announced is cut off where it grows too large.
What passes over a WebSocket isn't counted. Answers carry `x-content-type-options: nosniff`, and `x-frame-options: DENY` and
`referrer-policy: no-referrer` unless the upstream says otherwise; `server` and `x-powered-by` are taken out.

The policy with the nearest target applies, as a whole: what it leaves out has its default. `headers`, `url` and `timeouts` hold before the
gateway knows which API is called, so only a policy for the whole gateway may set them; `concurrency` is an API's, not a path's. APIs that
say the same of one upstream share its connections, and what a policy without an API grants it; one with an API grants that API its own.

Always, whatever is declared: paths are normalised before policies see them, and those that parsers read in different ways (`;`,
encoded slashes, doubly encoded characters) are refused with 400; HTTP is parsed strictly, and headers with underscores are refused.

It can't be put in shadow: an answer is bounded or it isn't. It runs in Envoy: half a microsecond.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, field_validator

from bartizan.condition import Schema
from bartizan.envoy import message
from bartizan.envoy.filters import typed
from bartizan.model.fields import AsTuple, Declared, Duration, HeaderName, Size
from bartizan.policies._kind import Fault, Fragment, Phase, Place, PolicyKind

_HTTP = "envoy.extensions.filters.http"
_KIB = 1024
_MIB = 1024 * _KIB
_ONLY_GATEWAY = ("headers", "url", "timeouts")
_NOBODYS = frozenset(
    {"connection", "content-length", "content-type", "date", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "x-request-id"}
)
_ELSEWHERE = {"strict-transport-security": "a Tls policy (`hsts`)", "vary": "the upstream", "www-authenticate": "the gateway"}
_SAFE = {"x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "no-referrer"}
_IDENTIFYING = ("server", "x-powered-by", "x-aspnet-version", "x-aspnetmvc-version", "x-runtime", "x-generator")


def _free(name: str) -> str:
    if name in _NOBODYS or name.startswith(("x-bartizan-", "x-envoy-", "access-control-")) or name in _ELSEWHERE:
        owner = _ELSEWHERE.get(name, "a Cors policy" if name.startswith("access-control-") else "the gateway")
        raise ValueError(f"{name!r} is set by {owner}")
    return name


FreeHeader = Annotated[HeaderName, AfterValidator(_free)]


class RequestHeaders(Declared):
    """How much may stand in a request's headers."""

    size: Size = Field(default=60 * _KIB, ge=_KIB, le=_MIB, description="Bytes of all headers together; rounded up to whole KiB.")
    count: int = Field(default=100, ge=10, le=1000, description="How many headers.")


class Timeouts(Declared):
    """How long a caller may take. How long an answer may take is the Api's `timeout`."""

    headers: Duration = Field(default="10s", validate_default=True, description="Until all headers of a request are there.")
    request: Duration = Field(
        default="5m", validate_default=True, description="Until a request is there as a whole, or its answer begins; 0s is no limit."
    )
    idle: Duration = Field(default="10m", validate_default=True, description="How long a connection without requests is kept.")


class Concurrency(Declared):
    """How much an upstream is given at once, from each gateway."""

    requests: int = Field(default=4096, ge=1, le=1_000_000, description="Requests at once; more get 503.")
    connections: int = Field(default=4096, ge=1, le=1_000_000, description="Connections to the upstream at once.")
    pending: int = Field(default=1024, ge=1, le=1_000_000, description="Requests that wait for a connection; more get 503.")


class Protect(PolicyKind):
    """Bound what callers may send and upstreams may tell."""

    kind: Literal["Protect"] = "Protect"
    phase: ClassVar[Phase] = Phase.UPSTREAM
    nearest: ClassVar[bool] = True
    may_shadow: ClassVar[bool] = False

    body: Size = Field(default=10 * _MIB, ge=0, description="Bytes of a request's body; 0 is no limit.")
    headers: RequestHeaders | None = Field(default=None, description="Size and number of request headers, for the whole gateway.")
    url: Size | None = Field(
        default=None, ge=256, le=32 * _KIB, description="Bytes of path and query, for the whole gateway; 8 KiB by default."
    )
    timeouts: Timeouts | None = Field(default=None, description="How long a caller may take, for the whole gateway.")
    concurrency: Concurrency | None = Field(default=None, description="How much the upstream is given at once.")
    security_headers: dict[FreeHeader, str] = Field(
        default=_SAFE, description="Headers added to answers that don't have them; nosniff is set always."
    )
    hide: Annotated[tuple[FreeHeader, ...], AsTuple] = Field(
        default=_IDENTIFYING, description="Headers of the upstream that callers don't see."
    )

    @field_validator("security_headers")
    @classmethod
    def _values(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not text or not text.isascii() or not text.isprintable() or text != text.strip() or len(text) > 4096:
                raise ValueError(f"the value of {name!r} isn't 1 to 4096 printable characters of ASCII")
        return value

    @classmethod
    def fallback(cls) -> "Protect":
        return _DEFAULT

    def faults(self, schema: Schema, files: Mapping[str, bytes]) -> Iterator[Fault]:
        target = self.target
        if target.api or target.paths or target.methods or target.exclude:
            for field in _ONLY_GATEWAY:
                if getattr(self, field) is not None:
                    hint = "Say it in a Protect without a target."
                    yield Fault((field,), "protect-gateway-wide", f"{field} holds before the gateway knows which API is called", hint)
        if (target.paths or target.methods) and self.concurrency is not None:
            hint = "Say it in a Protect whose target has neither paths nor methods."
            yield Fault(("concurrency",), "protect-by-path", "concurrency is an API's, not a path's", hint)

    def compile(self, place: Place) -> Fragment:
        limit = message(f"{_HTTP}.body_size_limit.v3.BodySizeLimit", max_request_bytes={"value": self.body})
        whole_api = not (self.target.paths or self.target.methods)
        return Fragment(
            body_filters=(typed(place.policy, limit),) if self.body else (),
            response_headers=tuple(_added(name, value) for name, value in self.security_headers.items()),
            hidden_response_headers=self.hide,
            cluster=_breakers(self.concurrency or Concurrency()) if whole_api else {},
        )

    def connections(self) -> dict[str, Any]:
        """Fields of Envoy's connection manager, of the gateway-wide policy."""
        headers, timeouts = self.headers or RequestHeaders(), self.timeouts or Timeouts()
        return {
            "request_headers_timeout": timeouts.headers,
            "request_timeout": timeouts.request,
            "max_request_headers_kb": {"value": -(-headers.size // _KIB)},
            "common_http_protocol_options": {
                "headers_with_underscores_action": "REJECT_REQUEST",
                "idle_timeout": timeouts.idle,
                "max_headers_count": {"value": headers.count},
            },
        }

    @property
    def longest_url(self) -> int:
        """Bytes of path and query, of the gateway-wide policy."""
        return 8 * _KIB if self.url is None else self.url


_DEFAULT = Protect(name="default")


def _added(name: str, value: str) -> Any:
    action = "OVERWRITE_IF_EXISTS_OR_ADD" if _SAFE.get(name) == value == "nosniff" else "ADD_IF_ABSENT"
    escaped = {"key": name, "value": value.replace("%", "%%")}
    return message("envoy.config.core.v3.HeaderValueOption", header=escaped, append_action=action)


def _breakers(most: Concurrency) -> dict[str, Any]:
    threshold = {
        "max_requests": {"value": most.requests},
        "max_connections": {"value": most.connections},
        "max_pending_requests": {"value": most.pending},
    }
    return {"circuit_breakers": {"thresholds": [threshold]}}
