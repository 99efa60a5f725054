"""The principal's rules: one for each header that a credential leaves behind. What Envoy makes of them: tests/e2e/test_keys.py."""

import pytest

from bartizan.envoy import message_type, to_dict
from bartizan.identity.principal import NAMESPACE, principal_rules

TYPES = {"plan": "string", "level": "number", "staff": "bool", "regions": "list", "costCenter": "string", "costcenter": "string"}


def rules(*args: object) -> list[dict[str, object]]:
    config = message_type("envoy.config.core.v3.TypedExtensionConfig").FromString(principal_rules(*args))
    assert config.name == "principal"
    found: list[dict[str, object]] = to_dict(config)["typed_config"]["request_rules"]
    return found


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


@pytest.mark.parametrize("name", ["id", "groups", "method", "issuer", "generation", "a.*", "a;", "", "a(b"])
def test_a_name_that_is_taken_or_that_a_pattern_would_read_otherwise_is_a_broken_promise(name: str) -> None:
    with pytest.raises(ValueError, match="attribute"):
        principal_rules({name: "string"}, {})
