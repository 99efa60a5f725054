"""Lets through only requests for which a condition holds: who calls, what, from where, when, with what.

```yaml
kind: Authorize
name: refunds-by-finance-in-office-hours
target: {api: orders, methods: [POST], paths: [/orders/refunds]}
allow: >
  principal.department == "finance"
  && now.between("08:00", "18:00", "Europe/Berlin")
```

`allow` is CEL. It is checked when it is written: an attribute that nobody declared, a wrong type or an unknown time zone is an error.
An attribute that is missing when a request comes makes the condition not hold, so the request is refused with 403.
All `Authorize` policies that cover a request must allow it. In shadow the verdict is only recorded.
It runs in Envoy: a third of a microsecond where native matchers can say it, 3 for what only CEL can.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from pydantic import Field

from bartizan.condition import ConditionError, Schema, parse
from bartizan.policies._kind import Fault, Fragment, Phase, Place, PolicyKind


class Authorize(PolicyKind):
    """Let through what a condition allows."""

    kind: Literal["Authorize"] = "Authorize"
    phase: ClassVar[Phase] = Phase.AUTHORIZATION

    allow: str = Field(min_length=1, max_length=10_000, description="A CEL condition; the request passes where it holds.")

    def compile(self, place: Place) -> Fragment:
        return Fragment(permit=parse(self.allow, place.schema).predicate(place.sources))

    def faults(self, schema: Schema, files: Mapping[str, bytes]) -> Iterator[Fault]:
        yield from condition_faults(self.allow, schema, ("allow",))


def condition_faults(text: str, schema: Schema, path: tuple[str | int, ...], *, whole_in_cel: bool = False) -> Iterator[Fault]:
    """What is wrong with a condition that stands at `path`; `whole_in_cel` where only CEL is asked."""
    try:
        parse(text, schema, whole_in_cel=whole_in_cel)
    except ConditionError as error:
        for mistake in error.mistakes:
            yield Fault(
                path, mistake.code, f"{mistake.message} (line {mistake.line}, column {mistake.column} of the condition)", mistake.hint
            )
