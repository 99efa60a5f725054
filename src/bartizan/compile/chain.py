"""A route's own filters: what the policies that cover it decide, in their order, all from one revision."""

from collections.abc import Iterator, Sequence
from typing import Any

from bartizan.envoy import names
from bartizan.envoy.filters import chain_of, header_mutations, overwrite, permits, set_metadata, typed, watches
from bartizan.envoy.matching import any_of, header, negated
from bartizan.model.api import Api
from bartizan.policies import Fragment, PolicyKind

_IDENTITY = {"id": "id", "method": "method", "groups": "groups", "issuer": "issuer", "key": "key"}
_DEEPEST = 90
"""How deep messages may lie inside each other. Envoy reads a hundred levels."""
_LEVEL = 4
"""Predicates that share a filter lie inside each other, this many levels each."""
Covered = Sequence[tuple[PolicyKind, Fragment]]


def policy_chain(api: Api, covered: Covered) -> Any:
    """What the composite filter runs on a route. An Any."""
    chain = [*_filters(api, covered), *_identity(api)]
    bodies = [one for _, fragment in covered for one in fragment.body_filters]
    return chain_of([*chain, *bodies], on_websocket=chain if api.websocket and bodies else None)


def deciding(covered: Covered) -> tuple[str, ...]:
    """The policies that can refuse, in the order they are asked."""
    return tuple(policy.id for policy, fragment in covered if fragment.permit is not None and policy.mode == "enforce")


def answered(api: Api) -> tuple[str, ...]:
    """The methods that an API answers, if it names any. Who answers GET answers HEAD."""
    return (*api.methods, "HEAD") if "GET" in api.methods and "HEAD" not in api.methods else api.methods


def _filters(api: Api, covered: Covered) -> Iterator[Any]:
    if any(policy.mode == "shadow" and fragment.permit is not None for policy, fragment in covered):
        yield typed("shadows", set_metadata(names.SHADOWS, {"noted": "yes"}))  # so that the record tells their verdicts
    enforced: list[tuple[str, Any]] = []
    for policy, fragment in covered:
        if policy.mode == "shadow" or fragment.filters:
            yield from _permits(enforced)
            enforced = []
        if fragment.permit is not None and policy.mode == "shadow":
            yield watches(policy.id, fragment.permit)
        elif fragment.permit is not None:
            enforced.append((policy.id, fragment.permit))
        if fragment.filters:
            yield from _permits(enforced)
            enforced = []
            yield from fragment.filters
    yield from _permits([*enforced, *_frame(api)])


def _permits(enforced: Sequence[tuple[str, Any]]) -> Iterator[Any]:
    shared: list[tuple[str, Any]] = []
    deepest = 0
    for policy, predicate in enforced:
        depth = _depth(predicate)
        if shared and _LEVEL * (len(shared) + 1) + max(deepest, depth) > _DEEPEST:
            yield permits(shared)
            shared, deepest = [], 0
        shared.append((policy, predicate))
        deepest = max(deepest, depth)
    if shared:
        yield permits(shared)


def _depth(predicate: Any) -> int:
    """How deep a predicate's messages lie inside each other, up to those that Envoy reads apart."""
    which = predicate.WhichOneof("match_type")
    if which == "not_matcher":
        return 1 + _depth(predicate.not_matcher)
    inner = getattr(predicate, which).predicate if which in {"or_matcher", "and_matcher"} else ()
    return 2 + max(map(_depth, inner), default=3)


def _frame(api: Api) -> Iterator[tuple[str, Any]]:
    """Behind all policies, because a stranger isn't told which methods exist. Envoy asks for upgrades before it knows the route."""
    if api.methods:
        yield "method-not-allowed", any_of([header(":method", exact=method) for method in answered(api)])
    plain = negated(header("upgrade", safe_regex={"google_re2": {}, "regex": r"\C*"}))
    yield "upgrade-not-enabled", any_of([plain, header("upgrade", exact="websocket", ignore_case=True)]) if api.websocket else plain


def _identity(api: Api) -> Iterator[Any]:
    """The headers that tell the upstream who calls, as far as the API wants to know."""
    mutations: list[dict[str, Any]] = []
    for name, what in api.identity_headers.items():
        mutations += [{"remove": name}, overwrite(name, f"%DYNAMIC_METADATA({names.PRINCIPAL}:{_IDENTITY.get(what, what)})%")]
    if mutations:
        yield typed("identity", header_mutations(mutations))
