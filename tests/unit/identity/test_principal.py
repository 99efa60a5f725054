"""The principal's rules: one for each header that a credential leaves behind. What Envoy makes of them: tests/e2e/test_keys.py."""

import itertools
import re
from collections.abc import Mapping
from typing import Any

import pytest

from bartizan.envoy import message_type, to_dict
from bartizan.identity.principal import NAMESPACE, Wanted, principal_rules
from bartizan.identity.table import ConsumerView, identity, order_mark

TYPES = {"plan": "string", "level": "number", "staff": "bool", "regions": "list", "costCenter": "string", "costcenter": "string"}


def rules(*args: Any, **more: Any) -> list[dict[str, Any]]:
    config = message_type("envoy.config.core.v3.TypedExtensionConfig").FromString(principal_rules(*args, wanted=Wanted(**more)))
    assert config.name == "principal"
    found: list[dict[str, Any]] = to_dict(config)["typed_config"]["request_rules"]
    return found


def lifted(entry: str, attributes: Mapping[str, str], **more: Any) -> dict[str, str]:
    """What the rules make of an API key's entry, as Envoy does: what is rewritten to nothing sets no key."""
    found = {}
    for rule in rules(attributes, {}, **more):
        pair = rule.get("on_header_present")
        if pair is None or rule["header"] != "x-bartizan-principal":
            continue
        value = pair.get("value", entry)
        if rewrite := pair.get("regex_value_rewrite"):
            pattern = rewrite["pattern"]["regex"].replace(r"\C", r"[\s\S]").replace("$", r"\Z")
            assert rewrite["substitution"] == r"\1"
            value = re.sub(pattern, lambda match: match[1] or "", value)
        if value:
            found[pair["key"]] = value
    return found


def entry_of(view: ConsumerView, attributes: Mapping[str, str]) -> str:
    before, behind = identity(view, attributes)
    return f"{before}key_a{behind}"


def test_every_rule_writes_to_the_one_namespace_and_overwrites_no_request() -> None:
    for rule in rules(TYPES, {"corp": "https://idp"}):
        (pair,) = (rule[key] for key in ("on_header_present", "on_header_missing") if key in rule)
        assert pair["metadata_namespace"] == NAMESPACE
        assert "remove" not in rule


def test_every_attribute_has_a_way_in_by_key_and_by_token() -> None:
    made = rules(TYPES, {"corp": "https://idp"})
    for name, kind in {**TYPES, "groups": "list"}.items():
        key, token = [rule for rule in made if rule.get("on_header_present", {}).get("key") == name]
        assert key["header"] == "x-bartizan-principal"
        assert token["header"].startswith("x-bartizan-claim-")
        for rule in (key, token):
            assert (rule["on_header_present"].get("type") == "NUMBER") == (kind == "number")
        assert (token["on_header_present"].get("encode") == "BASE64") == (kind == "list")


def test_no_two_names_share_a_header() -> None:
    made = rules(TYPES, {"corp": "https://idp", "Corp": "https://b", "co_rp": "https://c", "co-rp": "https://d"})
    ways = [(rule["header"], rule["on_header_present"]["key"]) for rule in made if "on_header_present" in rule]
    assert len(ways) == len(set(ways))
    claims = [header for header, _ in ways if "-claim-" in header]
    assert len(claims) == len(set(claims)) == len(TYPES) + 1


def test_equal_input_gives_equal_bytes_and_the_generation_is_in_them() -> None:
    assert principal_rules(TYPES, {"a": "b"}, 1) == principal_rules(dict(TYPES), {"a": "b"}, 1) != principal_rules(TYPES, {"a": "b"}, 2)


FOUR = {"plan": "string", "department": "string", "level": "number", "regions": "list"}
ACME = ConsumerView("acme", ("ops",), {"plan": "gold", "department": "sales", "level": 3, "regions": ["eu"]})


