"""Filters in short: what they say, and which may come by ECDS."""

from bartizan.envoy import message_type
from bartizan.envoy.filters import discovered, nothing, refuse
from bartizan.envoy.matching import header


def test_who_has_nothing_to_refuse_is_no_filter() -> None:
    assert refuse([], "blocks") == nothing()
    made = nothing()
    assert made.DESCRIPTOR.full_name == "envoy.extensions.filters.http.filter_chain.v3.FilterChainConfig"
    assert not made.default_filter_chain.filters


def test_refusals_are_asked_in_order() -> None:
    made = refuse([("one", header("x-a", exact="1")), ("two", header("x-b", exact="1"))], "neither")
    actions = [one.on_match.action for one in made.matcher.matcher_list.matchers] + [made.matcher.on_no_match.action]
    found = [message_type("envoy.config.rbac.v3.Action").FromString(one.typed_config.value) for one in actions]
    assert [(one.name, one.action) for one in found] == [("one", 1), ("two", 1), ("neither", 0)]  # type: ignore[attr-defined]


def test_what_comes_by_ecds_may_be_nothing() -> None:
    made = discovered("blocks", ["envoy.extensions.filters.http.rbac.v3.RBAC"])
    urls = list(made.config_discovery.type_urls)
    assert urls == [
        "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
        "type.googleapis.com/envoy.extensions.filters.http.filter_chain.v3.FilterChainConfig",
    ]
