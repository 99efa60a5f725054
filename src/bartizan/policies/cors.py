"""Tells browsers which other origins may call an API (CORS, Fetch Standard).

```yaml
kind: Cors
name: orders-in-browsers
target: {api: orders}
origins: [https://shop.example.com, "https://*.partners.example.com"]
methods: [GET, POST]
headers: [content-type, x-api-key]
credentials: true
max_age: 10m
```

An origin is exact, or `https://*.example.com` for every name below example.com (not example.com itself), or `*` for all; with
`credentials` there is no `*`. Preflights are answered by the gateway before anyone is asked who they are, also on routes that demand a
credential; one from any other origin is answered without permission, so the browser doesn't send its request, and never reaches the
upstream. Refusals carry CORS headers too, so that a page of an allowed origin can read why it was refused. What the upstream itself says on
CORS is taken out: this policy alone decides.

CORS restricts browsers, nobody else: it is no substitute for `Authenticate`. The policy with the nearest target applies. It covers paths,
never single methods, because a preflight is an OPTIONS request. It can't be put in shadow: nobody would see its verdict.
It runs in Envoy: under a microsecond.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from bartizan.condition import Schema
from bartizan.envoy import message, names, packed
from bartizan.model.fields import AsTuple, Duration
from bartizan.model.fields import Method as HttpMethod
from bartizan.policies._kind import Fault, Fragment, Phase, Place, PolicyKind

_HOST = r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_ORIGIN = re.compile(rf"https?://(?:\*\.)?(?:{_HOST}|\[[0-9a-f:.]+\])(?::[1-9][0-9]{{0,4}})?")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'+.^_`|~-]{1,64}")
_LONGEST_CACHED = 86_400  # seconds; no browser keeps an answer to a preflight for longer


def _origin(value: str) -> str:
    if value != "*" and not _ORIGIN.fullmatch(value):
        raise ValueError("an origin is https://shop.example.com, https://*.example.com or *: lower case, a port if it has one, no path")
    if value.startswith("http://*."):
        raise ValueError("a wildcard stands for https:// origins only: whoever sits on the network can be any http:// origin")
    if value != "*" and (value.partition(":")[0], urlsplit(value).port) in {("http", 80), ("https", 443)}:
        raise ValueError("browsers leave the scheme's own port out: write it without the port")
    if value.startswith("https://*.") and "." not in value.removeprefix("https://*."):
        raise ValueError("a wildcard for a whole top-level domain lets everyone in: write at least two labels behind it")
    return value


def _token(value: str) -> str:
    if value != "*" and not _TOKEN.fullmatch(value):
        raise ValueError("a header's name holds letters, digits and '-'")
    return value.lower()


def _method(value: str) -> str:
    if value in {"CONNECT", "TRACE", "TRACK"}:
        raise ValueError(f"browsers never send {value}")
    return value


Origin = Annotated[str, AfterValidator(_origin)]
Token = Annotated[str, AfterValidator(_token)]


class Cors(PolicyKind):
    """Tell browsers which origins may call."""

    kind: Literal["Cors"] = "Cors"
    phase: ClassVar[Phase] = Phase.BEFORE_AUTHENTICATION
    nearest: ClassVar[bool] = True
    may_shadow: ClassVar[bool] = False

    origins: Annotated[tuple[Origin, ...], AsTuple] = Field(
        min_length=1, max_length=200, description="Origins let in: https://shop.example.com, https://*.example.com, or * for all."
    )
    methods: Annotated[tuple[Annotated[HttpMethod, AfterValidator(_method)], ...], AsTuple] = Field(
        default=("GET", "HEAD", "POST"), min_length=1, description="Methods that pages may use."
    )
    headers: Annotated[tuple[Token, ...], AsTuple] = Field(
        default=(), description="Request headers that pages may send beside the harmless ones, such as content-type or authorization."
    )
    expose: Annotated[tuple[Token, ...], AsTuple] = Field(
        default=(), description="Response headers that pages may read beside the harmless ones, such as x-request-id or retry-after."
    )
    credentials: bool = Field(default=False, description="Whether pages may send cookies and client certificates. Never together with *.")
    max_age: Duration = Field(default="10m", validate_default=True, description="How long a browser remembers the answer to a preflight.")

    @model_validator(mode="after")
    def _no_wildcard_with_credentials(self) -> "Cors":
        for field in ("origins", "headers", "expose"):
            if self.credentials and "*" in getattr(self, field):
                raise ValueError(f"with credentials, {field} can't be *: name them")
        if "*" in self.origins and len(self.origins) > 1:
            raise ValueError("* stands for all origins: write it alone")
        if not 0 <= self.max_age.total_seconds() <= _LONGEST_CACHED:
            raise ValueError("max_age is at most 1d")
        return self

    def faults(self, schema: Schema, files: Mapping[str, bytes]) -> Iterator[Fault]:
        if self.target.methods:
            hint = "Take the methods out of the target, and name in `methods` those that pages may use."
            yield Fault(("target", "methods"), "cors-by-method", "a Cors covers all methods: a preflight is an OPTIONS request", hint)

    def compile(self, place: Place) -> Fragment:
        policy = packed(
            "envoy.extensions.filters.http.cors.v3.CorsPolicy",
            allow_origin_string_match=[_matcher(origin) for origin in self.origins],
            allow_methods=", ".join(self.methods),
            allow_headers=", ".join(self.headers),
            expose_headers=", ".join(self.expose),
            max_age=str(int(self.max_age.total_seconds())),
            allow_credentials={"value": self.credentials},
            # Answered here, without permission: what isn't allowed shall not knock at the upstream.
            forward_not_matching_preflights={"value": False},
        )
        vary = message("envoy.config.core.v3.HeaderValueOption", header={"key": "vary", "value": "Origin"})
        said_upstream = ("allow-origin", "allow-credentials", "expose-headers", "allow-methods", "allow-headers", "max-age")
        return Fragment(
            per_filter={names.CORS: policy},
            response_headers=(vary,),
            hidden_response_headers=tuple(f"access-control-{name}" for name in said_upstream),
        )


def _matcher(origin: str) -> dict[str, Any]:
    if not origin.startswith("https://*."):
        return {"exact": origin}
    pattern = rf"https://{_HOST}\.{re.escape(origin.removeprefix('https://*.'))}"
    return {"safe_regex": {"regex": pattern}}
