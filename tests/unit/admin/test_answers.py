"""What can't be done is told as RFC 9457 has it, with the same problems as the command line shows."""

import json

import pytest

from bartizan.admin.answers import answer_to
from bartizan.errors import BartizanError, Conflict, Forbidden, Invalid, NotFound, TooMany, Unauthenticated, Unavailable
from bartizan.model.problem import Place, Problem


@pytest.mark.parametrize("kind", [NotFound, Conflict, Forbidden, Unauthenticated, TooMany, Unavailable, Invalid])
def test_each_error_is_an_answer_with_its_status(kind: type[BartizanError]) -> None:
    answer = answer_to(kind("Not so."))
    told = json.loads(bytes(answer.body))
    assert answer.media_type == "application/problem+json"
    assert (answer.status_code, told["status"], told["detail"]) == (kind.status, kind.status, "Not so.")
    assert told["type"] == f"urn:bartizan:problem:{kind.code}"
    assert ("www-authenticate" in answer.headers) == (kind is Unauthenticated)


def test_problems_come_back_as_they_were() -> None:
    problem = Problem(Place("a.yaml", 3, "Api/x: paths"), "code", "message", "hint")
    told = json.loads(bytes(answer_to(Invalid("No.", problems=(problem,))).body))
    assert [Problem.from_json(one) for one in told["problems"]] == [problem]
