"""Chains read back: what isn't understood is left open, never overlooked."""

from typing import Any

import pytest

from bartizan.compile import Compiled
from bartizan.envoy import extension, message, message_type, names, pack
from bartizan.envoy.filters import chain_of, permits, typed, watches
from bartizan.envoy.matching import header
from bartizan.meaning.chain import Route, routes_of
from bartizan.meaning.formula import FALSE, OfAddress, OfCel, OfHeader, OfPrincipal, Unread, atoms
from tests.unit.meaning.made import authorize, made

YES = header("x", exact="y")


def _route(filters: list[Any] | None, **fields: Any) -> Route:
    """The route of /orders, with another chain."""
    (scope,) = made().scopes()
    route = scope.config.virtual_hosts[0].routes[-1]
    for name, value in fields.items():
        getattr(route, name).CopyFrom(value)
    del route.typed_per_filter_config[names.POLICIES]
    if filters is not None:
        route.typed_per_filter_config[names.POLICIES].CopyFrom(chain_of(filters))
    return routes_of(scope)[-1]


def _open(route: Route) -> list[str]:
    return [name for name, formula in route.asks if any(isinstance(one, Unread) for one in atoms(formula))]


def test_a_route_without_a_chain_is_closed() -> None:
    assert _route(None).asks == ((names.DEFAULT_DENY, FALSE),)


def test_a_filter_that_nobody_knows_is_left_open() -> None:
    lua = typed("who-knows", message("envoy.extensions.filters.http.lua.v3.Lua"))
    assert _open(_route([lua, permits([("A/a", YES)])])) == ["who-knows"]
    rules = typed("rules", message("envoy.extensions.filters.http.rbac.v3.RBAC", rules={"action": "DENY"}))
    assert _open(_route([rules])) == ["rules"]


def test_a_matcher_of_another_form_is_left_open() -> None:
    allow = extension("a", message("envoy.config.rbac.v3.Action", name="a", action="ALLOW"))
    deny = extension("a", message("envoy.config.rbac.v3.Action", name="a", action="DENY"))
    rbac = "envoy.extensions.filters.http.rbac.v3.RBAC"
    matcher = "xds.type.matcher.v3.Matcher"
    reverse = message(matcher, matcher_list={"matchers": [{"predicate": YES, "on_match": {"action": deny}}]}, on_no_match={"action": allow})
    both = message(
        matcher, matcher_list={"matchers": [{"predicate": YES, "on_match": {"action": allow}}] * 2}, on_no_match={"action": deny}
    )
    goes_on = {"predicate": YES, "on_match": {"action": allow, "keep_matching": True}}
    kept = message(matcher, matcher_list={"matchers": [goes_on]}, on_no_match={"action": deny})
    assert [_open(_route([typed("f", message(rbac, matcher=one))])) for one in (reverse, both, kept)] == [["f"]] * 3
    assert _open(_route([typed("f", message(rbac))])) == []


def test_a_filter_of_the_gateway_that_a_route_configures_is_left_open() -> None:
    (scope,) = made().scopes()
    route = scope.config.virtual_hosts[0].routes[-1]
    route.typed_per_filter_config["keys"].CopyFrom(pack(message("envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuthPerRoute")))
    assert _open(routes_of(scope)[-1]) == ["keys"]


def test_policies_are_asked_in_their_order_and_those_in_shadow_are_not() -> None:
    found = _route([permits([("A/a", YES), ("A/b", YES)]), watches("A/c", YES), permits([("A/d", YES)])])
    assert [name for name, _ in found.asks] == ["A/a", "A/b", "A/d"]


@pytest.mark.parametrize(
    ("condition", "kinds"),
    [
        ('principal.plan == "gold"', {OfPrincipal}),
        ('request.headers["a"] == "b"', {OfHeader}),
        ('source.ip.within("10.0.0.0/8")', {OfAddress}),
        ('principal.plan == principal.department && now.hour("UTC") > 3', {OfCel}),
    ],
)
def test_what_conditions_compile_to_is_read(condition: str, kinds: set[type]) -> None:
    asks = dict(_found(made(authorize(condition))).asks)
    assert {type(one) for one in atoms(asks["Authorize/rule"])} == kinds


def test_cel_that_asks_only_for_the_principal_is_closed() -> None:
    asks = dict(_found(made(authorize("principal.plan < principal.department && size(request.query) < 3"))).asks)
    found = [one for one in atoms(asks["Authorize/rule"]) if isinstance(one, OfCel)]
    assert {one.closed for one in found if "query" in one.text} == {False}
    assert {one.closed for one in found if "query" not in one.text and "path" not in one.text} == {True}
    assert {key for one in found for key in one.keys} == {"plan", "department"}


def _found(compiled: Compiled) -> Route:
    (scope,) = compiled.scopes()
    return next(one for one in routes_of(scope) if one.path == "/orders")


def test_every_kind_of_message_is_known_to_envoy() -> None:
    for name in ("envoy.extensions.filters.http.composite.v3.CompositePerRoute", "envoy.config.rbac.v3.Action"):
        assert message_type(name)
