"""Consumer and Issuer: who may call, and whose tokens are believed."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from bartizan.lib.urls import http_url, is_private
from bartizan.model.fields import AsTuple, Declared, Duration, Moment, Name, SecretRef
from bartizan.model.named import Use, sent_to

Attribute = str | int | float | bool | tuple[str, ...]
_ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


class ClientCertificate(Declared):
    """A client certificate that means this consumer: the issuing CA and a name in the certificate, together."""

    ca: Name = Field(description="The CA as the listener's Tls policy calls it.")
    san: str = Field(min_length=1, max_length=256, description="A URI or DNS subject alternative name, such as spiffe://corp/acme.")


class Credential(Declared):
    """One way this consumer may prove who it is."""

    api_key: SecretRef | None = Field(
        default=None, description="An API key that exists already, by reference. `bartizan key new` makes new ones."
    )
    certificate: ClientCertificate | None = Field(default=None, description="A client certificate.")
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        default=None, description="SHA-256 of a client certificate, in hex."
    )

    @model_validator(mode="after")
    def _one(self) -> "Credential":
        if sum(x is not None for x in (self.api_key, self.certificate, self.fingerprint)) != 1:
            raise ValueError("give one of api_key, certificate and fingerprint")
        return self


class Consumer(Declared):
    """Someone who calls: a partner, a team, a service. Live data: an edit holds within a second and isn't a revision."""

    kind: Literal["Consumer"] = "Consumer"
    name: Name = Field(description="The consumer's id: `principal.id` in conditions.")
    attributes: dict[str, Any] = Field(default_factory=dict, description="Values of the attributes that the Gateway declares.")
    groups: Annotated[tuple[str, ...], AsTuple] = Field(default=(), description="Groups it belongs to: `principal.groups`.")
    credentials: Annotated[tuple[Credential, ...], AsTuple] = Field(default=(), description="Credentials it brings along.")
    disabled: bool = Field(default=False, description="Whether all its credentials are refused.")
    starts: Moment | None = Field(default=None, description="From when on its credentials count, such as 2026-12-01T00:00:00Z.")
    expires: Moment | None = Field(default=None, description="From when on all its credentials are refused.")

    @model_validator(mode="after")
    def _in_order(self) -> "Consumer":
        if self.starts is not None and self.expires is not None and self.starts >= self.expires:
            raise ValueError("a consumer expires after it starts")
        return self

    def counts(self, at: datetime | None = None) -> bool:
        """Whether its credentials count then; without a time, whether they ever do."""
        if self.disabled or at is None:
            return not self.disabled
        return (self.starts is None or self.starts <= at) and (self.expires is None or at < self.expires)


class Introspection(Declared):
    """Where an issuer is asked about a token (RFC 7662), and as whom."""

    url: str = Field(max_length=2048, description="The issuer's introspection endpoint: an https:// URL.")
    client_id: str = Field(pattern=r"^[\x20-\x7e]{1,256}$", description="As whom the gateway asks.")
    client_secret: SecretRef = Field(
        description="The secret that goes with it: {secret: NAME}, granted for the endpoint, {env: NAME} or {file: PATH}."
    )
    authentication: Literal["basic", "post"] = Field(
        default="basic", description="How both are sent: in a header (client_secret_basic), or in the form (client_secret_post)."
    )
    cache: Duration = Field(
        default="30s",
        validate_default=True,
        description="How long an answer counts, at most until the token expires: a token that is revoked counts so long. Up to 10m.",
    )
    timeout: Duration = Field(default="2s", validate_default=True, description="How long an answer may take, up to 4s.")
    per_second: int = Field(default=100, ge=1, le=10_000, description="How many tokens each node asks about in a second, at most.")
    prefix: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9._~+/-]{0,64}$",
        description="What its tokens begin with. A token that begins so is asked about at no other issuer.",
    )

    @field_validator("url")
    @classmethod
    def _askable(cls, value: str) -> str:
        if not is_private(value) or "#" in value:
            raise ValueError(
                "an introspection endpoint is an https:// URL without a fragment, a user or a password; http:// only on loopback"
            )
        return value

    @model_validator(mode="after")
    def _bounded(self) -> "Introspection":
        if self.cache > timedelta(minutes=10):
            raise ValueError("`cache` is 10m at most: so long a revoked token counts")
        if not timedelta(milliseconds=50) <= self.timeout <= timedelta(seconds=4):
            raise ValueError("`timeout` is between 50ms and 4s")
        return self

    @property
    def use(self) -> Use:
        """What the secret is used for: it is sent to the endpoint."""
        return sent_to(self.url)


