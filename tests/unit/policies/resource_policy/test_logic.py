"""Predicates of which some are settled beforehand."""

from bartizan.envoy.matching import principal
from bartizan.policies.resource_policy.logic import every, opposite, settled, some
from tests.unit.condition.shape import shape

ONE, TWO = principal("id", "one"), principal("id", "two")


def test_what_is_settled_takes_no_matcher() -> None:
    assert every([]) is True
    assert some([]) is False
    assert every([True, ONE]) == ONE
    assert every([ONE, False]) is False
    assert some([False, ONE]) == ONE
    assert some([ONE, True]) is True
    assert opposite(True) is False
    assert opposite(False) is True


def test_what_is_open_becomes_one() -> None:
    assert shape(every([ONE, TWO])) == "and(id exact 'one', id exact 'two')"
    assert shape(some([ONE, TWO])) == "or(id exact 'one', id exact 'two')"
    assert shape(opposite(ONE)) == "not(id exact 'one')"


def test_a_settled_rule_is_a_predicate_all_the_same() -> None:
    assert shape(settled(True)) == r":method safe_regex \C*"
    assert shape(settled(False)) == r"not(:method safe_regex \C*)"
    assert settled(ONE) == ONE
