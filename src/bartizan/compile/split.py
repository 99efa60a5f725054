"""A canary by caller: in every Envoy the candidate judges some callers, and the active revision goes on with all others.

A filter behind the principal marks their requests and has Envoy look for the route anew. A route that only marked requests meet stands
before the active ones, so one revision judges each request wholly, and the record names it. Whoever isn't known isn't marked, and what
isn't marked is the active revision's: where anything is missing, it decides.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bartizan.compile import Compiled, Resources, Stamped, buckets_of, lists_of, places_of
from bartizan.compile.riding import Riding
from bartizan.compile.routes import Scope, stamped
from bartizan.envoy import names
from bartizan.envoy.filters import in_turn, set_state, typed, where
from bartizan.envoy.matching import all_of, any_of, principal, principal_known, share


@dataclass(frozen=True, slots=True)
class Callers:
    """Whom the candidate judges: these principals, or so many per cent of all."""

    names: tuple[str, ...] = ()
    percent: float = 0.0

    def __str__(self) -> str:
        return ", ".join(self.names) if self.names else f"{self.percent:g} % of the callers"


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Which revision judges whom."""

    callers: Callers
    active: str
    """The revision of all others."""
    revision: str
    """The candidate's."""
    riding: Riding


def marking(split: Split, before: Iterable[tuple[str, Any]] = ()) -> Any:
    """The filter that marks requests, behind the filters (by name) that stood in its place. The share of callers is another one in each
    rollout, and in each node the same."""
    callers = split.callers
    mark = set_state(names.CANARY, split.revision, route_anew=True)
    if callers.names:
        steps = [typed("mark", where(any_of([principal("id", name) for name in callers.names]), "mark", mark))]
    else:
        seed = int.from_bytes(split.revision.encode()[:8], "big")
        chosen = all_of([principal_known(), share(names.CALLER, callers.percent, seed)])
        who = set_state(names.CALLER, f"%DYNAMIC_METADATA({names.PRINCIPAL}:id)%")
        steps = [typed("caller", who), typed("mark", where(chosen, "mark", mark))]
    return in_turn([*(typed(name, inner) for name, inner in before), *steps])


def beside(split: Split, active: Compiled, stamps: Mapping[str, Stamped]) -> Resources:
    """What Envoy holds otherwise, or beside, while both revisions judge. Where both count in one bucket, it is the active one's."""
    riding = split.riding
    parts = [part for part in riding.candidate.parts.values() if any(scope.name in riding.scopes for scope in part.scopes)]
    found: Resources = {(names.CLUSTER, one.name): one.body for part in parts for one in part.clusters}
    for name, scope in riding.scopes.items():
        if name in stamps:
            found[names.ROUTES, name] = joined(stamps[name], scope, split.revision)
    known = {bucket.entries: bucket for part in (*parts, *active.parts.values()) for bucket in part.buckets}
    found.update(buckets_of(known.values()))
    found.update(lists_of((*parts, *active.parts.values()), active.sources))
    found.update(places_of((active, riding.candidate)))
    return found


def joined(active: Stamped, candidate: Scope, revision: str) -> bytes:
    """The route configuration of both: the candidate's routes for marked requests, then the active ones."""
    both, rest = (type(candidate.config).FromString(body) for body in (stamped(candidate.config, revision), active.body))
    for host, others in zip(both.virtual_hosts, rest.virtual_hosts, strict=True):
        for route in host.routes:
            route.match.filter_state.add(key=names.CANARY, string_match={"exact": revision})
        host.routes.extend(others.routes)
    return bytes(both.SerializeToString(deterministic=True))
