"""Formulas: Kleene's logic with CEL's errors, simplified without changing what they say."""

import itertools

import pytest

from bartizan.condition.syntax import const
from bartizan.meaning.formula import ERROR, FALSE, TRUE, Formula, OfCel, Unread, atoms, every, filled, holds, negation, some

A, B, C = Unread("a"), Unread("b"), Unread("c")
CEL = OfCel("c", (), False, False, const(1))


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (every([TRUE, A]), A),
        (every([FALSE, ERROR]), FALSE),
        (every([TRUE, ERROR]), ERROR),
        (every([]), TRUE),
        (some([]), FALSE),
        (some([TRUE, ERROR]), TRUE),
        (some([FALSE, ERROR]), ERROR),
        (some([A, A]), A),
        (negation(ERROR), ERROR),
        (negation(negation(A)), A),
        (every([A, negation(A)]), FALSE),
        (some([A, negation(A)]), TRUE),
        (every([A, every([B, negation(A)])]), FALSE),
        (holds(ERROR), FALSE),
        (holds(every([ERROR, FALSE])), FALSE),
        (every([A, every([B, C])]), every([every([A, B]), C])),
    ],
)
def test_what_can_be_told_is_told(made: Formula, wanted: Formula) -> None:
    assert made == wanted


def test_what_may_err_neither_excludes_itself_nor_is_so_in_any_case() -> None:
    # `c || !c` errs where c does, so it doesn't hold there.
    assert some([CEL, negation(CEL)]) != TRUE
    assert every([CEL, negation(CEL)]) != FALSE
    assert every([ERROR, A]) != FALSE


def _value(of: Formula, answers: dict[Formula, Formula]) -> Formula:
    return filled(of, lambda atom: answers[atom])


def test_simplifying_changes_nothing() -> None:
    made = some([every([A, negation(some([B, C]))]), every([negation(A), B]), holds(every([C, negation(A)]))])
    assert atoms(made) == {A, B, C}
    for a, b, c in itertools.product((True, False), repeat=3):
        answers: dict[Formula, Formula] = {atom: TRUE if value else FALSE for atom, value in ((A, a), (B, b), (C, c))}
        wanted = (a and not (b or c)) or (not a and b) or (c and not a)
        assert _value(made, answers) == (TRUE if wanted else FALSE)
        one_by_one = made
        for atom, answer in answers.items():
            one_by_one = filled(one_by_one, lambda each, atom=atom, answer=answer: answer if each == atom else each)  # type: ignore[misc]
        assert one_by_one == _value(made, answers)
