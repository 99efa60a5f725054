"""Snapshot to Envoy's resources: pure functions. `compile` is the flow on one screen; each step is a module beside it."""

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from bartizan.compile import live
from bartizan.compile.client_certificates import enrolled, listed
from bartizan.compile.clusters import OTLP, collector
from bartizan.compile.coverage import by_api, gateway_wide
from bartizan.compile.listeners import listener_of, plain_listener_of, tls_of
from bartizan.compile.places import place_filter
from bartizan.compile.routes import Part, Scope, Setting, part_of, scope_resource, stamped
from bartizan.condition import Schema, Sources
from bartizan.envoy import extension, message, names
from bartizan.model.gateway import Gateway
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot
from bartizan.policies import Bucket, IpList, PolicyKind
from bartizan.policies.authenticate import bindings
from bartizan.policies.protect import Protect
from bartizan.policies.tls import Tls

Resources = dict[tuple[str, str], bytes]
"""Serialized messages by type URL and name."""


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """A snapshot, compiled: a part for each API, and what is wrong. With a problem, none of it is served."""

    snapshot: Snapshot
    sources: Sources
    parts: Mapping[str, Part]
    problems: tuple[Problem, ...]

    def asked(self) -> frozenset[str]:
        """The principal's attributes, `groups`, and what is told of places, as far as some policy or upstream may ask for it."""
        return frozenset().union(*(part.asked for part in self.parts.values()))

    def scopes(self) -> Iterator[Scope]:
        """Every route configuration."""
        for part in self.parts.values():
            yield from part.scopes


@dataclass(frozen=True, slots=True)
class Stamped:
    """A route configuration with the revision that brought it: it keeps that name as long as its rules stay the same."""

    scope: Scope
    revision: str
    body: bytes
    key: bytes


def compile(snapshot: Snapshot, sources: Sources | None = None, before: Compiled | None = None) -> Compiled:
    """The snapshot compiled; what `before` compiled from the same API and policies is taken over as it is."""
    sources = sources or Sources()
    setting = Setting(snapshot, Schema.of(snapshot.gateway), sources)
    policies = [policy for policy in snapshot.policies if isinstance(policy, PolicyKind)]
    known = before.parts if before is not None and _same_frame(before, snapshot, sources) else {}
    parts: dict[str, Part] = {}
    for name, covering in by_api(policies, snapshot.apis).items():
        part, api = known.get(name), snapshot.apis[name]
        same = part is not None and part.api is api and _identical(part.policies, covering)
        parts[name] = part if part is not None and same else part_of(api, covering, setting)
    problems = [problem for part in parts.values() for problem in part.problems]
    problems += _taken_paths(snapshot)
    return Compiled(snapshot, sources, parts, tuple(sorted(set(problems))))


def _same_frame(before: Compiled, snapshot: Snapshot, sources: Sources) -> bool:
    old = before.snapshot
    return old.gateway == snapshot.gateway and before.sources == sources and old.files == snapshot.files


def _identical(left: tuple[PolicyKind, ...], right: tuple[PolicyKind, ...]) -> bool:
    return len(left) == len(right) and all(a is b for a, b in zip(left, right, strict=True))


def _taken_paths(snapshot: Snapshot) -> Iterator[Problem]:
    owners: dict[tuple[str, str], str] = {}
    for api in snapshot.apis.values():
        for host in api.hosts:
            for path in api.paths:
                owner = owners.setdefault((host, path), api.name)
                if owner != api.name:
                    at = snapshot.resource(api).place(("paths",))
                    where = path if host == "*" else f"{host}{path}"
                    yield Problem(at, "api-path-taken", f"{where} belongs to the API {owner!r} already", "Each host and path has one API.")


def stamp(compiled: Compiled, before: Mapping[str, Stamped]) -> dict[str, Stamped]:
    """Each route configuration under the revision that brought its rules."""
    found: dict[str, Stamped] = {}
    for scope in compiled.scopes():
        known = before.get(scope.name)
        if known is not None and (known.scope is scope or known.scope.config == scope.config):
            found[scope.name] = known
        else:
            revision = compiled.snapshot.revision
            found[scope.name] = Stamped(scope, revision, stamped(scope.config, revision), scope_resource(scope))
    return found


def resources(compiled: Compiled, stamps: Mapping[str, Stamped]) -> Resources:
    """Everything that a revision is in Envoy."""
    snapshot = compiled.snapshot
    found: Resources = {}
    for listener in snapshot.gateway.listeners:
        found[names.LISTENER, listener.name] = listener_of(listener, snapshot)
        for tls in tls_of(listener, snapshot):
            found.update({(names.SECRET, name): body for name, body in tls.secrets(snapshot.files).items()})
            if tls.http is not None:
                found[names.LISTENER, names.plain_listener(listener.name)] = plain_listener_of(listener, tls, tls.http, snapshot)
    if snapshot.gateway.otlp is not None:
        found[names.CLUSTER, OTLP] = collector(snapshot.gateway.otlp)
    for part in compiled.parts.values():
        found.update({(names.CLUSTER, one.name): one.body for one in part.clusters})
    for name, one in stamps.items():
        found[names.ROUTES, name] = one.body
        found[names.SCOPE, name] = one.key
    return found