class Issuer(Declared):
    """An authorization server whose tokens are believed."""

    kind: Literal["Issuer"] = "Issuer"
    name: Name = Field(description="What policies call this issuer.")
    issuer: str = Field(min_length=1, max_length=512, description="The `iss` claim of its tokens, exactly.")
    audiences: Annotated[tuple[str, ...], AsTuple] = Field(min_length=1, description="A token must be meant for one of these (`aud`).")
    jwks: str | SecretRef | dict[str, Any] | None = Field(
        default=None,
        description="Its public keys: a URL, {file: PATH}, {secret: NAME}, or a JWK Set inline (RFC 7517). "
        "By default they are where the issuer's own metadata says (OpenID Connect Discovery, RFC 8414); with `introspection`, it has none.",
    )
    introspection: Introspection | None = Field(
        default=None,
        description="Where it is asked about tokens that tell nothing themselves (RFC 7662): opaque ones, and without `jwks` all of its "
        "tokens. A process beside Envoy does so, and keeps for `cache` what it learned.",
    )
    algorithms: Annotated[tuple[str, ...], AsTuple] = Field(
        default=("RS256", "ES256"), min_length=1, description="Signature algorithms allowed."
    )
    types: Annotated[tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$&^_.+/-]{1,64}$")], ...], AsTuple] = Field(
        default=(),
        description="The types (`typ`) that its signed tokens may have, such as at+jwt (RFC 9068); any if none is named.",
    )
    attributes: dict[str, str] = Field(default_factory=dict, description="Attributes taken from claims: attribute, then the claim's name.")
    groups: str | None = Field(default=None, description="The claim that holds the groups.")
    clock_skew: Duration = Field(default="30s", validate_default=True, description="How far clocks may be apart.")

    @field_validator("issuer")
    @classmethod
    def _separable(cls, value: str) -> str:
        # A token's identity is `issuer|sub`, a certificate's is `ca|san`: neither two issuers nor an issuer and a CA may share one.
        if "|" in value or not set(value) & set(":./"):
            raise ValueError("an issuer is a URI or a host, such as https://idp.example.com, and holds no '|'")
        return value

    @field_validator("algorithms")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in _ASYMMETRIC:
                raise ValueError(
                    f"{name!r} is not allowed: choose among {', '.join(_ASYMMETRIC)}; `none` and shared secrets (HS256) never are"
                )
        return value

    @model_validator(mode="after")
    def _discoverable(self) -> "Issuer":
        if self.types and not self.has_keys:
            raise ValueError("`types` are those of signed tokens, and without jwks this issuer has none")
        if self.jwks is None and self.has_keys and (http_url(self.issuer) is None or "?" in self.issuer or "#" in self.issuer):
            raise ValueError("without jwks its keys are found by its metadata, so the issuer has to be an https:// URL")
        return self

    @property
    def has_keys(self) -> bool:
        """Whether there are keys by which Envoy checks its tokens itself."""
        return self.jwks is not None or self.introspection is None

    @field_validator("jwks")
    @classmethod
    def _source(cls, value: Any) -> Any:
        if isinstance(value, str) and http_url(value) is None:
            raise ValueError("jwks is an https:// URL without a password, {file: PATH}, {secret: NAME} or a JWK Set")
        if isinstance(value, dict) and not isinstance(value.get("keys"), list):
            raise ValueError("a JWK Set is {keys: [...]}")
        return value
