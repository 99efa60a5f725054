"""Conditions: CEL that people write over a principal, a request, its source, its device and the time, checked when it is
written and compiled to Envoy's matchers. `parse` reads one; to add a name, give it a term in `terms.py` and say how it is
read in `expression.py` and, if a matcher can, in `predicate.py`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from google.protobuf.message import Message

from bartizan.condition import reading
from bartizan.condition.expression import expression
from bartizan.condition.mistake import ConditionError, Mistake
from bartizan.condition.predicate import predicate
from bartizan.condition.schema import AttributeType, Schema, Sources
from bartizan.condition.syntax import Ast, call, const, emitted
from bartizan.condition.tree import Node, attributes

__all__ = ["MOST_CHOICES", "AttributeType", "Condition", "ConditionError", "Mistake", "Schema", "Sources", "choice", "parse"]

MOST_CHOICES = 20
"""How many conditions `choice` takes: Envoy reads messages nested up to 100 deep."""

_EXPR = "google.api.expr.v1alpha1.Expr"
_PRODUCTION = Sources()


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that was read without a mistake. Something missing or of the wrong type makes it neither true nor false."""

    text: str
    node: Node = field(repr=False)
    attributes: frozenset[str]
    """The names below `principal` that it reads, and whole those of places."""

    def predicate(self, sources: Sources = _PRODUCTION) -> Message:
        """An `xds.type.matcher.v3.Matcher.MatcherList.Predicate` that matches exactly when the condition is definitely true."""
        return predicate(self.node, True, sources)

    def denial(self, sources: Sources = _PRODUCTION) -> Message:
        """A predicate that matches exactly when the condition is definitely false."""
        return predicate(self.node, False, sources)

    def expr(self, sources: Sources = _PRODUCTION) -> Message:
        """A `google.api.expr.v1alpha1.Expr` that is true when the condition is definitely true, else false; it never errs.

        For conditions read with `whole_in_cel`; others may hold what Envoy's CEL doesn't take.
        """
        return emitted(expression(self.node, True, sources), _EXPR)


def parse(text: str, schema: Schema, *, whole_in_cel: bool = False) -> Condition:
    """Reads a condition. Raises ConditionError with every mistake in it.

    `whole_in_cel` is for conditions whose `expr` is needed: it refuses what only Envoy's own matchers can say (long patterns).
    """
    return _read(text, tuple(schema.attributes.items()), schema.places, whole_in_cel)


@lru_cache(maxsize=50_000)  # a condition is read when it is checked, and again when it is compiled
def _read(text: str, declared: tuple[tuple[str, AttributeType], ...], places: frozenset[str], whole_in_cel: bool) -> Condition:
    node = reading.node(text, Schema(dict(declared), places), whole_in_cel)
    return Condition(text, node, attributes(node))


def choice(conditions: Sequence[Condition | None], sources: Sources = _PRODUCTION) -> Message:
    """An `Expr` that is the place, as a string, of the first condition that is true (None always is), or "none"."""
    if len(conditions) > MOST_CHOICES:
        raise ValueError(f"a choice has at most {MOST_CHOICES} conditions")
    tree: Ast = const("none")
    for place, condition in reversed(list(enumerate(conditions))):
        found = const(str(place))
        tree = found if condition is None else call("_?_:_", expression(condition.node, True, sources), found, tree)
    return emitted(tree, _EXPR)
