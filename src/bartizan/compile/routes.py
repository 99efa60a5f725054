"""An API and the policies that cover it, as route configurations: one per host pattern and path prefix, so that an edit stays small."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bartizan.compile.chain import Covered, answered, deciding, policy_chain
from bartizan.compile.clusters import Cluster, cluster_beside, cluster_of
from bartizan.compile.coverage import Slice, slices
from bartizan.condition import Schema, Sources
from bartizan.condition.schema import NOTED
from bartizan.envoy import message, names, pack
from bartizan.model.api import Api
from bartizan.model.gateway import Gateway
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot
from bartizan.policies import Bucket, IpList, Place, PolicyKind
from bartizan.policies.authenticate import Authenticate
from bartizan.policies.login import Login
from bartizan.policies.public import Public


@dataclass(frozen=True, slots=True)
class Scope:
    """One route configuration, before it is stamped with the revision that brought it."""

    name: str
    host: str
    path: str
    api: str
    config: Any
    """envoy.config.route.v3.RouteConfiguration"""
    public: bool = False
    """Whether some route here is served without authentication."""
    login: bool = False
    """Whether people log in on some route here."""
    accepts: frozenset[str] = frozenset()
    """The issuers whose tokens some route here takes."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one API and the policies that cover it compile to."""

    api: Api
    policies: tuple[PolicyKind, ...]
    scopes: tuple[Scope, ...]
    buckets: tuple[Bucket, ...]
    lists: tuple[IpList, ...]
    clusters: tuple[Cluster, ...]
    """That of its upstream, and those that filters of its routes call."""
    problems: tuple[Problem, ...]
    asked: frozenset[str]
    """The principal's attributes, `groups`, and what is told of places (`source.country`), as far as something here may ask for it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What every API of a snapshot is compiled with."""

    snapshot: Snapshot
    schema: Schema
    sources: Sources


def part_of(api: Api, policies: tuple[PolicyKind, ...], setting: Setting) -> Part:
    """Everything of one API."""
    covered = {path: [(piece, _fragments(piece, api, setting)) for piece in slices(path, api, policies)] for path in api.paths}
    pieces = [each for found in covered.values() for each in found]
    together = [each for _, found in pieces for each in found]
    cluster = cluster_of(api, together)
    beside = {name: upstream for _, fragment in together for name, upstream in fragment.upstreams.items()}
    scopes = tuple(scope for path, found in covered.items() for scope in _scopes(api, path, found, cluster.name))
    return Part(
        api,
        policies,
        scopes,
        tuple(dict.fromkeys(bucket for _, fragment in together for bucket in fragment.buckets)),
        tuple(dict.fromkeys(held for _, fragment in together for held in fragment.lists)),
        (cluster, *(cluster_beside(name, upstream) for name, upstream in beside.items())),
        tuple(dict.fromkeys(problem for piece, _ in pieces for problem in _open_routes(api, piece, setting.snapshot))),
        _asked(scopes, setting.snapshot.gateway),
    )


def _fragments(piece: Slice, api: Api, setting: Setting) -> Covered:
    return [(policy, policy.compile(place_of(policy, piece, api, setting))) for policy in piece.policies]


def _scopes(api: Api, path: str, pieces: Sequence[tuple[Slice, Covered]], cluster: str) -> Iterator[Scope]:
    routes = [_route(api, path, piece, fragments, cluster) for piece, fragments in pieces]
    public = any(is_public(piece) for piece, _ in pieces)
    login = any(logs_in(piece) for piece, _ in pieces)
    accepts = frozenset().union(*(accepted(piece) for piece, _ in pieces))
    for host in api.hosts:
        name = names.scope(host, path)
        virtual_hosts = [{"name": api.name, "domains": ["*"], "routes": routes}]
        config = message("envoy.config.route.v3.RouteConfiguration", name=name, virtual_hosts=virtual_hosts)
        yield Scope(name, host, path, api.name, config, public=public, login=login, accepts=accepts)


