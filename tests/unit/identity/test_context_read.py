"""What a source says is taken whole or not at all, and every mistake is told with its place."""

from typing import Any

import orjson
import pytest

from bartizan.errors import Invalid, TooMany
from bartizan.identity import context_read
from bartizan.identity.context_read import check_room, read
from bartizan.model.context import ContextSource

SOURCE = ContextSource.model_validate({"name": "hr", "attributes": ["plan", "level", "staff", "teams"], "push": True})
TYPES = {"plan": "string", "level": "number", "staff": "bool", "teams": "list", "other": "string"}


def said(subjects: Any) -> dict[str, dict[str, Any]]:
    return read(orjson.dumps({"subjects": subjects}), SOURCE, TYPES)


def test_what_is_good_is_taken_and_null_isn_t_said() -> None:
    values = {"plan": "Z\u00fcrich", "level": 3.5, "staff": False, "teams": ["a", "b"]}
    assert said({"acme": values, "https://idp|ines": {"plan": None}, "empty": {}}) == {"acme": values, "https://idp|ines": {}, "empty": {}}


@pytest.mark.parametrize(
    ("subjects", "code", "path"),
    [
        ({"acme": {"plan": 3}}, "attribute-type", "acme: plan"),
        ({"acme": {"level": "3"}}, "attribute-type", "acme: level"),
        ({"acme": {"level": True}}, "attribute-type", "acme: level"),
        ({"acme": {"staff": 1}}, "attribute-type", "acme: staff"),
        ({"acme": {"teams": "a"}}, "attribute-type", "acme: teams"),
        ({"acme": {"teams": ["a", 1]}}, "attribute-type", "acme: teams"),
        ({"acme": {"other": "x"}}, "attribute-undeclared", "acme: other"),
        ({"acme": {"paln": "x"}}, "attribute-undeclared", "acme: paln"),
        ({"acme": {"plan": ""}}, "attribute-value", "acme: plan"),
        ({"acme": {"plan": "a;b"}}, "attribute-value", "acme: plan"),
        ({"acme": {"plan": "a\nb"}}, "attribute-value", "acme: plan"),
        ({"acme": {"plan": "a\0b"}}, "attribute-value", "acme: plan"),
        ({"acme": {"plan": "x" * 257}}, "attribute-value", "acme: plan"),
        ({"acme": {"teams": ["x" * 200] * 30}}, "attribute-value", "acme: teams"),
        ({"acme": {"level": 2**60}}, "attribute-value", "acme: level"),
        ({"a;b": {}}, "subject-invalid", "a;b"),
        ({"a\tb": {}}, "subject-invalid", "a\tb"),
        ({"": {}}, "subject-invalid", ""),
        ({"acme": []}, "context-form", "acme"),
        ([], "context-form", ""),
    ],
)
def test_what_is_wrong_is_told_with_its_place(subjects: Any, code: str, path: str) -> None:
    with pytest.raises(Invalid) as caught:
        said(subjects if not isinstance(subjects, dict) else {"good": {"plan": "x"}, **subjects})
    (problem,) = caught.value.problems
    assert (problem.code, problem.at.path, problem.at.file) == (code, path, "context/hr")  # type: ignore[attr-defined]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"subjects": {}, "more": 1}', b'{"subjects": {"a": {"level": NaN}}}', b"\xff"])
def test_what_isn_t_in_the_form_is_told(body: bytes) -> None:
    with pytest.raises(Invalid):
        read(body, SOURCE, TYPES)


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_read, "MOST_SUBJECTS", 3)
    monkeypatch.setattr(context_read, "MOST_OTHERS", 1)
    assert len(said({str(i): {} for i in range(3)})) == 3
    for many in ({str(i): {} for i in range(4)}, {f"i|{i}": {} for i in range(2)}):
        with pytest.raises(Invalid, match="there are"):
            said(many)
    check_room({"a", "b"}, "c")
    check_room({"a", "b", "c"}, "c")
    for held, one in (({"a", "b", "c"}, "d"), ({"i|1"}, "i|2")):
        with pytest.raises(TooMany):
            check_room(held, one)


def test_of_many_mistakes_the_first_are_told() -> None:
    with pytest.raises(Invalid) as caught:
        said({f"c{i}": {"plan": 3} for i in range(1000)})
    assert len(caught.value.problems) == 20
