"""Limits how often a caller may call.

```yaml
kind: RateLimit
name: by-plan
target: {api: orders}
per: principal.id
tiers:
  - {when: principal.plan == "gold", windows: [100/second, 1000000/day]}
  - {windows: [10/second]}
```

`per` says who shares a bucket: `principal.id`, `principal.key`, another `principal` attribute, `source.ip` (IPv6 by /64),
`request.method`, `request.headers["name"]`, `route`, or a list of them. Callers for whom it is missing share one bucket.
The first tier whose `when` holds applies; all of its windows must have room. A window `100/second` lets 100 come at once
and refills at 100 a second; `burst` changes how many may come at once. Refused callers get 429 with `Retry-After` and
`X-RateLimit` headers.

Buckets are counted in each Envoy, exactly across its workers. They live outside revisions: an edit of anything else keeps
them as full as they were; an edit of a limit refills the buckets of the policies in the same quarter (policies are spread
over four by their names). In shadow it counts and never refuses. It runs in Envoy: 2 microseconds.
"""

import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator

from bartizan.condition import Schema, Sources, choice, parse
from bartizan.envoy import message, packed
from bartizan.envoy.filters import noted
from bartizan.envoy.names import LIMIT_SHARDS, PRINCIPAL
from bartizan.model.fields import AsTuple, Declared
from bartizan.policies._kind import Bucket, Fault, Fragment, Phase, Place, PolicyKind
from bartizan.policies.authorize import condition_faults

_WINDOW = re.compile(r"([1-9][0-9]{0,9})/(second|minute|hour|day)")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_HEADER = re.compile(r"request\.headers\[[\"']([A-Za-z0-9-]{1,64})[\"']\]")
_ACTION = "envoy.config.route.v3.RateLimit.Action"
_ABSENT = "-"


class Tier(Declared):
    """Limits for those for whom `when` holds."""

    when: str | None = Field(
        default=None, max_length=10_000, description="A CEL condition; without it the tier is for all that came so far."
    )
    windows: Annotated[tuple[Annotated[str, Field(pattern=_WINDOW.pattern)], ...], AsTuple] = Field(
        min_length=1, max_length=8, description="Limits such as 100/second or 1000000/day; all must hold."
    )
    burst: int | None = Field(default=None, ge=1, description="How many may come at once within the first window; by default its number.")

    def sizes(self) -> Iterator[tuple[int, int, int]]:
        """Each window's count, seconds and burst."""
        for i, window in enumerate(self.windows):
            count, _, unit = window.partition("/")
            yield int(count), _SECONDS[unit], self.burst if i == 0 and self.burst else int(count)


