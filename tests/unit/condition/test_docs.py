"""The guide to conditions is true: what it shows can be written, and what it tabulates is so."""

import re
from pathlib import Path

import pytest

from bartizan.condition import Schema, parse
from bartizan.condition.patterns import DEVICES
from bartizan.condition.terms import FUNCTIONS, NAMES
from bartizan.model.places import PLACES

GUIDES = Path(__file__).parents[3] / "docs" / "guide"
GUIDE = (GUIDES / "conditions.md").read_text()
SCHEMA = Schema({"plan": "string", "department": "string", "level": "number", "limit": "number", "contractor": "bool"}, frozenset(PLACES))
BLOCKS = re.findall(r"```cel\n(.*?)```", GUIDE + (GUIDES / "places.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("text", BLOCKS)
def test_every_example_can_be_written(text: str) -> None:
    condition = parse(text, SCHEMA, whole_in_cel=True)
    assert condition.predicate().IsInitialized()


def test_there_are_examples() -> None:
    assert len(BLOCKS) > 15


def test_every_name_and_function_is_told() -> None:
    for name in (*NAMES, *PLACES, *(f"principal.{each}" for each in Schema().names())):
        assert f"`{name}`" in GUIDE or f'`{name}["name"]`' in GUIDE, name
    for function in FUNCTIONS:
        assert re.search(rf"\b{function}\b", GUIDE), function


def test_the_patterns_of_devices_are_told() -> None:
    told = re.findall(r"^\| `(\(\?i\).*?)` \| `(\w+)` \|$", GUIDE, re.MULTILINE)
    assert tuple((name, pattern.replace("\\|", "|")) for pattern, name in told) == DEVICES
