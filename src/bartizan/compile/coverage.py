"""Which policies cover which requests: the one precedence rule for all kinds.

Every policy whose target covers a request applies to it; a narrower target can only narrow. Kinds that configure rather than restrict
are `nearest`: only the one with the nearest target applies. A policy in shadow or disabled counts as not there.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bartizan.model.api import Api
from bartizan.model.policy import Target, within
from bartizan.policies import KINDS, PolicyKind

_Kind = TypeVar("_Kind", bound=PolicyKind)
_ORDER = {kind: (kind.phase, i) for i, kind in enumerate(KINDS)}


@dataclass(frozen=True, slots=True)
class Slice:
    """The requests of one API that the same policies cover: a path prefix, and the methods, or those not among `other_than`."""

    path: str
    methods: tuple[str, ...]
    other_than: tuple[str, ...]
    policies: tuple[PolicyKind, ...]
    """In the order of Envoy's chain; `disabled` ones left out."""


def by_api(policies: Iterable[PolicyKind], apis: Mapping[str, Api]) -> dict[str, tuple[PolicyKind, ...]]:
    """The policies that cover anything of each API, in the order of the chain."""
    fallbacks = [policy for kind in KINDS if (policy := kind.fallback()) is not None]
    active = (policy for policy in policies if policy.mode != "disabled" and not policy.of_listener)
    found: dict[str, list[PolicyKind]] = {name: [] for name in apis}
    for policy in sorted([*fallbacks, *active], key=_chain_order):  # once, rather than for each of a thousand APIs
        if policy.target.api is None:
            for covering in found.values():
                covering.append(policy)
        elif policy.target.api in found:
            found[policy.target.api].append(policy)
    return {name: tuple(covering) for name, covering in found.items()}


def _chain_order(policy: PolicyKind) -> tuple[tuple[int, int], bool, bool, str]:
    return _ORDER[type(policy)], policy is policy.fallback(), not policy.floor, policy.name


def gateway_wide(kind: type[_Kind], policies: Iterable[object]) -> _Kind | None:
    """The declared policy of this kind that holds before it is known which API is called: that of the whole gateway."""
    found = [one for one in policies if isinstance(one, kind) and one.mode == "enforce" and one.target == Target()]
    return min(found, key=_chain_order, default=None)


def slices(scope: str, api: Api, policies: Sequence[PolicyKind]) -> Iterator[Slice]:
    """The API's requests below the path prefix `scope`, cut where other policies apply; the narrowest first."""
    paths = {scope}
    for policy in policies:
        paths.update(path for path in (*policy.target.paths, *policy.target.exclude) if within(path, scope))
    for path in sorted(paths, key=lambda one: (-one.count("/"), -len(one), one)):
        yield from _by_method(path, [policy for policy in policies if _covers_path(policy, path)])


def _covers_path(policy: PolicyKind, path: str) -> bool:
    target = policy.target
    if target.paths and not any(within(path, one) for one in target.paths):
        return False
    return not any(within(path, one) for one in target.exclude)


def _by_method(path: str, policies: Sequence[PolicyKind]) -> Iterator[Slice]:
    named = sorted({method for policy in policies for method in _methods(policy)})
    rest = [policy for policy in policies if not policy.target.methods]
    groups: dict[tuple[int, ...], tuple[list[PolicyKind], list[str]]] = {tuple(map(id, rest)): (rest, [])}
    for method in named:
        covering = [one for one in policies if not one.target.methods or method in _methods(one)]
        groups.setdefault(tuple(map(id, covering)), (covering, []))[1].append(method)
    (_, others), *own = groups.values()
    for covering, methods in own:
        yield Slice(path, tuple(methods), (), _nearest(covering))
    yield Slice(path, (), tuple(method for method in named if method not in others), _nearest(rest))


def _methods(policy: PolicyKind) -> tuple[str, ...]:
    """The methods of a target. HEAD tells what GET tells, so a policy on GET covers it."""
    methods = policy.target.methods
    return (*methods, "HEAD") if "GET" in methods and "HEAD" not in methods else methods


def _nearest(policies: Sequence[PolicyKind]) -> tuple[PolicyKind, ...]:
    nearest: dict[type[PolicyKind], PolicyKind] = {}
    for policy in policies:
        if policy.nearest and policy.mode == "enforce":
            known = nearest.get(type(policy))
            if known is None or (policy.floor, nearness(policy)) > (known.floor, nearness(known)):
                nearest[type(policy)] = policy
    return tuple(one for one in policies if not one.nearest or nearest.get(type(one)) is one)


def nearness(policy: PolicyKind) -> tuple[bool, int, bool]:
    """How narrow a target is: one with an API before one without, then the longest path, then one with methods."""
    target = policy.target
    return target.api is not None, max((len(path) for path in target.paths), default=0), bool(target.methods)
