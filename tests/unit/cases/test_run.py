"""What is expected in words, and what isn't as expected. What Envoy says is tested end to end."""

from typing import Any

import pytest

from bartizan.cases.case import Case
from bartizan.cases.run import expected, mismatches
from bartizan.telemetry.decision import Decision, Verdict

VERDICTS = (Verdict("Authorize/a", "denied", False), Verdict("Authorize/s", "denied", True), Verdict("Cors/c", "applies", True))
REFUSED = Decision(True, "Authorize/a", "its condition didn't hold", VERDICTS)
PASSED = Decision(False, "upstream", "every policy let it through", VERDICTS)
RECORD: dict[str, Any] = {"api": "orders", "status": 403}


def case(**fields: Any) -> Case:
    return Case.model_validate({"name": "x", "given": {"path": "/a"}, **fields})


@pytest.mark.parametrize(
    ("fields", "decision", "told"),
    [
        ({"expect": "allow"}, PASSED, []),
        ({"expect": "refuse"}, REFUSED, []),
        ({"expect": "refuse", "by": "Authorize/a", "status": 403}, REFUSED, []),
        ({"expect": "allow"}, REFUSED, ["it was refused by Authorize/a: its condition didn't hold"]),
        ({"expect": "refuse", "by": "Authorize/a", "status": 403}, PASSED, ["it was let through"]),
        (
            {"expect": "refuse", "by": "Authorize/b", "status": 401},
            REFUSED,
            ["it was refused by Authorize/a: its condition didn't hold", "it was refused with 403"],
        ),
        ({"expect": "allow", "shadow": {"Authorize/s": "refuse"}}, PASSED, []),
        ({"expect": "allow", "shadow": {"Authorize/s": "allow"}}, PASSED, ["Authorize/s in shadow says refuse"]),
        ({"expect": "refuse", "shadow": {"Authorize/a": "refuse"}}, REFUSED, ["Authorize/a doesn't cover the request"]),
        ({"expect": "allow", "shadow": {"Cors/c": "allow"}}, PASSED, ["Cors/c gave no verdict: applies"]),
    ],
)
def test_what_is_not_as_expected_is_said(fields: dict[str, Any], decision: Decision, told: list[str]) -> None:
    assert list(mismatches(case(**fields), RECORD, decision)) == told


def test_a_request_that_comes_to_no_api_shows_nothing_unless_that_is_expected() -> None:
    nowhere = Decision(True, "no-api", "no API answers", ())
    record = {"api": None, "status": 404}
    assert "it came to no API" in next(mismatches(case(expect="refuse"), record, nowhere))
    assert list(mismatches(case(expect="refuse", by="no-api"), record, nowhere)) == []


def test_what_is_expected_in_words() -> None:
    assert expected(case(expect="allow")) == "let through"
    told = expected(case(expect="refuse", by="Authorize/a", status=403, shadow={"Authorize/s": "allow"}))
    assert told == "refused by Authorize/a with 403; Authorize/s in shadow says allow"
