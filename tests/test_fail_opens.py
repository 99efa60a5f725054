"""Every silent fail-open of Envoy that `docs/fail-opens.md` names has a test that exists. Those that need no Envoy stand here."""

import re
from pathlib import Path

import pytest

from bartizan.compile import compile, resources, shared, stamp
from bartizan.compile.read import assemble, read
from bartizan.envoy import message_type, to_dict
from bartizan.model.snapshot import Snapshot

ROOT = Path(__file__).parent.parent
ROWS = [line.strip("|").split("|") for line in (ROOT / "docs" / "fail-opens.md").read_text().splitlines() if line.startswith("| ")][1:]
FRAME = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
attributes: {department: string}
api_keys: KEYS
---
{kind: Api, name: orders, paths: [/orders], upstream: 'http://127.0.0.1:1'}
---
{kind: Authenticate, name: callers, any: [api_key]}
---
kind: Authorize
name: hours
allow: principal.department == "finance" && now.hour("Europe/Berlin") >= 9 && size(request.path) < 100
---
kind: RateLimit
name: tiers
per: principal.id
tiers: [{when: principal.department == "finance", windows: [2/second]}, {windows: [1/second]}]
"""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip()[:60])
def test_each_has_a_test(row: list[str]) -> None:
    assert len(row) == 3 and all(cell.strip() for cell in row)
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row[2])
    assert named, "no test is named"
    assert len(named) == row[2].count("::"), f"a test isn't named as file::name: {row[2]}"
    for file, name in named:
        assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file} has no {name}"


def test_there_are_rows_and_the_security_model_leads_to_them() -> None:
    assert len(ROWS) > 15
    assert "(fail-opens.md)" in (ROOT / "docs" / "security.md").read_text()


def test_no_condition_is_in_the_form_that_is_ignored() -> None:
    found = assemble([read(FRAME.replace("KEYS", "{}"), "a.yaml")], {})
    assert isinstance(found, Snapshot), found
    made = compile(found)
    assert not made.problems
    told = ""
    for (type_url, _), body in {**resources(made, stamp(made, {})), **shared(made)}.items():
        told += str(to_dict(message_type(type_url.rpartition("/")[2]).FromString(body)))
    assert "call_expr" in told and "getHours" in told, "no condition is in CEL: the test shows nothing"
    assert "checked" not in told
    goldens = [path.read_text() for path in (ROOT / "tests" / "golden" / "policies").rglob("*.yaml")]
    assert goldens and not [text for text in goldens if "checked" in text]


@pytest.mark.parametrize("keys", ["{query: [key]}", "{queries: [key]}", "{query_params: [key]}", "{headers: [{query: key}]}"])
def test_no_key_can_stand_in_a_query(keys: str) -> None:
    found = read(FRAME.replace("KEYS", keys), "a.yaml")
    assert found.problems and all("api_keys" in one.at.path for one in found.problems)
