"""What follows from what, by form alone."""

import pytest

from bartizan.meaning.formula import FALSE, TRUE, Formula, NumberTest, OfHeader, OfPrincipal, PresentTest, StringTest, every, negation, some
from bartizan.meaning.implied import implies, lean

GOLD, FREE = (OfPrincipal("plan", StringTest("exact", text)) for text in ("gold", "free"))
HIGH, LOW = (OfPrincipal("level", NumberTest(start, 10.0)) for start in (5.0, 1.0))
THERE = OfPrincipal("plan", PresentTest())
POST = OfHeader(":method", StringTest("exact", "POST"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (GOLD, THERE),
        (HIGH, LOW),
        (every((GOLD, HIGH)), LOW),
        (GOLD, some((GOLD, FREE))),
        (some((GOLD, FREE)), THERE),
        (negation(LOW), negation(HIGH)),
        (every((GOLD, POST)), every((GOLD, some((POST, LOW))))),
    ],
)
def test_it_follows_one_way_alone(one: Formula, other: Formula) -> None:
    assert implies(one, other)
    assert not implies(other, one)


def test_parts_that_follow_from_others_are_left_out() -> None:
    assert lean(every((HIGH, LOW, GOLD))) == every((HIGH, GOLD))
    assert lean(every((some((GOLD, FREE)), some((GOLD, FREE, POST))))) == some((GOLD, FREE))
    assert lean(every((HIGH, GOLD))) == every((HIGH, GOLD))
    assert (lean(TRUE), lean(FALSE), lean(GOLD)) == (TRUE, FALSE, GOLD)