def _strings(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


class RateLimit(PolicyKind):
    """Limit how often a caller may call."""

    kind: Literal["RateLimit"] = "RateLimit"
    phase: ClassVar[Phase] = Phase.LIMITS

    per: Annotated[tuple[str, ...], BeforeValidator(_strings, json_schema_input_type=str | list[str])] = Field(
        min_length=1, max_length=4, description="Who shares a bucket."
    )
    tiers: Annotated[tuple[Tier, ...], AsTuple] = Field(min_length=1, max_length=20, description="The first whose `when` holds applies.")

    @field_validator("tiers")
    @classmethod
    def _last_is_for_all(cls, value: tuple[Tier, ...]) -> tuple[Tier, ...]:
        if value[-1].when is not None:
            raise ValueError("the last tier has a `when`: callers for whom none holds would have no limit; add a tier without `when`")
        if any(tier.when is None for tier in value[:-1]):
            raise ValueError("a tier without `when` is for all, so those after it never apply: put it last")
        return value

    def faults(self, schema: Schema, files: Mapping[str, bytes]) -> Iterator[Fault]:
        for i, tier in enumerate(self.tiers):
            if tier.when is not None:
                yield from condition_faults(tier.when, schema, ("tiers", i, "when"), whole_in_cel=True)
        for i, part in enumerate(self.per):
            if _action(part, "", schema) is None:
                known = ", ".join(["principal.id", "principal.key", *(f"principal.{name}" for name in schema.attributes)])
                hint = f'Choose among {known}, source.ip, request.method, request.headers["name"] and route.'
                yield Fault(("per", i), "limit-unknown-key", f"{part!r} can't share out buckets", hint)

    def compile(self, place: Place) -> Fragment:
        shard = zlib.crc32(self.name.encode()) % LIMIT_SHARDS
        limits, buckets = [], []
        for window in range(max(len(tier.windows) for tier in self.tiers)):
            fixed = (("limit", self.name), ("window", str(window)))
            limits += self._limits(place, shard, fixed)
        keys = tuple((_key(part), "") for part in self.per)
        for i, tier in enumerate(self.tiers):
            for window, (count, period, burst) in enumerate(tier.sizes()):
                entries = (("limit", self.name), ("window", str(window)), ("tier", str(i)), *keys)
                buckets.append(Bucket(entries, count, period, burst, shard, place.shadow))
        return Fragment(rate_limits=tuple(limits), buckets=tuple(buckets), filters=self._note(place))

    def _note(self, place: Place) -> tuple[Any, ...]:
        """Envoy doesn't tell which tier applied. A scratch instance, which is asked just that, has it noted."""
        conditions = [tier.when for tier in self.tiers if tier.when is not None]
        if place.sources == Sources() or not conditions:
            return ()
        return (noted(place.policy, [parse(one, place.schema).predicate(place.sources) for one in conditions]),)

    def _limits(self, place: Place, shard: int, fixed: tuple[tuple[str, str], ...]) -> list[Any]:
        head = [message(_ACTION, generic_key={"descriptor_key": key, "descriptor_value": value}) for key, value in fixed]
        head.append(self._tier(place))
        variants: list[list[Any]] = [head]
        for part in self.per:
            found = _action(part, place.path, place.schema) or ()
            variants = [[*actions, action] for actions in variants for action in found]
        headers = "OFF" if place.shadow else "DRAFT_VERSION_03"
        return [
            message("envoy.config.route.v3.RateLimit", stage={"value": shard}, actions=actions, x_ratelimit_option=headers)
            for actions in variants
        ]

    def _tier(self, place: Place) -> Any:
        if len(self.tiers) == 1:
            return message(_ACTION, generic_key={"descriptor_key": "tier", "descriptor_value": "0"})
        conditions = [parse(tier.when, place.schema, whole_in_cel=True) if tier.when else None for tier in self.tiers]
        expr = packed(
            "envoy.extensions.rate_limit_descriptors.expr.v3.Descriptor", descriptor_key="tier", parsed=choice(conditions, place.sources)
        )
        return message(_ACTION, extension={"name": "tier", "typed_config": expr})


def _key(part: str) -> str:
    return "masked_remote_address" if part == "source.ip" else part


def _action(part: str, path: str, schema: Schema) -> tuple[Any, ...] | None:
    """The actions that make the descriptor's entry for this part of `per`: exactly one of them yields it."""
    if part == "source.ip":
        return (message(_ACTION, masked_remote_address={"v4_prefix_mask_len": {"value": 32}, "v6_prefix_mask_len": {"value": 64}}),)
    if part == "route":
        return (message(_ACTION, generic_key={"descriptor_key": part, "descriptor_value": path or "/"}),)
    if part == "request.method":
        return (message(_ACTION, request_headers={"header_name": ":method", "descriptor_key": part}),)
    name = part.removeprefix("principal.")
    if part.startswith("principal.") and (name in {"id", "key", "method", "issuer"} or schema.attributes.get(name) == "string"):
        where = {"key": PRINCIPAL, "path": [{"key": name}]}
        return (message(_ACTION, metadata={"descriptor_key": part, "metadata_key": where, "default_value": _ABSENT}),)
    header = _HEADER.fullmatch(part)
    if header is None:
        return None
    present = {"name": header[1].lower(), "present_match": True}
    absent = {"descriptor_key": part, "descriptor_value": _ABSENT, "expect_match": {"value": False}, "headers": [present]}
    return (
        message(_ACTION, request_headers={"header_name": header[1].lower(), "descriptor_key": part}),
        message(_ACTION, header_value_match=absent),
    )
