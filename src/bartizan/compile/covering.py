"""Which policies cover one request, in the order of the chain: what explanations list."""

from bartizan.compile import Compiled
from bartizan.compile.coverage import Slice, slices
from bartizan.compile.routes import Setting, place_of
from bartizan.condition import Schema
from bartizan.model.api import Api
from bartizan.model.covering import Covering, Role
from bartizan.model.policy import within
from bartizan.policies import PolicyKind


def covering(compiled: Compiled, api: str, route: str, method: str) -> tuple[tuple[PolicyKind, Covering], ...]:
    """The policies that cover requests of this route, as the record names it. None if there is no such route (any more)."""
    part = compiled.parts.get(api)
    if part is None:
        return ()
    piece = _slice(part.api, part.policies, route, method)
    if piece is None:
        return ()
    setting = Setting(compiled.snapshot, Schema.of(compiled.snapshot.gateway), compiled.sources)
    return tuple((policy, _covering(policy, piece, part.api, setting)) for policy in piece.policies)


def scopes_of(compiled: Compiled, api: str, route: str) -> tuple[str, ...]:
    """The names of the route configurations that may hold this route: one for each of the API's hosts."""
    part = compiled.parts.get(api)
    path = None if part is None else _scope(part.api, route)
    return () if part is None else tuple(scope.name for scope in part.scopes if scope.path == path)


def _scope(api: Api, route: str) -> str | None:
    return max((path for path in api.paths if within(route, path)), key=len, default=None)


def _slice(api: Api, policies: tuple[PolicyKind, ...], route: str, method: str) -> Slice | None:
    scope = _scope(api, route)
    if scope is None:
        return None
    for piece in slices(scope, api, policies):
        answers = method in piece.methods if piece.methods else method not in piece.other_than
        if piece.path == route and answers:
            return piece
    return None


def _covering(policy: PolicyKind, piece: Slice, api: Api, setting: Setting) -> Covering:
    fragment = policy.compile(place_of(policy, piece, api, setting))
    role: Role = "counts" if fragment.rate_limits else "decides" if fragment.permit is not None else "configures"
    return Covering(policy.id, role, policy.mode == "shadow")
