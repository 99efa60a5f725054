"""What a policy kind is: fields, a manual, and `compile(place) -> Fragment`. One kind is one file.

    class OfficeOnly(PolicyKind):
        \"\"\"Manual in Markdown stands in the module's docstring, with one YAML example.\"\"\"
        kind: Literal["OfficeOnly"] = "OfficeOnly"
        phase: ClassVar[Phase] = Phase.AUTHORIZATION
        networks: tuple[Network, ...] = Field(description="The office's networks.")

        def compile(self, place: Place) -> Fragment:
            return Fragment(permit=source_in(...))

Then add the class to `KINDS`, where it belongs in Envoy's chain.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, ClassVar

from bartizan.condition import Schema, Sources
from bartizan.model.api import Api, Upstream
from bartizan.model.gateway import Gateway
from bartizan.model.policy import Policy
from bartizan.model.snapshot import Snapshot


class Phase(IntEnum):
    """When a policy is asked, in Envoy's order."""

    BEFORE_AUTHENTICATION = 1
    AUTHENTICATION = 2
    AUTHORIZATION = 3
    LIMITS = 4
    UPSTREAM = 5


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket per distinct value of the wildcard entries. Lives outside revisions, so that edits keep its fill."""

    entries: tuple[tuple[str, str], ...]
    """Descriptor keys with their values; an empty value matches any, and each value has its own bucket."""
    count: int
    """Tokens that come back per period."""
    period_s: int
    burst: int
    """Tokens a full bucket holds."""
    shard: int
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class IpList:
    """A list of networks held once in the gateway, named by its content's hash. Before policies are asked, the dynamic metadata
    `bartizan.lists` says under its name whether the caller is `in` or `out`."""

    name: str
    networks: tuple[str, ...] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Fragment:
    """What one policy adds to a route. Each policy keeps its own name and verdict, whatever stands beside it."""

    permit: Any | None = None
    """A predicate of Envoy's matching API: the policy lets through where it holds. In shadow its verdict is only noted."""
    filters: tuple[Any, ...] = ()
    """TypedExtensionConfigs for the route's own chain, in order, behind `permit`."""
    body_filters: tuple[Any, ...] = ()
    """The same, for filters that look at bodies: behind all others, and not on WebSockets, which have none."""
    per_filter: Mapping[str, Any] = field(default_factory=dict)
    """Anys for filters of the gateway that a route configures, by filter name."""
    rate_limits: tuple[Any, ...] = ()
    """envoy.config.route.v3.RateLimit: which descriptors a request of this route yields."""
    buckets: tuple[Bucket, ...] = ()
    lists: tuple[IpList, ...] = ()
    response_headers: tuple[Any, ...] = ()
    """envoy.config.core.v3.HeaderValueOption: headers added to every answer of the route, refusals included."""
    hidden_response_headers: tuple[str, ...] = ()
    """Headers of the upstream that callers don't see."""
    route: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the route's RouteAction."""
    cluster: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the API's cluster."""
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    """Servers that its filters call, by the names that their clusters get."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a policy is compiled: which policy this is, the route it covers, its mode, and what it may refer to."""

    policy: str
    """The policy's id, such as `Authorize/refunds`: the name of its verdict and of filters of its own."""
    shadow: bool
    api: Api
    path: str
    gateway: Gateway
    schema: Schema
    sources: Sources
    files: Mapping[str, bytes] = field(default_factory=dict)
    """The contents of the files that policies name."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A mistake in a policy, found by its kind: the field's path, and what a Problem says."""

    path: tuple[str | int, ...]
    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Reference:
    """A field that names another resource."""

    path: tuple[str | int, ...]
    kind: str
    name: str


class PolicyKind(Policy):
    """The base of every kind."""

    phase: ClassVar[Phase]
    nearest: ClassVar[bool] = False
    """Whether the kind configures rather than restricts: then only the policy with the nearest target applies."""
    may_shadow: ClassVar[bool] = True
    of_listener: ClassVar[bool] = False
    """Whether it applies to listeners rather than to routes; then `compile` isn't asked."""

    @classmethod
    def fallback(cls) -> "PolicyKind | None":
        """For kinds that are `nearest`: the policy that applies where nobody declared one."""
        return None

    def compile(self, place: Place) -> Fragment:
        """What this policy adds to a route it covers. Pure. Raises nothing for a policy without faults."""
        raise NotImplementedError

    def faults(self, schema: Schema, files: Mapping[str, bytes]) -> Iterator[Fault]:
        """Mistakes that field types can't tell."""
        yield from ()

    def misfits(self, snapshot: Snapshot) -> Iterator[Fault]:
        """Mistakes that only the rest of the snapshot tells, beyond dangling references."""
        yield from ()

    def references(self) -> Iterator[Reference]:
        """What the policy refers to; a dangling reference is an error."""
        yield from ()

    def file_names(self) -> Iterator[str]:
        """Files whose contents the policy needs."""
        yield from ()

    def steps(self) -> Iterator[tuple[str | None, str]]:
        """Of a limit: conditions, and what it says to those who meet them, in words. The first that holds applies; None always holds."""
        yield None, ""
