"""Which policies cover a request, in the order of the chain, and what each does there."""

import pytest

from bartizan.compile import Compiled, compile
from bartizan.compile.covering import covering, scopes_of
from bartizan.compile.read import assemble, read
from bartizan.model.covering import Covering
from bartizan.model.snapshot import Snapshot

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
attributes: {plan: string}
---
kind: Api
name: orders
hosts: [a.example.com, "*.b.example.com"]
paths: [/orders, /orders/v2]
upstream: http://127.0.0.1:9101
---
kind: Api
name: other
paths: [/other]
upstream: http://127.0.0.1:9101
---
kind: RateLimit
name: by-plan
per: principal.id
tiers: [{windows: [1/second]}]
---
kind: Authenticate
name: callers
target: {except: [/orders/health]}
any: [api_key]
---
kind: Public
name: health
target: {api: orders, paths: [/orders/health]}
reason: the load balancer asks
---
kind: Authorize
name: refunds
target: {api: orders, methods: [POST, GET], paths: [/orders/refunds]}
allow: principal.plan == "gold"
mode: shadow
---
kind: Authorize
name: nobody
target: {api: orders, paths: [/orders/refunds]}
allow: principal.plan == "none"
mode: disabled
"""


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    found = assemble([read(FILES, "a.yaml")], {})
    assert isinstance(found, Snapshot), found
    made = compile(found)
    assert not made.problems
    return made


CALLERS = Covering("Authenticate/callers", "decides")
REFUNDS = Covering("Authorize/refunds", "decides", shadow=True)
LIMIT = Covering("RateLimit/by-plan", "counts")
PROTECT = Covering("Protect/default", "configures")


@pytest.mark.parametrize(
    ("api", "route", "method", "expected"),
    [
        ("orders", "/orders", "GET", [CALLERS, LIMIT, PROTECT]),
        ("orders", "/orders/refunds", "POST", [CALLERS, REFUNDS, LIMIT, PROTECT]),
        ("orders", "/orders/refunds", "HEAD", [CALLERS, REFUNDS, LIMIT, PROTECT]),
        ("orders", "/orders/refunds", "DELETE", [CALLERS, LIMIT, PROTECT]),
        ("orders", "/orders/health", "GET", [Covering("Public/health", "configures"), LIMIT, PROTECT]),
        ("orders", "/orders/v2", "GET", [CALLERS, LIMIT, PROTECT]),
        ("other", "/other", "PATCH", [CALLERS, LIMIT, PROTECT]),
        ("orders", "/orders/unknown", "GET", []),
        ("orders", "/elsewhere", "GET", []),
        ("unknown", "/orders", "GET", []),
    ],
)
def test_the_policies_of_a_route(compiled: Compiled, api: str, route: str, method: str, expected: list[Covering]) -> None:
    found = covering(compiled, api, route, method)
    assert [one for _, one in found] == expected
    assert [policy.id for policy, _ in found] == [one.policy for one in expected]


def test_every_route_that_is_compiled_is_found_under_the_name_that_records_have(compiled: Compiled) -> None:
    for scope in compiled.scopes():
        for route in scope.config.virtual_hosts[0].routes:
            named = route.metadata.filter_metadata["bartizan"].fields
            chain = [one for _, one in covering(compiled, named["api"].string_value, named["route"].string_value, "POST")]
            assert PROTECT in chain
            assert scope.name in scopes_of(compiled, named["api"].string_value, named["route"].string_value)


def test_a_route_stands_in_one_configuration_for_each_host(compiled: Compiled) -> None:
    assert scopes_of(compiled, "orders", "/orders/refunds") == ("a.example.com/orders", "*.b.example.com/orders")
    assert scopes_of(compiled, "orders", "/orders/v2") == ("a.example.com/orders/v2", "*.b.example.com/orders/v2")
    assert scopes_of(compiled, "orders", "/elsewhere") == scopes_of(compiled, "unknown", "/orders") == ()