def test_an_entry_becomes_the_consumer_it_was_made_of() -> None:
    assert lifted(entry_of(ACME, FOUR), FOUR) == {
        **{"method": "api_key", "id": "acme", "key": "key_a", "groups": '["ops"]'},
        **{"plan": "gold", "department": "sales", "level": "3", "regions": '["eu"]'},
    }


def test_an_entry_of_another_order_gives_no_value_to_anyone() -> None:
    """Tables and rules reach Envoy one after the other. Without an id, no Authenticate lets through."""
    orders = [dict(some) for count in range(5) for some in itertools.permutations(FOUR.items(), count)]
    full = lifted(entry_of(ACME, FOUR), FOUR)
    assert len(orders) == 65
    for held in orders:
        for asked in orders:
            found = lifted(entry_of(ACME, held), asked)
            if list(held) == list(asked):
                assert found == {name: full[name] for name in ("method", "id", "key", "groups", *held)}
            else:
                assert found == {"method": "api_key"}, (held, asked)


def test_the_two_orders_of_two_attributes_are_never_mixed_up() -> None:
    one, other = {"plan": "string", "department": "string"}, {"department": "string", "plan": "string"}
    eve = ConsumerView("eve", (), {"plan": "free", "department": "finance"})
    assert lifted(entry_of(eve, one), one)["department"] == "finance"
    assert lifted(entry_of(eve, one), other) == lifted(entry_of(eve, other), one) == {"method": "api_key"}


@pytest.mark.parametrize("missing", [set(some) for count in range(1, 5) for some in itertools.combinations(FOUR, count)])
def test_what_a_consumer_lacks_is_missing_and_moves_nothing(missing: set[str]) -> None:
    view = ConsumerView("acme", (), {name: value for name, value in ACME.attributes.items() if name not in missing})
    found = lifted(entry_of(view, FOUR), FOUR)
    whole = lifted(entry_of(ConsumerView("acme", (), ACME.attributes), FOUR), FOUR)
    assert found == {name: value for name, value in whole.items() if name not in missing}


@pytest.mark.parametrize(
    "value", ["=", "a=b", "id=root", "x,y", '"', "\\", "\\1", "[]", "-", "ünï 猫🐈", "$", "^", "(", "key_a", order_mark(FOUR)]
)
def test_odd_characters_arrive_as_they_are(value: str) -> None:
    found = lifted(entry_of(ConsumerView("acme", (), {"plan": value, "department": value}), FOUR), FOUR)
    assert found == {"method": "api_key", "id": "acme", "key": "key_a", "groups": "[]", "plan": value, "department": value}


def test_fifty_attributes_each_have_their_place() -> None:
    many = {f"a{i}": "string" for i in range(50)}
    values = {name: f"v{name}" for i, name in enumerate(many) if i % 3}
    found = lifted(entry_of(ConsumerView("acme", (), values), many), many)
    assert {name: found[name] for name in found if name in many} == values


@pytest.mark.parametrize(
    "text", ["", "-", ";", ";;;;;;;;", "acme", "acme;key_a;[];gold;sales;3;[]", ";id=acme;key=key_a;groups=[];plan=gold;"]
)
def test_what_has_not_the_mark_gives_nothing(text: str) -> None:
    assert lifted(text, FOUR).keys() <= {"method"}


def test_a_text_that_ends_early_gives_what_it_holds_and_never_the_whole_text() -> None:
    whole = entry_of(ACME, FOUR)
    full = lifted(whole, FOUR)
    for length in range(len(whole)):
        for name, value in lifted(whole[:length], FOUR).items():
            assert full[name].startswith(value), (length, name, value)


def test_only_what_is_asked_for_is_lifted_whatever_the_way_in() -> None:
    asked = frozenset({"level", "regions"})
    assert lifted(entry_of(ACME, FOUR), FOUR, asked=asked) == {
        **{"method": "api_key", "id": "acme", "key": "key_a"},
        **{"level": "3", "regions": '["eu"]'},
    }
    assert lifted(entry_of(ACME, FOUR), FOUR, asked=frozenset({"groups"})).keys() == {"method", "id", "key", "groups"}
    for some in (frozenset(), asked, frozenset({"groups"})):
        claims = {
            rule["on_header_present"]["key"] for rule in rules(FOUR, {"corp": "https://idp"}, asked=some) if "-claim-" in rule["header"]
        }
        assert claims == some


