"""The RateLimit kind: what may be written, and what it becomes."""

from typing import Any

import pytest
from pydantic import ValidationError

from bartizan.condition import Schema, Sources
from bartizan.envoy import to_dict
from bartizan.model.api import Api
from bartizan.model.gateway import Gateway, Listener
from bartizan.policies import Fragment, Place
from bartizan.policies.rate_limit import RateLimit

GATEWAY = Gateway(name="edge", listeners=(Listener(name="web", address="127.0.0.1:0"),))
SCHEMA = Schema({"plan": "string", "level": "number"})
HEADER = 'request.headers["x-a"]'


def limit(*per: str, **fields: Any) -> RateLimit:
    return RateLimit.model_validate({"name": "x", "per": list(per) or "route", "tiers": [{"windows": ["1/second"]}], **fields})


def compiled(policy: RateLimit, shadow: bool = False) -> Fragment:
    api = Api.model_validate({"name": "orders", "paths": ["/orders"], "upstream": "http://127.0.0.1:1", "methods": ["REPORT"]})
    return policy.compile(Place("RateLimit/x", shadow, api, "/orders/x", GATEWAY, SCHEMA, Sources()))


@pytest.mark.parametrize(
    "window",
    [
        *("1/second/hour", "a1/second", "1/seconds", "01/second", "0/second", "-1/second", "1/week", "1 /second", "", "/hour", "1.5/hour"),
        *("1/second\n", "1000000000/second", "99999999999/day"),  # Envoy counts no further than 2**32
    ],
)
def test_what_is_no_window(window: str) -> None:
    with pytest.raises(ValidationError):
        limit(tiers=[{"windows": [window]}])


@pytest.mark.parametrize("burst", [0, -1, 1_000_000_000, "2"])
def test_what_is_no_burst(burst: Any) -> None:
    with pytest.raises(ValidationError):
        limit(tiers=[{"windows": ["1/second"], "burst": burst}])


@pytest.mark.parametrize(
    "tiers",
    [
        [],
        [{"windows": []}],
        [{"when": "true", "windows": ["1/second"]}],
        [{"windows": ["1/second"]}, {"windows": ["2/second"]}],
        [{"windows": ["1/second"]}, {"when": "true", "windows": ["2/second"]}],
    ],
)
def test_the_last_tier_and_no_other_is_for_all(tiers: Any) -> None:
    with pytest.raises(ValidationError):
        limit(tiers=tiers)


@pytest.mark.parametrize(
    "part",
    [
        *("principal.level", "principal.none", "principal", "source", "request.path", "request.headers[x-a]", 'request.headers["x a"]'),
        *("request.headers['']", f"request.headers['{'a' * 65}']", "request.headers[':path']", "Route", ""),
    ],
)
def test_by_what_buckets_cant_be_shared_out(part: str) -> None:
    (fault,) = limit("route", part).faults(SCHEMA, {})
    assert (fault.path, fault.code) == (("per", 1), "limit-unknown-key")


def test_a_limit_has_one_part_at_least_and_four_at_most() -> None:
    assert limit("route").per == ("route",)
    for per in ([], ["route"] * 5):
        with pytest.raises(ValidationError):
            limit(per=per)


def test_the_largest_sizes_compile() -> None:
    made = compiled(limit(tiers=[{"windows": ["999999999/second", "999999999/day"], "burst": 999_999_999}]))
    assert [(one.count, one.period_s, one.burst) for one in made.buckets] == [
        (999_999_999, 1, 999_999_999),
        (999_999_999, 86_400, 999_999_999),
    ]


def test_burst_is_of_the_first_window() -> None:
    made = compiled(limit(tiers=[{"windows": ["10/second", "500/hour"], "burst": 20}]))
    assert [(one.count, one.burst) for one in made.buckets] == [(10, 20), (500, 500)]


@pytest.mark.parametrize(
    ("per", "ways"),
    [(("route",), 1), (("principal.plan",), 1), (("source.ip",), 2), ((HEADER,), 2), (("source.ip", HEADER, "request.method"), 8)],
)
def test_what_yields_an_entry_is_complete(per: tuple[str, ...], ways: int) -> None:
    """Every way has an entry for each key, in the order of the bucket's, and of two ways one is the other's opposite."""
    made = compiled(limit(*per))
    (bucket,) = made.buckets
    keys = [key for key, _ in bucket.entries]
    assert len(made.rate_limits) == ways
    for one in made.rate_limits:
        fields = [next(iter(action.values())) for action in to_dict(one)["actions"]]
        assert [field["descriptor_key"] for field in fields] == keys
    whole = str([to_dict(one) for one in made.rate_limits])
    assert whole.count("'invert_match': True") * 2 == whole.count("'address_matcher'") + whole.count("'treat_missing_header_as_empty'")


def test_the_form_of_a_descriptor_doesnt_depend_on_what_is_edited() -> None:
    """So routes of the revision before an edit count in the buckets of the next."""
    first, second = compiled(limit("route")), compiled(limit("source.ip", HEADER, tiers=[{"windows": ["7/day"]}]))
    assert [one.entries for one in first.buckets] == [one.entries for one in second.buckets]


def test_methods_of_the_api_are_known() -> None:
    whole = str([to_dict(one) for one in compiled(limit("request.method")).rate_limits])
    assert "|REPORT|" in whole and "GET|HEAD" in whole


def test_in_shadow_callers_are_told_nothing() -> None:
    for shadow in (False, True):
        made = compiled(limit(), shadow)
        assert {one.shadow for one in made.buckets} == {shadow}
        assert {to_dict(one)["x_ratelimit_option"] for one in made.rate_limits} == {"OFF" if shadow else "DRAFT_VERSION_03"}


@pytest.mark.parametrize(
    ("own", "path", "route"),
    [
        ([], "/orders/x/y", "/orders"),
        (["/orders/x"], "/orders/x/y", "/orders/x"),
        (["/orders/x"], "/orders/xy", "/orders"),
        (["/orders/x", "/orders/x/y"], "/orders/x/y", "/orders/x/y"),
        (["/refunds"], "/refunds", "/refunds"),
        (["/"], "/elsewhere", "/"),
    ],
)
def test_a_route_is_a_path_of_the_api_or_of_the_policy(own: list[str], path: str, route: str) -> None:
    assert limit(target={"paths": own}).route(("/orders", "/refunds"), path) == route


def test_a_route_is_of_one_api() -> None:
    assert "'orders/orders'" in str(to_dict(compiled(limit("route")).rate_limits[0]))
