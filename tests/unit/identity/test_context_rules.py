"""The filters of context: what isn't known to be young enough is never lifted. What Envoy makes of them: tests/e2e/test_context.py."""

import json
import re
from typing import Any

import pytest

from bartizan.envoy import message_type, to_dict
from bartizan.identity.context_rules import Asked, entry, fresh, subjects
from bartizan.identity.principal import Wanted, principal_rules
from bartizan.model.context import ContextSource

TYPES = {"job": "string", "plan": "string", "level": "number", "@hr": "number", "@mdm": "number"}


def source(name: str = "hr", **more: Any) -> ContextSource:
    return ContextSource.model_validate({"name": name, "attributes": ["plan"], "push": True, "max_age": "60s", **more})


def asked(*sources: ContextSource, wants: frozenset[str] = frozenset({"job", "plan", "level"})) -> Asked:
    contextual = {attribute: one.stamp for one in sources for attribute in one.attributes}
    return Asked(TYPES, Wanted(wants, contextual=contextual), {one.name: one for one in sources})


def matchers(found: Asked, counting: dict[str, tuple[int, float]]) -> list[Any]:
    (one,) = to_dict(fresh(found, counting))["default_filter_chain"]["filters"]
    return list(one["typed_config"]["matcher"]["matcher_list"]["matchers"])


def keys(inner: Any) -> list[str]:
    return re.findall(r'"key": "([^"]+)"', json.dumps(inner))


def test_no_attribute_of_a_source_is_lifted_before_its_age_is_known() -> None:
    wanted = asked(source()).wanted
    text = str(to_dict_of(principal_rules(TYPES, {"corp": "https://idp"}, 1, wanted)))
    assert "'key': 'job'" in text and "'key': '@hr'" in text and "'key': 'level'" in text
    assert "'key': 'plan'" not in text and "claim-plan" not in text and "'key': '@mdm'" not in text


def to_dict_of(body: bytes) -> dict[str, Any]:
    return to_dict(message_type("envoy.config.core.v3.TypedExtensionConfig").FromString(body))


def test_what_nobody_asks_for_costs_nothing() -> None:
    nothing = to_dict(fresh(asked(source(), wants=frozenset({"job"})), {"hr": (1, 1.7e9)}))
    assert "default_filter_chain" not in nothing
    assert "default_filter_chain" not in to_dict(subjects({"a|b": "x"}, asked(source(), wants=frozenset({"job"}))))
    assert "default_filter_chain" not in to_dict(subjects({}, asked(source())))


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("stale", ["deny", "keep", {"plan": "free"}])
def test_an_attribute_is_lifted_only_behind_a_comparison_with_the_time(whole: bool, stale: Any) -> None:
    found = matchers(asked(source(stale=stale)), {"hr": (3, 1.7e9)} if whole else {})
    assert len(found) == (3 if whole else 2)
    *lifting, last = found
    for one in lifting:
        assert "plan" in keys(one["on_match"])
        assert ("CelMatcher" in str(one["predicate"])) == (stale != "keep") and "double_match" in str(one["predicate"])
    assert "CelMatcher" not in str(last["predicate"]) and "present_match" in str(last["predicate"])
    assert ("'plan': 'free'" in str(last)) == (stale == {"plan": "free"}) and "'hr': 'stale'" in str(last)


def test_what_was_said_at_once_counts_by_its_own_epoch_alone() -> None:
    predicate = str(matchers(asked(source()), {"hr": (7, 1_700_000_000.5)})[1]["predicate"])
    assert "'exact': 7.0" in predicate
    assert "2023-11-14T22:14:20.500Z" in predicate and "2023-11-14T22:12:20.500Z" in predicate, "a minute later; a minute before"


def test_entries_are_found_by_the_principals_id_and_nothing_ends_the_text_early() -> None:
    hostile = "https://idp|a]=]b]==]"
    entries = {hostile: entry({"plan": "x]=]", "@hr": 1.0}, TYPES), "https://idp|ines": entry({"plan": "gold", "@hr": 5.5e9}, TYPES)}
    chain = to_dict(subjects(entries, asked(source())))["default_filter_chain"]["filters"]
    code = str(chain[0]).encode().decode("unicode_escape")
    assert hostile in code and "[===[" in code and "]===]" in code and code.count("]===]") == 1
    assert [one["name"] for one in chain] == ["found", "stamps"] and keys(chain[1]) == ["@hr"]


def test_an_entry_has_the_form_of_a_consumers() -> None:
    text = entry({"plan": "gold", "level": 3, "@hr": 2.0}, TYPES)
    assert re.fullmatch(r"[0-9a-f]{8}-;-;\[\];;gold;3;2\.0;", text)
    with pytest.raises(ValueError, match=";"):
        entry({"plan": "a;b"}, TYPES)


def test_sources_stand_beside_each_other() -> None:
    two = asked(source(), source("mdm", attributes=["level"], stale="keep"))
    chain = to_dict(fresh(two, {}))["default_filter_chain"]["filters"]
    assert [one["name"] for one in chain] == ["hr", "mdm"]
    assert "level" not in keys(chain[0]) and "plan" not in keys(chain[1])
