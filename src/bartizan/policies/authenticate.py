"""Demands a credential: an API key, a token of an issuer, or a client certificate.

```yaml
kind: Authenticate
name: orders-callers
target: {api: orders, except: [/orders/health]}
any: [api_key, {jwt: corp}]
```

A request passes if it carries exactly one credential, that credential is good, and its kind is in `any`. A wrong credential is
refused even beside a right one, and so are doubled ones. Unknown, expired and revoked look alike to the caller: 401.
A token with `bound: certificate` only counts together with the client certificate that it is bound to: whoever steals it has nothing. Where
a policy asks for that, a certificate beside a token is no second credential, and a bound token without its certificate counts nowhere.
Keys and tokens are taken out of the request before the upstream sees it. Several `Authenticate` on one route must all be satisfied.
In shadow it doesn't authenticate, so the route stays closed unless another policy opens it.
With `bound: dpop` each request brings a proof, made for it alone, that the caller has the key which the token is bound to. As soon as one
policy asks for that, a token that is bound to a key counts nowhere without its proof.
It runs in Envoy: some 10 microseconds for a key or a cached token and what is known of its owner, 60 for a token that was never seen.
Proofs (`dpop`) are checked, and issuers with `introspection` asked about opaque tokens, by a process of Python beside Envoy: some 30
microseconds for a token about which its issuer was asked lately, 170 for a proof, and 80 of Envoy's for asking it. See the guide to tokens.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from bartizan.envoy.matching import all_of, any_of, metadata, principal
from bartizan.envoy.names import PRINCIPAL
from bartizan.model.fields import AsTuple, Declared, Name
from bartizan.model.policy import Policy
from bartizan.model.snapshot import Snapshot
from bartizan.policies._kind import Fault, Fragment, Phase, Place, PolicyKind, Reference


class Method(Declared):
    """One kind of credential."""

    api_key: bool = Field(default=False, description="An API key of a consumer.")
    jwt: Name | None = Field(default=None, description="A token (RFC 7519, RFC 6750) of this Issuer.")
    bound: Literal["certificate", "dpop"] | None = Field(
        default=None,
        description="With jwt: the token has to be bound to the client certificate that comes with it (RFC 8705), "
        "or to a key of which each request brings a proof (DPoP, RFC 9449).",
    )
    mtls: Name | None = Field(
        default=None, description="A client certificate (RFC 8446) of this CA, as the listener's Tls policy names it."
    )

    @model_validator(mode="after")
    def _one(self) -> "Method":
        if sum((self.api_key, self.jwt is not None, self.mtls is not None)) != 1:
            raise ValueError("a way to authenticate is api_key, {jwt: ISSUER} or {mtls: CA}")
        if self.bound is not None and self.jwt is None:
            raise ValueError("only a token can be bound: `bound` goes with jwt")
        return self

    @property
    def identity(self) -> tuple[str, str]:
        """What makes two ways the same."""
        return ("api_key", "") if self.api_key else ("jwt", self.jwt) if self.jwt else ("mtls", self.mtls or "")


def bindings(policies: Iterable[Policy]) -> frozenset[str]:
    """What tokens have to be bound to somewhere: `certificate`, `dpop`."""
    methods = (method for policy in policies if isinstance(policy, Authenticate) for method in policy.any)
    return frozenset(method.bound for method in methods if method.bound is not None)


def _method(value: Any) -> Any:
    return {"api_key": True} if value == "api_key" else value


class Authenticate(PolicyKind):
    """Demand a credential."""

    kind: Literal["Authenticate"] = "Authenticate"
    phase: ClassVar[Phase] = Phase.AUTHENTICATION

    any: Annotated[tuple[Annotated[Method, BeforeValidator(_method, json_schema_input_type=Literal["api_key"] | Method)], ...], AsTuple] = (
        Field(min_length=1, description="The ways to authenticate, of which one must be used: api_key, {jwt: ISSUER}, {mtls: CA}.")
    )

    def compile(self, place: Place) -> Fragment:
        return Fragment(permit=any_of([_accepted(method) for method in self.any]))

    def misfits(self, snapshot: Snapshot) -> Iterator[Fault]:
        beginnings: dict[str, str] = {}
        for i, method in enumerate(self.any):
            issuer = snapshot.issuers.get(method.jwt or "")
            if issuer is not None and issuer.introspection is not None:
                other = beginnings.setdefault(issuer.introspection.prefix, issuer.name)
                if other != issuer.name:
                    told = f"both {other!r} and {issuer.name!r} are asked about tokens, and nothing tells whose a token is"
                    hint = "Give one of them `introspection.prefix`: what its tokens begin with."
                    yield Fault(("any", i, "jwt"), "issuer-ambiguous", told, hint)

    def references(self) -> Iterator[Reference]:
        for i, method in enumerate(self.any):
            if method.jwt is not None:
                yield Reference(("any", i, "jwt"), "Issuer", method.jwt)
            if method.mtls is not None:
                yield Reference(("any", i, "mtls"), "CA", method.mtls)


def _accepted(method: Method) -> Any:
    # An id that is too long isn't kept by Envoy: who has none isn't anybody, and would escape limits.
    known = metadata(PRINCIPAL, ("id",), present_match=True)
    if method.jwt is not None:
        bound = [principal("bound", method.bound)] if method.bound is not None else []
        return all_of([known, principal("method", "jwt"), principal("issuer", method.jwt), *bound])
    if method.mtls is not None:
        return all_of([known, principal("method", "mtls"), principal("issuer", method.mtls)])
    return all_of([known, principal("method", "api_key")])
