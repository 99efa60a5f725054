"""The filter of places: there only with databases, fed by the address that policies see, never by a caller."""

import pytest

from bartizan.compile import compile, resources, stamp
from bartizan.compile.places import defaults, place_filters
from bartizan.compile.read import assemble, read
from bartizan.envoy import names, to_dict
from bartizan.model.gateway import Gateway
from bartizan.model.snapshot import Snapshot

EARLY = "remove_on_match"


def gateway(places: dict[str, str], proxies: list[str] | None = None) -> Gateway:
    listener = {"name": "web", "address": "127.0.0.1:0", "trusted_proxies": proxies or []}
    return Gateway.model_validate({"kind": "Gateway", "name": "edge", "listeners": [listener], "places": places})


def test_without_databases_there_is_nothing() -> None:
    made = gateway({})
    assert place_filters(made, made.listeners[0]) == [] and list(defaults(made)) == []


@pytest.mark.parametrize(
    ("places", "keys"),
    [
        ({"network": "a.mmdb"}, {"asn": "asn", "asn_org": "operator"}),
        ({"operator": "a.mmdb"}, {"asn": "asn", "isp": "operator"}),
        ({"network": "a.mmdb", "operator": "b.mmdb"}, {"asn": "asn", "isp": "operator"}),
        ({"city": "a.mmdb"}, {"country": "country", "region": "region", "city": "city"}),
    ],
)
def test_each_database_is_asked_for_what_it_tells(places: dict[str, str], keys: dict[str, str]) -> None:
    made = gateway(places)
    (found,) = place_filters(made, made.listeners[0])
    provider = to_dict(found)["typed_config"]["provider"]["typed_config"]
    assert provider["common_provider_config"]["geo_field_keys"] == {key: f"x-bartizan-place-{name}" for key, name in keys.items()}
    paths = {value for name, value in provider.items() if name.endswith("_db_path")}
    assert paths == {names.place_file(database, file) for database, file in places.items()}


def test_behind_proxies_an_ipv4_address_in_ipv6_form_is_looked_up_as_such() -> None:
    made = gateway({"city": "a.mmdb"}, ["10.0.0.0/8"])
    mapped, places = map(to_dict, place_filters(made, made.listeners[0]))
    header = places["typed_config"]["custom_header_config"]["header_name"]
    assert header.startswith(names.PREFIX) and header in str(mapped)
    assert "::ffff:" in str(mapped)


def test_truths_begin_as_false_and_nothing_else_does() -> None:
    made = gateway({"city": "a.mmdb", "anonymous": "b.mmdb"})
    found = {one["append"]["header"]["key"]: one["append"]["header"]["value"] for one in defaults(made)}
    assert found == {f"x-bartizan-place-{name}": "false" for name in ("anonymous", "hosting", "vpn", "tor", "proxy")}


TEXT = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:0"}]
places: {city: a.mmdb, anonymous: b.mmdb}
---
{kind: Api, name: orders, paths: [/orders], upstream: "http://127.0.0.1:1"}
---
{kind: Public, name: all, reason: the place alone decides}
---
{kind: Authorize, name: de, allow: source.country == "DE" && !source.tor}
"""


def test_only_what_policies_ask_for_is_asked() -> None:
    found = assemble([read(TEXT, "a.yaml")], {})
    assert isinstance(found, Snapshot), found
    made = compile(found)
    assert not made.problems and made.asked() == {"source.country", "source.tor"}


def test_ours_are_removed_before_truths_begin_and_the_places_are_found_before_the_principal() -> None:
    found = assemble([read(TEXT, "a.yaml")], {})
    assert isinstance(found, Snapshot)
    made = compile(found)
    body = resources(made, stamp(made, {}))[names.LISTENER, "web"]
    text = body.decode("latin-1")
    assert text.index("x-bartizan-place-tor") > text.index("x-bartizan-") >= 0
    order = [text.index(f"\n{chr(len(name))}{name}") for name in (names.GATE, names.TOKENS, names.PLACES, names.PRINCIPAL_FILTER)]
    assert order == sorted(order)
