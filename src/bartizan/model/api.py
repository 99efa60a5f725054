"""Api: what is behind the gateway, where callers find it, and how it is reached."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator

from bartizan.model.fields import AsTuple, Declared, Duration, Host, Method, SecretRef, UrlPath, own_header


class Endpoint(Declared):
    """One server of the upstream."""

    url: str = Field(description="Scheme, host and port, such as http://10.0.0.7:9101 or https://orders.internal.")
    weight: int = Field(default=1, ge=1, le=128, description="Its share of the traffic among the endpoints.")

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
            raise ValueError("an upstream is http:// or https:// with a host and perhaps a port, and no path")
        return value

    @property
    def tls(self) -> bool:
        """Whether it is reached by TLS."""
        return self.url.startswith("https:")

    @property
    def host(self) -> str:
        """Host name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Port, the scheme's own when none is given."""
        return urlsplit(self.url).port or (443 if self.tls else 80)


class HealthCheck(Declared):
    """How endpoints are watched: by requests of the gateway's own."""

    path: UrlPath = Field(default="/healthz", description="The path that answers 200 when all is well.")
    interval: Duration = Field(default="5s", validate_default=True, description="Time between two checks.")
    timeout: Duration = Field(default="1s", validate_default=True, description="A check that takes longer has failed.")
    unhealthy_after: int = Field(default=3, ge=1, description="Failed checks in a row that take an endpoint out.")
    healthy_after: int = Field(default=2, ge=1, description="Good checks in a row that bring it back.")


class Retries(Declared):
    """When a failed request is sent again."""

    attempts: int = Field(default=0, ge=0, le=5, description="How often; 0 is never.")
    on: Annotated[tuple[Literal["connect-failure", "refused-stream", "reset", "gateway-error", "unavailable"], ...], AsTuple] = Field(
        default=("connect-failure", "refused-stream"), description="The failures that are tried again."
    )
    per_try_timeout: Duration | None = Field(default=None, description="The time one attempt may take.")


class UpstreamTls(Declared):
    """TLS towards the upstream. The certificate is always verified."""

    ca: str | None = Field(default=None, description="A file of CA certificates; by default the system's.")
    server_name: str | None = Field(default=None, description="The name expected in the certificate; by default the endpoint's host.")
    certificate: str | None = Field(default=None, description="A file with the gateway's own client certificate.")
    private_key: SecretRef | None = Field(
        default=None, description="The client certificate's private key. A named secret holds both: the certificate, then its key (PEM)."
    )
    aes_only: bool = Field(default=True, description="Only AES-GCM cipher suites, in TLS 1.2 and 1.3.")

    @model_validator(mode="after")
    def _one_pair(self) -> "UpstreamTls":
        if self.certificate is not None and self.private_key is not None and self.private_key.secret is not None:
            raise ValueError("a named secret holds the certificate and its key together: leave `certificate` out")
        return self


class Upstream(Declared):
    """The servers behind an API."""

    endpoints: Annotated[tuple[Endpoint, ...], AsTuple] = Field(min_length=1, description="The servers.")
    protocol: Literal["http/1.1", "h2", "auto"] = Field(
        default="http/1.1", description="What they speak: gRPC needs h2; auto negotiates by TLS."
    )
    health_check: HealthCheck | None = Field(default=None, description="How they are watched.")
    tls: UpstreamTls = Field(default=UpstreamTls(), description="TLS towards them.")
    connect_timeout: Duration = Field(default="2s", validate_default=True, description="The time a connection may take.")

    @model_validator(mode="after")
    def _one_scheme(self) -> "Upstream":
        if len({endpoint.tls for endpoint in self.endpoints}) > 1:
            raise ValueError("the endpoints of one upstream are all http:// or all https://")
        return self


def _upstream(value: Any) -> Any:
    """`upstream: http://host:port` is short for one endpoint; a list is several."""
    if isinstance(value, str):
        return {"endpoints": [{"url": value}]}
    if isinstance(value, list):
        return {"endpoints": [{"url": item} if isinstance(item, str) else item for item in value]}
    return value


class Api(Declared):
    """An API: hosts and paths in front, an upstream behind."""

    kind: Literal["Api"] = "Api"
    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", description="The API's name, which policies target.")
    team: str | None = Field(default=None, description="The team that owns it; by default the gateway's owner.")
    hosts: Annotated[tuple[Host, ...], AsTuple] = Field(default=("*",), min_length=1, description="Hosts it answers on; by default any.")
    paths: Annotated[tuple[UrlPath, ...], AsTuple] = Field(min_length=1, description="Path prefixes, in whole segments.")
    methods: Annotated[tuple[Method, ...], AsTuple] = Field(default=(), description="Methods it answers; by default all.")
    upstream: Annotated[Upstream, BeforeValidator(_upstream, json_schema_input_type=str | list[str] | Upstream)] = Field(
        description="Where it is."
    )
    timeout: Duration = Field(
        default="30s", validate_default=True, description="The time a whole answer may take; 0s is no limit, for streams."
    )
    idle_timeout: Duration = Field(
        default="5m", validate_default=True, description="A stream on which nothing moves for this long is ended."
    )
    retries: Retries = Field(default=Retries(), description="When a failed request is sent again.")
    websocket: bool = Field(default=False, description="Whether WebSocket upgrades pass.")
    strip_path: bool = Field(default=False, description="Whether the API's path prefix is taken off before the upstream sees the path.")
    identity_headers: dict[str, str] = Field(
        default_factory=dict,
        description="Headers that tell the upstream who calls: names, each with `id`, `method`, `groups` or an attribute.",
    )
    forward_credentials: bool = Field(default=False, description="Whether a bearer token is passed on to the upstream. Keys never are.")

    @field_validator("identity_headers")
    @classmethod
    def _headers(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            own_header(name)
        return value
