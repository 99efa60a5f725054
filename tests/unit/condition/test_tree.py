"""Groups without what changes nothing, by Kleene's logic."""

from bartizan.condition.tree import (
    Attribute,
    Choose,
    Constant,
    Flag,
    Group,
    Not,
    Present,
    Same,
    asked,
    attributes,
    choose,
    group,
    levels,
    opposite,
    same,
    weight,
)

A, B, C = (Flag(Attribute(name, "bool")) for name in "abc")
TRUE, FALSE = Constant(True), Constant(False)


def test_groups() -> None:
    assert group(True, [A, group(True, [B, C]), A]) == Group(True, (A, B, C))
    assert group(True, [A, group(False, [B, C])]) == Group(True, (A, Group(False, (B, C))))
    assert group(True, [A, TRUE]) == A
    assert group(True, [A, FALSE]) == FALSE
    assert group(False, [A, TRUE]) == TRUE
    assert group(False, [FALSE]) == FALSE
    assert group(True, []) == TRUE


def test_opposites() -> None:
    assert opposite(opposite(A)) == A
    assert opposite(TRUE) == FALSE


def test_equality_and_choice() -> None:
    assert same(A, TRUE) == A
    assert same(FALSE, A) == Not(A)
    assert same(A, B) == Same(A, B)
    assert choose(TRUE, A, B) == A
    assert choose(A, B, C) == Choose(A, B, C)


def test_what_is_asked_both_ways_counts_twice() -> None:
    assert weight(Group(True, (A, B, Not(C)))) == 3
    assert weight(Same(Same(A, B), C)) == 10
    assert list(asked(Choose(A, Not(B), TRUE))) == [A, B]


def test_levels() -> None:
    """Groups become balanced trees, so a long one isn't deep."""
    many = tuple(Flag(Attribute(f"a{number}", "bool")) for number in range(100))
    assert levels(Group(True, many)) == levels(A) + 7
    assert levels(Choose(A, Not(B), Same(A, B))) == levels(A) + 4


def test_attributes() -> None:
    assert attributes(Group(True, (A, Not(Present(Attribute("d", "list")))))) == {"a", "d"}
