"""What of a change can be tried on some callers beside the active revision: what rides on the routes that both have."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from bartizan.compile import Compiled, compile
from bartizan.compile.routes import Scope
from bartizan.envoy import names
from bartizan.model.api import Api
from bartizan.model.context import ContextSource
from bartizan.model.gateway import Gateway
from bartizan.model.snapshot import LIVE_KINDS, Snapshot
from bartizan.policies import PolicyKind
from bartizan.policies.cors import Cors
from bartizan.policies.protect import Protect

_Sizes: TypeAlias = Mapping[tuple[tuple[str, str], ...], tuple[int, int, int, bool]]


@dataclass(frozen=True, slots=True, eq=False)
class Riding:
    """A candidate, as far as it can judge some callers while the active revision judges all others."""

    candidate: Compiled
    """With the active revision's Cors, which is asked before it is known who calls."""
    scopes: Mapping[str, Scope]
    """Its route configurations that say something else than the active ones of the same host and path."""
    apart: tuple[str, ...]
    """What of the change begins to hold only when it is everywhere, by kind and name."""


def riding(active: Compiled, candidate: Compiled) -> Riding:
    """What of the candidate can be tried so."""
    made = _with_cors_of(active, candidate)
    served = {scope.name: scope for scope in active.scopes()}
    found = {scope.name: scope for scope in made.scopes() if scope.name in served and _differs(served[scope.name], scope)}
    return Riding(made, found, tuple(_apart(active, candidate)))


def _with_cors_of(active: Compiled, candidate: Compiled) -> Compiled:
    theirs, own = ({one.id: one for one in made.snapshot.policies if isinstance(one, Cors)} for made in (active, candidate))
    if theirs == own:
        return candidate
    rest = tuple(one for one in candidate.snapshot.policies if not isinstance(one, Cors))
    return compile(replace(candidate.snapshot, policies=(*rest, *theirs.values())), candidate.sources, before=candidate)


def _differs(active: Scope, candidate: Scope) -> bool:
    """Whether it judges otherwise somebody of whom it is known who they are: where all is public, nobody's credentials are looked at."""
    if active is candidate or active.config == candidate.config:
        return False
    return not all(_is_public(route.metadata.filter_metadata) for host in active.config.virtual_hosts for route in host.routes)


def _is_public(metadata: Mapping[str, Any]) -> bool:
    return names.GATE in metadata and "public" in metadata[names.GATE].fields


def _apart(active: Compiled, candidate: Compiled) -> Iterator[str]:
    """What of the change stands before the routes, or on hosts and paths that only one of the two has."""
    sizes = _sizes(active)
    resized = {entries[0][1] for entries, size in _sizes(candidate).items() if sizes.get(entries, size) != size}
    for name, old, new in _changed(active.snapshot, candidate.snapshot):
        if name.removeprefix("RateLimit/") in resized if name.startswith("RateLimit/") else _framing(old) != _framing(new):
            yield name


def _changed(active: Snapshot, candidate: Snapshot) -> Iterator[tuple[str, object, object]]:
    """What is changed, added (the first is None) or removed (the second is None), but for consumers and issuers."""
    for key in sorted(active.resources.keys() | candidate.resources.keys()):
        old, new = active.resources.get(key), candidate.resources.get(key)
        if key[0] not in LIVE_KINDS and (old is None or new is None or old.digest != new.digest):
            yield "/".join(key), old.value if old else None, new.value if new else None


def _framing(value: object) -> object:
    """What of a resource no route carries: it is the same for all callers. None if all of it rides."""
    match value:
        case Gateway():
            return value.model_copy(update={"attributes": {}})  # those of both are known beside each other
        case Api():
            return {(host, path) for host in value.hosts for path in value.paths}
        case Protect():
            bounds = (value.headers, value.url, value.timeouts)
            return bounds if value.mode == "enforce" and any(bounds) else None
        case Cors() | ContextSource():
            return value
        case PolicyKind() if value.of_listener:
            return value
    return None


def _sizes(compiled: Compiled) -> _Sizes:
    """How much fits into each bucket: routes only say into which a request counts."""
    buckets = [bucket for part in compiled.parts.values() for bucket in part.buckets]
    return {one.entries: (one.count, one.period_s, one.burst, one.shadow) for one in buckets}