def shared(compiled: Compiled, before: Compiled | None = None, held: Resources | None = None) -> Resources:
    """What all routes share and what outlasts revisions: the gate's table, buckets and lists.

    The lists of `before` stay for as long as a request may still meet a route of it. `held` is what it shared.
    """
    parts, table = compiled.parts.values(), _table(compiled)
    found: Resources = {}
    if before is not None and held is not None and _table(before) == table:
        found[names.ECDS, names.GATE] = held[names.ECDS, names.GATE]
    else:
        gate = live.gate(compiled.scopes(), compiled.snapshot.gateway, table.credentials, table.longest_url, table.paths)
        found[names.ECDS, names.GATE] = discovered_body(names.GATE, gate)
    found.update(buckets_of(bucket for part in parts for bucket in part.buckets))
    found.update(lists_of((*parts, *(before.parts.values() if before else ())), compiled.sources))
    found.update(places_of((compiled, before) if before else (compiled,)))
    found.update(logins_of((compiled, before) if before else (compiled,)))
    return found


def logins_of(served: Iterable[Compiled]) -> Resources:
    """The filter of logins, which is there if people log in anywhere. How they do stands in the routes."""
    login = any(scope.login for one in served for scope in one.scopes())
    return {(names.ECDS, names.LOGIN): discovered_body(names.LOGIN, live.login(login))}


def places_of(served: Iterable[Compiled]) -> Resources:
    """The filter of places with the databases that these name; where they name several for the same, the first one's."""
    return {(names.ECDS, names.PLACES): discovered_body(names.PLACES, place_filter(one.snapshot.gateway for one in served))}


def buckets_of(buckets: Iterable[Bucket]) -> Resources:
    """The filters of limits with these buckets."""
    shards: dict[int, set[Bucket]] = {shard: set() for shard in range(names.LIMIT_SHARDS)}
    for bucket in buckets:
        shards[bucket.shard].add(bucket)
    return {(names.ECDS, names.limits(shard)): _limits(shard, frozenset(found)) for shard, found in shards.items()}


def lists_of(served: Iterable[Part], sources: Sources) -> Resources:
    """The filter of lists with those that these parts ask."""
    return {(names.ECDS, names.IP_LISTS): _lists(frozenset(one for part in served for one in part.lists), sources)}


@dataclass(frozen=True, slots=True)
class _Table:
    """All that the gate's table depends on."""

    scopes: tuple[tuple[str, str, str, bool, bool, frozenset[str]], ...]
    gateway: Gateway
    credentials: live.Credentials
    longest_url: int
    paths: frozenset[str]


@functools.lru_cache(maxsize=4)
def _table(compiled: Compiled) -> _Table:
    """Kept, because each edit asks for it twice: as what is new, and as what is held."""
    snapshot = compiled.snapshot
    cas: dict[str, str] = {}
    for policy in snapshot.policies:
        if isinstance(policy, Tls):
            cas.update(policy.ca_subjects(snapshot.files))
    protect = gateway_wide(Protect, snapshot.policies) or Protect.fallback()
    paths = {path for api in snapshot.apis.values() for path in api.paths}
    for policy in snapshot.policies:
        paths.update(policy.target.paths, policy.target.exclude)
    asked = live.Asked.of(snapshot.issuers.values())
    whose = asked.names
    scopes = tuple((one.host, one.path, one.name, one.public, one.login, one.accepts & whose) for one in compiled.scopes())
    certificates = live.ClientCertificates(
        cas, listed(snapshot) if cas else {}, enrolled(snapshot) if cas else {}, bindings(snapshot.policies)
    )
    return _Table(scopes, snapshot.gateway, live.Credentials(certificates, asked), protect.longest_url, frozenset(paths))


@functools.lru_cache(maxsize=2 * names.LIMIT_SHARDS)
def _limits(shard: int, buckets: frozenset[Bucket]) -> bytes:
    """Kept, because most edits leave the buckets alone; so do the lists."""
    return discovered_body(names.limits(shard), live.limits(shard, buckets))


@functools.lru_cache(maxsize=4)
def _lists(held: frozenset[IpList], sources: Sources) -> bytes:
    return discovered_body(names.IP_LISTS, live.lists(held, sources))


def discovered_body(name: str, inner: object) -> bytes:
    """A filter's configuration as ECDS sends it."""
    body = message("envoy.config.core.v3.TypedExtensionConfig", **extension(name, inner)).SerializeToString(deterministic=True)  # type: ignore[arg-type]
    return bytes(body)
