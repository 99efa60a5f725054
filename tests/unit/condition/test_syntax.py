"""Texts, trees and messages."""

import pytest

from bartizan.condition.mistake import Refused
from bartizan.condition.syntax import Ast, const, depth, emitted, joined, parsed
from tests.unit.condition.shape import written


@pytest.mark.parametrize(
    "text",
    ['a.b == "x"', "!(a)", "has(a.b)", 'a["b"].c(1, 2.5)', "[1, 2]", "(a ? b : c)", "(a && (b || c))", '"x" in a'],
)
def test_what_is_read_can_be_written_again(text: str) -> None:
    assert written(parsed(text)) == text


def test_places_are_those_of_the_names() -> None:
    tree = parsed("  foo(a.bar)")
    assert (tree.at, tree.start, tree.args[0].start, tree.args[0].at) == (2, 2, 6, 7)


def test_the_line_and_column_of_an_error() -> None:
    with pytest.raises(Refused) as found:
        parsed('a == "é" &&\n  b c')
    mistake = found.value.mistake('a == "é" &&\n  b c')
    assert (mistake.code, mistake.line, mistake.column) == ("condition-syntax", 2, 5)


def test_long_chains_stay_flat() -> None:
    """Envoy reads messages nested up to 100 deep."""
    assert depth(joined("_&&_", [const(True)] * 200)) <= 20


def test_messages_of_both_kinds_are_alike() -> None:
    tree = parsed('a.b(1, -2, 2.5, true, "x", b"y", [c.d]) && has(e.f)')
    one, other = emitted(tree), emitted(tree, "google.api.expr.v1alpha1.Expr")
    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)
    assert isinstance(tree, Ast)
