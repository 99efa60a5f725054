"""The guide tells every operator, every key and every mistake, and no other."""

import re
from pathlib import Path

from bartizan.policies.resource_policy.conditions import OPERATORS
from bartizan.policies.resource_policy.keys import KEYS

ROOT = Path(__file__).parents[4]
GUIDE = (ROOT / "docs" / "guide" / "resource-policy.md").read_text()
SOURCE = "\n".join(path.read_text() for path in (ROOT / "src" / "bartizan" / "policies" / "resource_policy").glob("*.py"))


def _section(heading: str) -> str:
    return GUIDE.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def test_every_operator_is_told() -> None:
    table = _section("Condition: operators").partition("| the key is missing")[0]
    told = {name for line in table.splitlines() if line.startswith("| `") for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert told == set(OPERATORS)


def test_every_key_is_told() -> None:
    told = {name.lower() for name in re.findall(r"^\| `(aws:[\w/<>]+)`", _section("Condition: keys"), re.MULTILINE)}
    assert told == {*KEYS, "aws:principaltag/<attribute>"}


def test_every_mistake_is_told() -> None:
    told = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", _section("What is an error")))
    made = set(re.findall(r'"((?:document|arn|principal|action|condition|policy|pattern)-[a-z-]+)"', SOURCE)) - {"principal-tag"}
    assert told - {"api-unknown", "consumer-unknown", "issuer-unknown"} == made
