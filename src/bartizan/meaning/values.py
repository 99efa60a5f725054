"""Answers a question about a value that is known, as Envoy's matchers and CEL answer it. None: it can't be told."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from cel_expr_python import cel  # type: ignore[import-untyped]  # has stubs, no py.typed
from google.protobuf import any_pb2

from bartizan.condition import patterns
from bartizan.condition.syntax import Ast, const, emitted, method, name
from bartizan.envoy import message
from bartizan.meaning.formula import ERROR, FALSE, TRUE, Constant, NumberTest, PresentTest, StringTest

_ENV = cel.NewEnv()
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no value."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """There may be a value, and nobody here knows which."""


@dataclass(frozen=True, slots=True)
class Begins:
    """There is a text that begins so; the rest isn't known."""

    text: str


MISSING: Final = Missing()
UNKNOWN: Final = Unknown()
Value: TypeAlias = str | float | Missing | Unknown | Begins
Test: TypeAlias = StringTest | NumberTest | PresentTest


def answered(test: Test, value: Value) -> bool | None:
    """Whether the test holds of the value."""
    if isinstance(value, Unknown):
        return None
    if isinstance(value, Missing):
        return False
    if isinstance(test, PresentTest):
        return True
    if isinstance(test, NumberTest):
        return _number(test, value)
    if isinstance(value, Begins):
        return _beginning(test, value.text)
    return isinstance(value, str) and _string(test, value)


def _number(test: NumberTest, value: Value) -> bool:
    if not isinstance(value, float):
        return False
    return value == test.start if test.end is None else test.start <= value < test.end


def _beginning(test: StringTest, begins: str) -> bool | None:
    if test.kind == "regex":
        return True if test.text == patterns.ANYTHING else None
    if test.ignore_case:
        return None
    if test.kind == "prefix" and begins.startswith(test.text):
        return True
    if test.kind == "contains" and test.text in begins:
        return True
    if test.kind in ("exact", "prefix"):
        could = test.text.startswith(begins) or (test.kind == "prefix" and begins.startswith(test.text))
        return None if could else False
    return None


def _string(test: StringTest, value: str) -> bool | None:
    if test.kind == "regex":
        return _regex(test.text, value)
    text = test.text
    if test.ignore_case:
        if not (text.isascii() and value.isascii()):
            return None  # Envoy lowers ASCII only
        text, value = text.lower(), value.lower()
    match test.kind:
        case "exact":
            return value == text
        case "prefix":
            return value.startswith(text)
        case "suffix":
            return value.endswith(text)
    return text in value


def _regex(pattern: str, value: str) -> bool | None:
    """To Envoy's matchers each byte is a character, of patterns as of values; to CEL, which is asked here, a text is characters."""
    if pattern == patterns.ANYTHING:
        return True
    found = _whole(pattern).eval(data={"text": _bytewise(value)})
    return bool(found.value()) if found.type() == cel.Type.BOOL else None


@functools.lru_cache(maxsize=4096)
def _whole(pattern: str) -> cel.Expression:
    any_byte = _ESCAPED.sub(lambda found: "(?s:.)" if found[1] == "C" else found[0], _bytewise(pattern))
    return expression(method(name("text"), "matches", const(f"^(?:{any_byte})$")))


def _bytewise(text: str) -> str:
    return text if text.isascii() else text.encode().decode("latin-1")


def expression(tree: Ast) -> cel.Expression:
    """What evaluates this tree, by the engine that Envoy uses."""
    parsed = message("cel.expr.ParsedExpr", expr=emitted(tree))
    held = any_pb2.Any(type_url="type.googleapis.com/cel.expr.ParsedExpr", value=parsed.SerializeToString())
    return _ENV.deserialize(held.SerializeToString())


def evaluated(of: cel.Expression, data: Mapping[str, object]) -> Constant | None:
    """True, false or an error; None if it is nothing of the kind."""
    found = of.eval(data=dict(data))
    if found.type() == cel.Type.BOOL:
        return TRUE if found.value() else FALSE
    return ERROR if found.type() == cel.Type.ERROR else None
