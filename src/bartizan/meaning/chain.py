"""A route's chain read back from what Envoy is given: which policy asks what, in which order."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from bartizan.compile.routes import Scope
from bartizan.envoy import message_type, names
from bartizan.meaning.formula import FALSE, Formula, OfCel, OfHeader, atoms
from bartizan.meaning.reading import read_predicate, unread

_COMPOSITE = "envoy.extensions.filters.http.composite.v3.CompositePerRoute"
_EXECUTE = "envoy.extensions.filters.http.composite.v3.ExecuteFilterAction"
_RBAC = "envoy.extensions.filters.http.rbac.v3.RBAC"
_ACTION = "envoy.config.rbac.v3.Action"
_DECIDE_NOTHING = frozenset(
    {
        "envoy.extensions.filters.http.set_metadata.v3.Config",
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        "envoy.extensions.filters.http.body_size_limit.v3.BodySizeLimit",  # bounds what is sent, whoever sends it
    }
)
_OTHERS = frozenset({names.POLICIES, names.CORS})
"""Filters of the gateway that routes configure and whose part here is known: CORS answers preflights, and refuses nobody else."""
_ALLOW, _DENY = 0, 1

Asks = tuple[str, Formula]
"""A policy's id and what it lets through; or the name of something else in the chain."""


@dataclass(frozen=True, slots=True)
class Route:
    """One route: which requests of its scope come to it, and what they are asked."""

    api: str
    path: str
    methods: tuple[str, ...]
    other_than: tuple[str, ...]
    """Without `methods`: all methods but these."""
    public: bool
    """Whether credentials are taken off before anything is asked: then everyone is anonymous."""
    asks: tuple[Asks, ...]
    limits: tuple[str, ...]
    """The names of the limits that count here."""
    of_method: bool
    """Whether what is asked depends on the method."""
    of_path: bool
    """Whether it depends on the path."""

    def answers(self, method: str | None) -> bool:
        """Whether requests with this method come to it; None is one that nobody names."""
        if self.methods:
            return method in self.methods
        return method is None or method not in self.other_than

    def asks_the_same(self, other: "Route") -> bool:
        """Whether whoever gets through here gets through there, and under the same conditions."""
        return self.public == other.public and [one for _, one in self.asks] == [one for _, one in other.asks]

    def named(self) -> Iterator[str]:
        """The methods that it tells apart."""
        yield from (*self.methods, *self.other_than)
        for _, formula in self.asks:
            for atom in atoms(formula):
                if isinstance(atom, OfHeader) and atom.name == ":method" and atom.test.kind == "exact":
                    yield atom.test.text


def routes_of(scope: Scope) -> tuple[Route, ...]:
    """The routes of a scope, in the order in which Envoy tries them."""
    (host,) = scope.config.virtual_hosts
    return tuple(map(_route, host.routes))


def _route(route: Any) -> Route:
    asks = tuple(_asks(route))
    asked = frozenset().union(*(atoms(formula) for _, formula in asks))
    told = route.metadata.filter_metadata["bartizan"].fields
    gate = route.metadata.filter_metadata[names.GATE].fields if names.GATE in route.metadata.filter_metadata else {}
    methods, other_than = _methods(route.match)
    return Route(
        told["api"].string_value,
        told["route"].string_value,
        methods,
        other_than,
        "public" in gate and gate["public"].bool_value,
        asks,
        tuple(dict.fromkeys(_limits(route.route))),
        any((isinstance(one, OfHeader) and one.name == ":method") or (isinstance(one, OfCel) and one.of_method) for one in asked),
        any(isinstance(one, OfHeader) and one.name == ":path" for one in asked),
    )


def _methods(match: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if not match.headers:
        return (), ()
    (header,) = match.headers
    named = tuple(header.string_match.safe_regex.regex.split("|"))
    return ((), named) if header.invert_match else (named, ())


def _limits(action: Any) -> Iterator[str]:
    """The names that descriptors give to the limits they count against."""
    for limit in action.rate_limits:
        for one in limit.actions:
            if one.generic_key.descriptor_key == "limit":
                yield one.generic_key.descriptor_value
            elif one.header_value_match.descriptor_key == "limit":
                yield one.header_value_match.descriptor_value


def _asks(route: Any) -> Iterator[Asks]:
    if names.POLICIES not in route.typed_per_filter_config:
        yield names.DEFAULT_DENY, FALSE
        return
    for name in sorted(set(route.typed_per_filter_config) - _OTHERS):
        yield name, unread(route.typed_per_filter_config[name])
    if not route.HasField("route"):
        yield "route", unread(route)
    config = _of(route.typed_per_filter_config[names.POLICIES], _COMPOSITE)
    action = None if config is None else _plain_action(config.matcher)
    execute = None if action is None else _of(action.typed_config, _EXECUTE)
    if execute is None or not execute.HasField("filter_chain"):
        yield "chain", unread(route.typed_per_filter_config[names.POLICIES])
        return
    for one in execute.filter_chain.typed_config:
        yield from (asks for asks in _of_filter(one) if not _of_upgrades(asks))


def _of_upgrades(asks: Asks) -> bool:
    """The frame's own question, behind all policies: plain requests, of which there is talk, open no WebSocket and the like."""
    name, formula = asks
    return "/" not in name and {one.name if isinstance(one, OfHeader) else "" for one in atoms(formula)} == {"upgrade"}


def _plain_action(matcher: Any) -> Any:
    """What is run for a request that opens no WebSocket. None if that can't be told."""
    for one in matcher.matcher_list.matchers:
        formula = read_predicate(one.predicate)
        if not isinstance(formula, OfHeader) or formula.name != "upgrade":
            return None
    return matcher.on_no_match.action if matcher.on_no_match.HasField("action") else None


def _of_filter(one: Any) -> Iterator[Asks]:
    kind = one.typed_config.type_url.rpartition("/")[2]
    if kind in _DECIDE_NOTHING:
        return
    rbac = _of(one.typed_config, _RBAC)
    if rbac is None or rbac.HasField("rules"):
        yield one.name, unread(one.typed_config)
    elif rbac.HasField("matcher"):
        found = _permits(rbac.matcher)
        yield from ((one.name, unread(rbac.matcher)),) if found is None else found


def _permits(matcher: Any) -> tuple[Asks, ...] | None:
    """Predicates that must all hold, each with the name under which it refuses. None for a matcher that says something else."""
    refusal = _verdict(matcher.on_no_match)
    if len(matcher.matcher_list.matchers) != 1 or refusal is None or refusal.action != _DENY:
        return None
    (only,) = matcher.matcher_list.matchers
    asks = (str(refusal.name), read_predicate(only.predicate))
    if only.on_match.keep_matching:
        return None
    if only.on_match.HasField("matcher"):
        rest = _permits(only.on_match.matcher)
        return None if rest is None else (asks, *rest)
    allowed = _verdict(only.on_match)
    return (asks,) if allowed is not None and allowed.action == _ALLOW else None


def _verdict(on: Any) -> Any:
    return _of(on.action.typed_config, _ACTION) if on.HasField("action") else None


def _of(held: Any, name: str) -> Any:
    """The message in an Any, if it is of this type."""
    made: Message | None = message_type(name).FromString(held.value) if held.type_url.rpartition("/")[2] == name else None
    return made
