"""Demands that the caller proved who they are strongly enough, and recently enough, for what they want: step-up authentication.

```yaml
kind: RequireFactor
name: second-factor-for-refunds
target: {api: orders, methods: [POST], paths: [/orders/refunds]}
acr: [phr, phrh]
within: 10m
when: request.size > 10000
```

A request passes if its token tells one of `acr`, all of `amr`, and a login (`auth_time`) that is no older than `within`; those that are
left out aren't asked for. With `when`, only requests for which that condition isn't certainly false need it.
Any other is refused with 401 and the challenge of RFC 9470 (`error="insufficient_user_authentication"`, `acr_values`, `max_age`), which
tells the client to let the user log in again, more strongly; then the same request passes.

What a token tells becomes an attribute as any other claim: declare `acr: string`, `amr: list` and `auth_time: number` in the Gateway's
`attributes`, and name the claims in the Issuer's. Only tokens can tell a factor: an API key or a client certificate never does, whatever
attributes its consumer has. It is asked behind `Authorize`, so that nobody is sent to log in again for what they may not do anyway.
In shadow the verdict is only recorded.
It runs in Envoy: a third of a microsecond for `acr` and `amr`, 3 more for `within` and for what only CEL can say in `when`.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from bartizan.condition import Schema, parse
from bartizan.envoy.filters import challenge
from bartizan.envoy.matching import any_of
from bartizan.model.fields import AsTuple, Duration
from bartizan.model.snapshot import Snapshot
from bartizan.policies._kind import Fault, Fragment, Phase, Place, PolicyKind
from bartizan.policies.authorize import condition_faults

_TYPES: Mapping[str, tuple[str, ...]] = {"acr": ("string",), "amr": ("list", "words"), "auth_time": ("number",)}
_SKEW_S = 60
"""A login may lie so far in the future: clocks differ."""
Value = Annotated[str, Field(pattern=r"^[!#$&*-\[\]-~]{1,128}$")]


class RequireFactor(PolicyKind):
    """Demand a stronger or a more recent login."""

    kind: Literal["RequireFactor"] = "RequireFactor"
    phase: ClassVar[Phase] = Phase.AUTHORIZATION

    acr: Annotated[tuple[Value, ...], AsTuple] = Field(
        default=(), description="Authentication context classes (`acr`, OpenID Connect Core), of which the token tells one; the best first."
    )
    amr: Annotated[tuple[Value, ...], AsTuple] = Field(
        default=(), description="Authentication methods (`amr`, RFC 8176) that the token tells, all of them."
    )
    within: Duration | None = Field(default=None, description="How long ago the user logged in (`auth_time`) at most.")
    when: str | None = Field(
        default=None,
        min_length=1,
        max_length=10_000,
        description="A CEL condition: requests for which it is certainly false need none of it.",
    )

    @field_validator("within")
    @classmethod
    def _whole(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and (value < timedelta(seconds=1) or value % timedelta(seconds=1)):
            raise ValueError("`within` is in whole seconds, such as 10m")
        return value

    @model_validator(mode="after")
    def _something(self) -> "RequireFactor":
        if not (self.acr or self.amr or self.within):
            raise ValueError("give acr, amr or within: what is demanded")
        return self

    def compile(self, place: Place) -> Fragment:
        told = parse(self._condition(), place.schema).predicate(place.sources)
        needless = [parse(self.when, place.schema).denial(place.sources)] if self.when is not None else []
        return Fragment(permit=any_of([*needless, told]), response_headers=(challenge(place.policy, self._challenge(place.gateway.name)),))

    def faults(self, schema: Schema, files: Mapping[str, bytes]) -> Iterator[Fault]:
        for name in self._needed():
            declared = schema.attributes.get(name)
            if declared not in _TYPES[name]:
                what = "declares no attribute" if declared is None else f"declares as a {declared} the attribute"
                hint = f"Declare it in the Gateway's attributes: {{{name}: {_TYPES[name][0]}}}."
                yield Fault((_FIELDS[name],), "factor-undeclared", f"the Gateway {what} {name!r}, which is asked for here", hint)
        if self.when is not None:
            yield from condition_faults(self.when, schema, ("when",))

    def misfits(self, snapshot: Snapshot) -> Iterator[Fault]:
        for name in self._needed():
            if not any(name in issuer.attributes for issuer in snapshot.issuers.values()):
                hint = f"Name the claim in the attributes of an Issuer: {{{name}: {name}}}."
                yield Fault(
                    (_FIELDS[name],), "factor-untold", f"no Issuer's tokens tell the attribute {name!r}, so nobody could pass", hint
                )

    def _needed(self) -> list[str]:
        return [name for name, field in _FIELDS.items() if getattr(self, field)]

    def _condition(self) -> str:
        parts = ['principal.method == "jwt"']
        if self.acr:
            parts.append(f"principal.acr in {json.dumps(self.acr)}")
        parts += [f"{json.dumps(each)} in principal.amr" for each in self.amr]
        if self.within is not None:
            ago = "now.since(principal.auth_time)"
            parts += [f"{ago} <= {self._seconds(self.within)}", f"{ago} >= -{_SKEW_S}"]
        return " && ".join(parts)

    def _challenge(self, realm: str) -> str:
        told = {"realm": realm, "error": "insufficient_user_authentication", "acr_values": " ".join(self.acr)}
        if self.within is not None:
            told["max_age"] = str(self._seconds(self.within))
        return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in told.items() if value)

    @staticmethod
    def _seconds(of: timedelta) -> int:
        return int(of.total_seconds())


_FIELDS = {"acr": "acr", "amr": "amr", "auth_time": "within"}
"""Attributes, and the field that asks for each."""
