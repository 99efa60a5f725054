"""What conditions may read."""

import dataclasses

import pytest

from bartizan.condition import Schema, Sources


def test_reserved_names_cannot_be_declared() -> None:
    for name in ("id", "method", "issuer", "groups", "a-b", "1a", ""):
        with pytest.raises(ValueError, match="can't be the name"):
            Schema({name: "string"})


def test_a_schema_does_not_change() -> None:
    declared = {"plan": "string"}
    schema = Schema(declared)
    declared["level"] = "number"
    assert schema.names() == {"id": "string", "method": "string", "issuer": "string", "groups": "list", "bound": "string", "plan": "string"}
    with pytest.raises(TypeError):
        schema.attributes["level"] = "number"
    with pytest.raises(dataclasses.FrozenInstanceError):
        schema.attributes = {}


def test_production_is_the_default() -> None:
    assert Sources() == Sources(time="clock", address="connection")
