"""The filter of places: there only with databases, fed by the address that policies see, never by a caller."""

from typing import Any

import pytest

from bartizan.compile import compile, resources, shared, stamp
from bartizan.compile.places import TRUTHS, place_filter
from bartizan.compile.read import assemble, read
from bartizan.envoy import names, to_dict
from bartizan.envoy.filters import nothing
from bartizan.model.gateway import Gateway
from bartizan.model.snapshot import Snapshot


def gateway(places: dict[str, str], proxies: list[str] | None = None) -> Gateway:
    listener = {"name": "web", "address": "127.0.0.1:0", "trusted_proxies": proxies or []}
    return Gateway.model_validate({"kind": "Gateway", "name": "edge", "listeners": [listener], "places": places})


def chain(*gateways: Gateway) -> dict[str, Any]:
    """The filters by their names."""
    found = to_dict(place_filter(gateways)).get("default_filter_chain", {"filters": []})["filters"]
    return {one["name"]: one["typed_config"] for one in found}


def databases(*gateways: Gateway) -> set[str]:
    provider = chain(*gateways)["found"]["provider"]["typed_config"]
    return {value for name, value in provider.items() if name.endswith("_db_path")}


def test_without_databases_there_is_nothing() -> None:
    assert place_filter([gateway({})]) == nothing()


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
    provider = chain(made)["found"]["provider"]["typed_config"]
    assert provider["common_provider_config"]["geo_field_keys"] == {key: f"x-bartizan-place-{name}" for key, name in keys.items()}
    assert databases(made) == {names.place_file(database, file) for database, file in places.items()}


def test_what_a_revision_before_names_stays_for_as_long_as_a_request_may_meet_it() -> None:
    now, before = gateway({"city": "new.mmdb"}), gateway({"city": "old.mmdb", "network": "a.mmdb"}, ["10.0.0.0/8"])
    assert databases(now, before) == {names.place_file("city", "new.mmdb"), names.place_file("network", "a.mmdb")}
    assert "unmapped" in chain(now, before) and "unmapped" not in chain(now)


def test_behind_proxies_an_ipv4_address_in_ipv6_form_is_looked_up_as_such() -> None:
    found = chain(gateway({"city": "a.mmdb"}, ["10.0.0.0/8"]))
    header = found["found"]["custom_header_config"]["header_name"]
    assert list(found) == ["unmapped", "found"]
    assert header.startswith(names.PREFIX) and header in str(found["unmapped"]) and "::ffff:" in str(found["unmapped"])


def test_truths_begin_as_false_and_nothing_else_does() -> None:
    found = chain(gateway({"city": "a.mmdb", "anonymous": "b.mmdb"}))
    assert list(found) == [TRUTHS, "found"]
    mutations = [one["append"] for one in found[TRUTHS]["mutations"]["request_mutations"]]
    told = {one["header"]["key"]: one["header"]["value"] for one in mutations}
    assert told == {f"x-bartizan-place-{name}": "false" for name in ("anonymous", "hosting", "vpn", "tor", "proxy")}
    assert {one["append_action"] for one in mutations} == {"ADD_IF_ABSENT"}


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


def test_it_stands_before_the_filter_that_reads_what_it_finds() -> None:
    found = assemble([read(TEXT, "a.yaml")], {})
    assert isinstance(found, Snapshot)
    made = compile(found)
    text = resources(made, stamp(made, {}))[names.LISTENER, "web"].decode("latin-1")
    order = [text.index(f"\n{chr(len(name))}{name}") for name in (names.GATE, names.TOKENS, names.PLACES, names.PRINCIPAL_FILTER)]
    assert order == sorted(order)
    assert b"places/city-" in shared(made)[names.ECDS, names.PLACES]
