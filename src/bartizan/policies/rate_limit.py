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

`per` says who shares a bucket: `principal.id`, `principal.key`, another `principal` attribute that is a string, `source.ip`
(IPv6 by /64), `request.method`, `request.headers["name"]`, `route` (the longest path of the API, or of this policy, that the
request's path lies in), or a list of up to four of them. Callers for whom it is missing share one bucket; so do methods that
nobody knows, and headers that are empty or longer than 256 bytes.

The first tier whose `when` holds applies, and no other. All of its windows must have room. A window `100/second` lets 100 come
at once and then one each hundredth of a second; `burst` changes how many may come at once within the tier's first window. A call that
one window refuses still counts in those of the policy's windows that refill more slowly, and may count in other policies.

Refused callers get 429 with `Retry-After` in seconds. That answer and those that were served carry `X-RateLimit-Limit`,
`X-RateLimit-Remaining` and `X-RateLimit-Reset`: the seconds until there is room again, 0 while there is. Of several windows
they tell of the one that refused, or else of the one that refills most slowly; of several policies served answers may carry each header
up to four times.

Buckets are counted in each Envoy and for each of its listeners, exactly across its workers. They live outside revisions: an edit
of other policies, APIs and consumers keeps them as full as they were, and so does a restart of anything but Envoy. An edit of a
limit refills at most the buckets of the policies in the same quarter (policies are spread over four by their names). An edit that
changes a listener (most of the `Gateway`'s fields, `Tls`, a `Protect` of the whole gateway) refills all. Each tier's window remembers
200,000 callers; beyond that the one that was away longest is forgotten, so don't count per header alone where strangers may call.

In shadow it counts and never refuses, and callers see no headers of it; how often it would have refused stands in the metrics, for
its quarter. It runs in Envoy: some 5 microseconds.
"""

import itertools
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator

from bartizan.condition import Schema, Sources, choice, parse
from bartizan.envoy import message, packed
from bartizan.envoy.filters import noted
from bartizan.envoy.names import LIMIT_SHARDS, PRINCIPAL
from bartizan.model.fields import AsTuple, Declared
from bartizan.model.policy import within
from bartizan.policies._kind import Bucket, Fault, Fragment, Phase, Place, PolicyKind
from bartizan.policies.authorize import condition_faults

_WINDOW = r"^[1-9][0-9]{0,8}/(second|minute|hour|day)$"
_MOST = 999_999_999
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_HEADER = re.compile(r"request\.headers\[[\"']([A-Za-z0-9-]{1,64})[\"']\]")
_ACTION = "envoy.config.route.v3.RateLimit.Action"
_PER = ("per0", "per1", "per2", "per3")
_ABSENT = "-"
_LONGEST = 256
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One way in which a part of `per` tells buckets apart."""

    action: Any
    where: tuple[dict[str, Any], ...] = ()
    """Matchers of the headers of those requests for which it is this way."""


class Tier(Declared):
    """Limits for those for whom `when` holds."""

    when: str | None = Field(
        default=None, max_length=10_000, description="A CEL condition; without it the tier is for all that came so far."
    )
    windows: Annotated[tuple[Annotated[str, Field(pattern=_WINDOW)], ...], AsTuple] = Field(
        min_length=1, max_length=8, description="Limits such as 100/second or 1000000/day; all must hold."
    )
    burst: int | None = Field(
        default=None, ge=1, le=_MOST, description="How many may come at once within the first window; by default its number."
    )

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
        min_length=1, max_length=len(_PER), description="Who shares a bucket."
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
            if _entries("", part, schema) is None:
                known = ", ".join(["principal.id", "principal.key", *(f"principal.{name}" for name in schema.attributes)])
                hint = f'Choose among {known}, source.ip, request.method, request.headers["name"] and route.'
                yield Fault(("per", i), "limit-unknown-key", f"{part!r} can't share out buckets", hint)

    def steps(self) -> Iterator[tuple[str | None, str]]:
        shared = f"per {', '.join(self.per)}"
        for tier in self.tiers:
            burst = f" (burst {tier.burst})" if tier.burst is not None else ""
            yield tier.when, f"{' and '.join(tier.windows)}{burst} {shared}"

    def route(self, paths: Sequence[str], path: str) -> str:
        """What `route` is on this path of an API with these `paths`: none but this policy and the API have a say, so that no edit of
        another policy makes a new bucket."""
        declared = [one for one in (*paths, *self.target.paths) if within(path, one)]
        return max(declared, key=len, default=path)

    def compile(self, place: Place) -> Fragment:
        shard = zlib.crc32(self.name.encode()) % LIMIT_SHARDS
        windows = range(max(len(tier.windows) for tier in self.tiers))
        limits = tuple(one for window in windows for one in self._limits(place, shard, window))
        buckets = []
        for i, tier in enumerate(self.tiers):
            for window, (count, period, burst) in enumerate(tier.sizes()):
                entries = (("limit", self.name), ("window", str(window)), *((key, "") for key in _PER), ("tier", str(i)))
                buckets.append(Bucket(entries, count, period, burst, shard, place.shadow))
        return Fragment(rate_limits=limits, buckets=tuple(buckets), filters=self._note(place))

    def _note(self, place: Place) -> tuple[Any, ...]:
        """Envoy doesn't tell which tier applied. A scratch instance, which is asked just that, has it noted."""
        conditions = [tier.when for tier in self.tiers if tier.when is not None]
        if place.sources == Sources() or not conditions:
            return ()
        return (noted(place.policy, [parse(one, place.schema).predicate(place.sources) for one in conditions]),)

    def _limits(self, place: Place, shard: int, window: int) -> Iterator[Any]:
        route = f"{place.api.name}{self.route(place.api.paths, place.path)}"
        # Each descriptor has the same keys: until an edit's routes are there, those of the revision before count in its buckets.
        parts = itertools.zip_longest(_PER, self.per)
        for way in itertools.product(*(_entries(key, part, place.schema, route, place.api.methods) or () for key, part in parts)):
            where = [matcher for entry in way for matcher in entry.where]
            # The tier is last: where another way applies, its conditions aren't asked.
            actions = [self._named(where), _generic("window", str(window)), *(entry.action for entry in way), self._tier(place)]
            headers = "OFF" if place.shadow else "DRAFT_VERSION_03"
            yield message("envoy.config.route.v3.RateLimit", stage={"value": shard}, actions=actions, x_ratelimit_option=headers)

    def _named(self, where: Sequence[dict[str, Any]]) -> Any:
        """The entry that tells the policy, for those requests whose headers match."""
        if not where:
            return _generic("limit", self.name)
        return message(_ACTION, header_value_match={"descriptor_key": "limit", "descriptor_value": self.name, "headers": where})

    def _tier(self, place: Place) -> Any:
        if len(self.tiers) == 1:
            return _generic("tier", "0")
        conditions = [parse(tier.when, place.schema, whole_in_cel=True) if tier.when else None for tier in self.tiers]
        expr = packed(
            "envoy.extensions.rate_limit_descriptors.expr.v3.Descriptor", descriptor_key="tier", parsed=choice(conditions, place.sources)
        )
        return message(_ACTION, extension={"name": "tier", "typed_config": expr})


def _entries(key: str, part: str | None, schema: Schema, route: str = "", methods: Sequence[str] = ()) -> tuple[_Entry, ...] | None:
    """The entries under this key that a part of `per` may make: of each request exactly one."""
    if part is None or part == "route":
        return (_Entry(_generic(key, route if part else _ABSENT)),)
    if part == "source.ip":
        return _source(key)
    if part == "request.method":
        # Those that a caller makes up share one bucket: otherwise each would be a new one.
        return _header(key, ":method", "|".join(sorted({*_METHODS, *methods})))
    name = part.removeprefix("principal.")
    if part.startswith("principal.") and (name in {"id", "key", "method", "issuer"} or schema.attributes.get(name) == "string"):
        where = {"key": PRINCIPAL, "path": [{"key": name}]}
        return (_Entry(message(_ACTION, metadata={"descriptor_key": key, "metadata_key": where, "default_value": _ABSENT})),)
    header = _HEADER.fullmatch(part)
    # A bucket's value is kept in memory, and callers choose this one.
    return None if header is None else _header(key, header[1].lower(), rf"\C{{1,{_LONGEST}}}")


def _generic(key: str, value: str) -> Any:
    return message(_ACTION, generic_key={"descriptor_key": key, "descriptor_value": value})


def _header(key: str, name: str, pattern: str) -> tuple[_Entry, ...]:
    """A bucket for each value that matches the pattern, and one for all others and for those without."""
    matches = {"name": name, "string_match": {"safe_regex": {"regex": pattern}}, "treat_missing_header_as_empty": True}
    own = message(_ACTION, request_headers={"header_name": name, "descriptor_key": key})
    return _Entry(own, (matches,)), _Entry(_generic(key, _ABSENT), ({**matches, "invert_match": True},))


def _source(key: str) -> tuple[_Entry, ...]:
    """IPv4 by address, also in the form that it takes in IPv6; IPv6 by what a network gives to one of its own."""
    ipv4 = [{"address_prefix": "0.0.0.0", "prefix_len": {"value": 0}}, {"address_prefix": "::ffff:0:0", "prefix_len": {"value": 96}}]

    def entry(value: str, other: bool) -> _Entry:
        which = {"ranges": ipv4, "invert_match": other}
        return _Entry(message(_ACTION, remote_address_match={"descriptor_key": key, "descriptor_value": value, "address_matcher": which}))

    return entry("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", False), entry("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(64)%", True)
