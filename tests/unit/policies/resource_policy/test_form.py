"""The JSON Schema that editors are given."""

from bartizan.policies.resource_policy import ResourcePolicy
from bartizan.policies.resource_policy.form import FORM
from bartizan.policies.resource_policy.model import _FIELDS, _STATEMENT_FIELDS


def test_it_knows_every_field() -> None:
    assert set(FORM["properties"]) == set(_FIELDS)
    one, several = FORM["properties"]["Statement"]["anyOf"]
    assert set(one["properties"]) == set(_STATEMENT_FIELDS)
    assert several["items"] == one


def test_the_kinds_schema_holds_it() -> None:
    found = ResourcePolicy.model_json_schema()["properties"]["document"]
    assert found["properties"] == FORM["properties"]
    assert found["description"]