def _asked(scopes: Sequence[Scope], gateway: Gateway) -> frozenset[str]:
    """Whatever asks for an attribute names it, so what isn't named isn't asked for."""
    text = b"".join(scope.config.SerializeToString() for scope in scopes)
    names = ("groups", *NOTED, *gateway.attributes, *gateway.places.told())
    return frozenset(name for name in names if name.encode() in text)


def place_of(policy: PolicyKind, piece: Slice, api: Api, setting: Setting) -> Place:
    snapshot = setting.snapshot
    return Place(policy.id, policy.mode == "shadow", api, piece.path, snapshot.gateway, setting.schema, setting.sources, snapshot.files)


def _open_routes(api: Api, piece: Slice, snapshot: Snapshot) -> Iterator[Problem]:
    """A slice without an enforced Authenticate and without a Public, or with an Authenticate that nobody can satisfy."""
    where = f"{', '.join(piece.methods) or 'any method'} {piece.path}"
    demands = [policy for policy in piece.policies if isinstance(policy, Authenticate) and policy.mode == "enforce"]
    if demands:
        common = set.intersection(*({method.identity for method in policy.any} for policy in demands))
        if not common:
            several = ", ".join(policy.id for policy in demands)
            at = snapshot.resource(demands[0]).place(("any",))
            yield Problem(
                at, "authenticate-impossible", f"no credential satisfies {several} on {where}", "Let them share a way to authenticate."
            )
    elif not is_public(piece):
        at = snapshot.resource(api).place()
        hint = "Cover it with an Authenticate, or say in a Public why anyone may call. Policies in shadow or disabled count as not there."
        yield Problem(at, "route-unauthenticated", f"nothing says who may call {where} of the API {api.name!r}", hint)


def is_public(piece: Slice) -> bool:
    """Whether the slice is served without authentication."""
    enforced = [type(policy) for policy in piece.policies if policy.mode == "enforce"]
    return Public in enforced and Authenticate not in enforced


def logs_in(piece: Slice) -> bool:
    """Whether who opens a page there without a credential is sent to log in."""
    return not is_public(piece) and any(isinstance(policy, Login) and policy.mode == "enforce" for policy in piece.policies)


def accepted(piece: Slice) -> frozenset[str]:
    """The issuers whose tokens every Authenticate of the slice takes."""
    demands = [policy for policy in piece.policies if isinstance(policy, Authenticate) and policy.mode == "enforce"]
    taken = [frozenset(method.jwt for method in policy.any if method.jwt is not None) for policy in demands]
    return frozenset.intersection(*taken) if taken else frozenset()


def _route(api: Api, scope_path: str, piece: Slice, fragments: Covered, cluster: str) -> Any:
    per_filter: dict[str, Any] = {}
    action: dict[str, Any] = {}
    limits: list[Any] = []
    added: list[Any] = []
    hidden: dict[str, None] = {}
    for policy, fragment in fragments:
        if not isinstance(policy, Login) or logs_in(piece):
            per_filter.update(fragment.per_filter)
        action.update(fragment.route)
        limits += fragment.rate_limits
        added += fragment.response_headers
        hidden.update(dict.fromkeys(fragment.hidden_response_headers))
    per_filter[names.POLICIES] = policy_chain(api, fragments)
    return message(
        "envoy.config.route.v3.Route",
        name=api.name,  # which the record reads for a third of what metadata costs it
        match=_match(piece),
        route={"cluster": cluster, **_forwarding(api, scope_path), **action, "rate_limits": limits},
        metadata=_metadata(api, scope_path, piece, fragments),
        typed_per_filter_config=per_filter,
        **_credentials(api, piece),
        response_headers_to_add=added,
        response_headers_to_remove=list(hidden),
    )


