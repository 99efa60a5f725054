"""What of a change can be tried on some callers: told from what two revisions compile to."""

import pytest

from bartizan.compile import Compiled, compile
from bartizan.compile.read import assemble, read
from bartizan.compile.riding import Riding, riding
from bartizan.model.snapshot import Snapshot

GATEWAY = "kind: Gateway\nname: edge\nlisteners: [{name: web, address: '127.0.0.1:8080'}]\n"
REST = """
{kind: Api, name: orders, paths: [/orders, /old], upstream: 'http://127.0.0.1:1'}
---
{kind: Api, name: pub, paths: [/pub], upstream: 'http://127.0.0.1:1'}
---
{kind: Authenticate, name: callers, target: {api: orders}, any: [api_key]}
---
{kind: Public, name: pub, target: {api: pub}, reason: for everyone}
"""
LIMIT = "\n---\n{kind: RateLimit, name: few, per: principal.id, tiers: [{windows: [WINDOW]}]}\n"
DENY = "\n---\n{kind: IpAccess, name: shut, target: {api: orders, paths: [/orders]}, deny: [10.0.0.0/8]}\n"
CORS = "\n---\n{kind: Cors, name: pages, origins: ['https://a.example.com']}\n"


def made(rest: str = REST, gateway: str = GATEWAY, before: Compiled | None = None) -> Compiled:
    found = assemble([read(gateway, "gateway.yaml"), read(rest, "rest.yaml")], {})
    assert isinstance(found, Snapshot), found
    compiled = compile(found, before=before)
    assert not compiled.problems
    return compiled


def found(rest: str = REST, gateway: str = GATEWAY, active: Compiled | None = None) -> Riding:
    return riding(active or made(), made(rest, gateway))


def test_nothing_rides_where_nothing_has_changed() -> None:
    for one in (found(), riding(active := made(), made(before=active))):
        assert (dict(one.scopes), one.apart) == ({}, ())


def test_a_policy_rides_on_the_routes_that_it_changes_and_on_no_others() -> None:
    one = found(REST + DENY)
    assert (set(one.scopes), one.apart) == ({"*/orders"}, ())


@pytest.mark.parametrize("change", [CORS, "\n---\n{kind: IpAccess, name: shut, target: {api: pub}, deny: [10.0.0.0/8]}\n"])
def test_what_is_asked_before_it_is_known_who_calls_or_where_nobody_is_asked_rides_nowhere(change: str) -> None:
    one = found(REST + change)
    assert dict(one.scopes) == {}
    assert one.apart == (("Cors/pages",) if change is CORS else ())


def test_a_cors_goes_on_as_it_is_beside_what_rides() -> None:
    active = made(REST + CORS)
    one = riding(active, made((REST + CORS + DENY).replace("a.example.com", "b.example.com")))
    assert (set(one.scopes), one.apart) == ({"*/orders"}, ("Cors/pages",))
    assert b"a.example.com" in one.scopes["*/orders"].config.SerializeToString()
    assert b"b.example.com" not in one.scopes["*/orders"].config.SerializeToString()
    gone = riding(active, made(REST + DENY))
    assert gone.apart == ("Cors/pages",)
    assert b"a.example.com" in gone.scopes["*/orders"].config.SerializeToString()


def test_apis_elsewhere_begin_when_all_is_out() -> None:
    for change in (("[/orders, /old]", "[/orders, /new]"), ("[/orders, /old]", "[/orders]")):
        one = found(REST.replace(*change) + DENY)
        assert (set(one.scopes), one.apart) == ({"*/orders"}, ("Api/orders",))
    one = found(REST.replace("http://127.0.0.1:1'}\n---\n{kind: Api, name: pub", "http://127.0.0.1:2'}\n---\n{kind: Api, name: pub"))
    assert (set(one.scopes), one.apart) == ({"*/orders", "*/old"}, ())


def test_a_new_limit_rides_and_one_of_another_size_doesnt() -> None:
    limited = made(REST + LIMIT.replace("WINDOW", "5/second"))
    assert found(REST + LIMIT.replace("WINDOW", "5/second")).apart == ()
    assert riding(limited, made()).apart == ()
    resized = riding(limited, made(REST + LIMIT.replace("WINDOW", "6/second")))
    assert (dict(resized.scopes), resized.apart) == ({}, ("RateLimit/few",))
    shadow = riding(limited, made(REST + LIMIT.replace("WINDOW", "5/second").replace("per:", "mode: shadow, per:")))
    assert shadow.apart == ("RateLimit/few",)


def test_of_a_gateway_its_attributes_ride() -> None:
    assert found(gateway=GATEWAY + "attributes: {plan: string}\n").apart == ()
    assert found(gateway=GATEWAY + "blocking: {attempts: 7}\n").apart == ("Gateway/edge",)


def test_of_a_protect_what_bounds_connections_doesnt_ride() -> None:
    body, url = (f"\n---\n{{kind: Protect, name: bounds, {what}}}\n" for what in ("body: 1MB", "body: 1MB, url: 1KiB"))
    assert (set(found(REST + body).scopes), found(REST + body).apart) == ({"*/orders", "*/old"}, ())
    assert found(REST + url).apart == ("Protect/bounds",)


def test_consumers_are_no_part_of_it() -> None:
    assert found(REST + "\n---\n{kind: Consumer, name: acme}\n").apart == ()
