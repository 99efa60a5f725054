"""What records tell of the policies that requests met."""

from typing import Any

import pytest

from bartizan.model.covering import Covering
from bartizan.telemetry.met import Met

COVERING = (
    Covering("Authenticate/callers", "decides", False),
    Covering("Authorize/first", "decides", False),
    Covering("Authorize/second", "decides", False),
    Covering("Cors/pages", "configures", False),
)
POLICIES = "Authenticate/callers Authorize/first Authorize/second"


def record(details: str, source: str = "192.0.2.7", **more: Any) -> dict[str, Any]:
    """A record of a request to the one route."""
    status = 200 if details == "via_upstream" else 403
    where = {"api": "orders", "route": "/orders", "http_method": "GET", "policies": POLICIES}
    return {"details": details, "status": status, "source": source, **where, **more}


def refused(by: str) -> str:
    return f"rbac_access_denied_matched_policy[{by}]"


def met(*records: dict[str, Any]) -> Met:
    found = Met(lambda api, route, method: COVERING if api == "orders" else ())
    found.count(records)
    return found


def test_policies_are_asked_up_to_the_one_that_refuses() -> None:
    found = met(record("via_upstream"), record(refused("Authorize/first")), record(refused("Authorize/first")))
    assert found.requests == 3
    assert found.asked == {"Authenticate/callers": 3, "Authorize/first": 3, "Authorize/second": 1, "Cors/pages": 3}
    assert {name: count for name, count in found.passed.items() if count} == {
        "Authenticate/callers": 3,
        "Authorize/first": 1,
        "Authorize/second": 1,
        "Cors/pages": 3,
    }


def test_what_came_to_no_api_met_no_policy() -> None:
    assert not met(record(refused("no-api"), api=None, policies=None)).asked


def test_a_shadow_was_asked_too() -> None:
    told = {"Authorize/tried.shadow_engine_result": "denied"}
    found = met(record("via_upstream", shadows=told), record("via_upstream"))
    assert (found.asked["Authorize/tried"], found.passed["Authorize/tried"]) == (1, 0)


@pytest.mark.parametrize(
    ("network", "seen"),
    [
        ("192.0.2.7/32", True),
        ("192.0.2.0/24", True),
        ("192.0.2.8/32", False),
        ("198.51.100.9/32", True),  # the record holds the network alone: it may have been this one
        ("198.51.101.0/24", False),
        ("0.0.0.0/0", True),
        ("2001:db8::/32", True),
        ("2001:db9::/32", False),
        ("203.0.113.0/24", False),
    ],
)
def test_networks_from_which_nothing_came(network: str, seen: bool) -> None:
    found = met(*(record("via_upstream", source) for source in ("192.0.2.7", "198.51.100.0/24", "2001:db8::1", "nonsense")))
    assert found.unseen([network]) == ([] if seen else [network])
