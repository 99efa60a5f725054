"""How mistakes are told."""

from bartizan.condition import ConditionError, Mistake
from bartizan.condition.mistake import Refused, suggestion


def test_suggestions() -> None:
    assert suggestion("plam", ["principal.plan", "principal.id"], "there are two") == "did you mean principal.plan? there are two"
    assert suggestion("zzz", ["plan"], "there is one") == "there is one"


def test_lines_and_columns_count_from_one_in_characters() -> None:
    text = "é\n\n ab"
    assert Refused("syntax", 4, "m", "h").mistake(text) == Mistake("condition-syntax", 3, 2, "m", "h")
    assert Refused("syntax", 0, "m", "h").mistake(text) == Mistake("condition-syntax", 1, 1, "m", "h")


def test_the_text_of_an_error() -> None:
    error = ConditionError(
        [Mistake("condition-syntax", 1, 2, "wrong", "write it right"), Mistake("condition-syntax", 3, 4, "bad", "better")]
    )
    assert str(error) == "1:2: wrong (write it right); 3:4: bad (better)"
    assert len(error.mistakes) == 2