def _credentials(api: Api, piece: Slice) -> dict[str, Any]:
    """What becomes of credentials on the way to the upstream. Where it judges `authorization` itself, the gate has put that aside."""
    told: dict[str, Any] = {"request_headers_to_remove": [] if api.forward_credentials else ["authorization", "dpop"]}
    if forwards(piece):
        own = {
            "authorization": f"%DYNAMIC_METADATA({names.FORWARDED}:authorization)%",
            names.H_CALLER: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        }
        told["request_headers_to_add"] = [
            {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"} for key, value in own.items()
        ]
    return told


def forwards(piece: Slice) -> bool:
    """Whether the upstream of a public slice gets `authorization`: if all say so that open it."""
    opened = [policy.forward_authorization for policy in piece.policies if isinstance(policy, Public) and policy.mode == "enforce"]
    return is_public(piece) and all(opened)


def _match(piece: Slice) -> dict[str, Any]:
    match: dict[str, Any] = {"prefix": "/"} if piece.path == "/" else {"path_separated_prefix": piece.path}
    methods = piece.methods or piece.other_than
    if methods:
        pattern = "|".join(methods)
        match["headers"] = [{"name": ":method", "string_match": {"safe_regex": {"regex": pattern}}, "invert_match": not piece.methods}]
    return match


def _metadata(api: Api, scope_path: str, piece: Slice, covered: Covered) -> dict[str, Any]:
    """What the record and the gate read: the revision is filled in when the route is published."""
    told = {"api": api.name, "route": piece.path, "revision": "", "policies": " ".join(deciding(covered))}
    if api.methods:
        told["allow"] = ", ".join(answered(api))
    if api.strip_path and scope_path != "/":
        told["stripped"] = scope_path  # what the path of a stream that is open doesn't show any more
    fields = {name: {"string_value": value} for name, value in told.items()}
    found: dict[str, Any] = {"bartizan": message("google.protobuf.Struct", fields=fields)}
    if marks := _marks(piece):
        found[names.GATE] = message("google.protobuf.Struct", fields=marks)
    return {"filter_metadata": found}


def _marks(piece: Slice) -> dict[str, Any]:
    """What the gate has to know of the route."""
    if is_public(piece):
        return {"public": {"bool_value": True}, **({"forwards": {"bool_value": True}} if forwards(piece) else {})}
    marks: dict[str, Any] = {"login": {"bool_value": True}} if logs_in(piece) else {}
    if issuers := accepted(piece):
        marks["accepts"] = {"struct_value": dict.fromkeys(sorted(issuers), True)}
    return marks


def _forwarding(api: Api, scope_path: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"timeout": api.timeout, "idle_timeout": api.idle_timeout}
    if api.retries.attempts:
        policy: dict[str, Any] = {
            "retry_on": ",".join(_RETRY_ON[one] for one in api.retries.on),
            "num_retries": {"value": api.retries.attempts},
        }
        if api.retries.per_try_timeout is not None:
            policy["per_try_timeout"] = api.retries.per_try_timeout
        fields["retry_policy"] = policy
    if api.strip_path and scope_path != "/":
        pattern = {"regex": f"^{re.escape(scope_path)}/*"}
        fields["regex_rewrite"] = {"pattern": pattern, "substitution": "/"}
    fields["upgrade_configs"] = [{"upgrade_type": "websocket", "enabled": {"value": api.websocket}}]
    return fields


_RETRY_ON = {
    "connect-failure": "connect-failure",
    "refused-stream": "refused-stream",
    "reset": "reset",
    "gateway-error": "gateway-error",
    "unavailable": "unavailable",
}


def stamped(config: Any, revision: str) -> bytes:
    """The route configuration with the revision's name in each route, where the record reads it."""
    copy = type(config)()
    copy.CopyFrom(config)
    for host in copy.virtual_hosts:
        for route in host.routes:
            route.metadata.filter_metadata["bartizan"].fields["revision"].string_value = revision
    return bytes(copy.SerializeToString(deterministic=True))


def scope_resource(scope: Scope) -> bytes:
    """The ScopedRouteConfiguration that leads to a scope's routes."""
    return bytes(
        pack(
            message(
                "envoy.config.route.v3.ScopedRouteConfiguration",
                name=scope.name,
                route_configuration_name=scope.name,
                key={"fragments": [{"string_key": scope.name}]},
            )
        ).value
    )
