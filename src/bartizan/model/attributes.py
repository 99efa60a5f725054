"""What a consumer's attribute may hold, and how it is written for Envoy.

Envoy is told a consumer's identity as one text of fields with `;` between them, told apart by their places. So nothing that
could end a field, or hide in a header, may stand in a value: it is refused when it is written, never escaped or cut later.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import orjson

Value = str | bool | int | float | Sequence[str]

RESERVED = frozenset(("id", "key", "groups", "method", "issuer", "bound", "generation", "device_id", "device_trusted"))
"""Names that every principal has or may have, so that no attribute can be declared by them."""

_LONGEST = 256  # characters of a text
_LONGEST_LIST = 4096  # bytes of a list: Envoy silently drops a metadata value of 8 KB or more
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_LISTS = frozenset(("list", "words"))
_LARGEST = 2**53  # beyond it, Envoy's numbers skip integers


def attribute_problem(value: object) -> str | None:
    """What is wrong with an attribute's value (`may not hold ";"`), or None."""
    match value:
        case str():
            return text_problem(value)
        case bool():
            return None
        case int() | float():
            return _number_problem(value)
        case list() | tuple():
            return _list_problem(value)
    return "has to be a text, a number, true or false, or a list of texts"


def has_type(value: Any, declared: str) -> bool:
    """Whether a value, as JSON or YAML tells it, is of the type that its attribute is declared as."""
    if declared == "bool":
        return isinstance(value, bool)
    if declared == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if declared in _LISTS:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, str)


def name_problem(name: str) -> str | None:
    """What is wrong with the name of an attribute, or None."""
    if not _NAME.fullmatch(name):
        return "has to begin with a letter and hold only letters, digits and _"
    return f"is taken: every principal has {name}" if name in RESERVED else None


def text_problem(text: str) -> str | None:
    """What is wrong with a text that is to stand in a field, or None."""
    if not text:
        return "may not be empty: leave it out"
    if len(text) > _LONGEST:
        return f"is longer than {_LONGEST} characters"
    if ";" in text:
        return 'may not hold ";"'
    if text != text.strip():
        return "may not begin or end with a space"
    if text.isprintable():
        return None
    hidden = next(character for character in text if not character.isprintable())
    return f"may not hold the character U+{ord(hidden):04X}, which can't be printed"


def attribute_text(value: Value) -> str:
    """The value as a field holds it: a text as it is, everything else as JSON. ValueError if `attribute_problem` finds one."""
    if problem := attribute_problem(value):
        raise ValueError(f"the value {problem}")
    return value if isinstance(value, str) else _json(value)


def _number_problem(number: float) -> str | None:
    if not math.isfinite(number):
        return "has to be a finite number"
    return f"may not be beyond {_LARGEST}" if isinstance(number, int) and abs(number) > _LARGEST else None


def _list_problem(items: Sequence[object]) -> str | None:
    for at, item in enumerate(items, 1):
        problem = text_problem(item) if isinstance(item, str) else "has to be a text"
        if problem:
            return f"has an item (number {at}) that {problem}"
    return f"is a list longer than {_LONGEST_LIST} bytes" if len(_json(items).encode()) > _LONGEST_LIST else None


def _json(value: object) -> str:
    """Compact JSON, with the two characters escaped that Envoy escapes when it writes a token's lists: one form for all."""
    return orjson.dumps(value).decode().replace("<", "\\u003c").replace(">", "\\u003e")