def test_while_tables_are_written_anew_entries_of_either_order_are_read_right() -> None:
    other = {"regions": "list", "plan": "string"}
    for attributes in (FOUR, other):
        found = lifted(entry_of(ACME, attributes), other, formerly=FOUR)
        assert found["id"] == "acme"
        assert found["key"] == "key_a"
        assert found["regions"] == '["eu"]'
        # What is declared no more is read for as long as there are tables that tell it: routes of before may ask.
        assert found.get("department") == ("sales" if attributes is FOUR else None)
    assert lifted(entry_of(ACME, FOUR), other).keys() == {"method"}


def test_while_attributes_change_in_any_way_no_value_is_lost_or_moved() -> None:
    orders = [dict(some) for count in range(5) for some in itertools.permutations(FOUR.items(), count)]
    stranger = {"plan": "string", "unheard_of": "string"}
    full = lifted(entry_of(ACME, FOUR), FOUR)
    for new in orders:
        for old in orders:
            for held in (new, old):
                if held:
                    found = lifted(entry_of(ACME, held), new, formerly=old)
                    assert found == {name: full[name] for name in ("method", "id", "key", "groups", *held)}
            assert lifted(entry_of(ACME, stranger), new, formerly=old) == {"method": "api_key"}


def test_an_attribute_that_changes_its_type_is_missing_until_the_tables_tell_it() -> None:
    held, new = {"plan": "string", "department": "string"}, {"department": "string", "plan": "number"}
    found = lifted(entry_of(ConsumerView("acme", (), {"plan": "7", "department": "x"}), held), new, formerly=held)
    assert found == {"method": "api_key", "id": "acme", "key": "key_a", "groups": "[]", "department": "x"}


def test_without_client_certificates_nothing_is_read_from_their_headers() -> None:
    headers = {rule["header"] for rule in rules(FOUR, {}, certificates=False)}
    assert {"x-bartizan-ca", "x-bartizan-cert"} & headers == set()
    assert {"x-bartizan-ca", "x-bartizan-cert"} <= {rule["header"] for rule in rules(FOUR, {})}


@pytest.mark.parametrize("name", ["id", "groups", "method", "issuer", "generation", "a.*", "a;", "", "a(b"])
def test_a_name_that_is_taken_or_that_a_pattern_would_read_otherwise_is_a_broken_promise(name: str) -> None:
    with pytest.raises(ValueError, match="attribute"):
        principal_rules({name: "string"}, {})


def test_what_a_canary_declares_and_asks_for_is_lifted_beside_what_is_served() -> None:
    served, coming = {"plan": "string", "level": "string"}, {"level": "number", "plan": "string", "region": "string"}
    entry = entry_of(ConsumerView("acme", (), {"plan": "gold", "level": 3, "region": "eu"}), coming)
    asked = {"asked": frozenset({"plan", "level", "region"}), "written": (coming,)}
    # Where both declare one name, it is of the type that is served.
    assert lifted(entry, served, coming=coming, **asked) == {
        "method": "api_key",
        "id": "acme",
        "key": "key_a",
        "plan": "gold",
        "region": "eu",
    }
    assert "region" not in lifted(entry, served, **asked)


def test_places_are_lifted_as_far_as_they_are_asked_for() -> None:
    told = {"source.country": "string", "source.asn": "number", "source.tor": "bool"}
    made = principal_rules({}, {}, wanted=Wanted(frozenset({"source.asn", "source.tor"}), places=told))
    text = made.decode("latin-1")
    assert "x-bartizan-place-asn" in text and "x-bartizan-place-tor" in text and "x-bartizan-place-country" not in text
    assert "x-bartizan-place" not in principal_rules({}, {}).decode("latin-1")
