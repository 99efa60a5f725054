"""Condition: operators, read and checked, and as rules.

All operators and all keys of a Condition must hold; one of an operator's values must match, and of a negated operator's none. A key
that a request hasn't got doesn't match, so a negated operator holds there, as does one with `IfExists`. Sources: the IAM User Guide,
"Condition operators", "Multivalued context keys" and "IAM ARNs".
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from typing import Any, Literal

from bartizan.condition.tree import Network
from bartizan.policies.resource_policy import values
from bartizan.policies.resource_policy.glob import HEAVIEST, Glob, weight
from bartizan.policies.resource_policy.keys import Key, Type, key
from bartizan.policies.resource_policy.notes import Notes, Path, Refused, too_large

Compare = Literal["equals", "folded", "like", "arn", "==", "<", "<=", ">", ">=", "is", "within", "null"]
Family = Literal["String", "Arn", "Numeric", "Date", "Bool", "IpAddress", "Null"]
Set = Literal["", "ForAnyValue", "ForAllValues"]
Value = Glob | values.ArnGlob | Fraction | bool | Network


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator without what qualifies it."""

    family: Family
    compare: Compare
    negated: bool = False


_ORDERS: Mapping[str, tuple[Compare, bool]] = {
    "Equals": ("==", False),
    "NotEquals": ("==", True),
    "LessThan": ("<", False),
    "LessThanEquals": ("<=", False),
    "GreaterThan": (">", False),
    "GreaterThanEquals": (">=", False),
}
OPERATORS: Mapping[str, Operator] = {
    "StringEquals": Operator("String", "equals"),
    "StringNotEquals": Operator("String", "equals", True),
    "StringEqualsIgnoreCase": Operator("String", "folded"),
    "StringNotEqualsIgnoreCase": Operator("String", "folded", True),
    "StringLike": Operator("String", "like"),
    "StringNotLike": Operator("String", "like", True),
    **{f"Numeric{name}": Operator("Numeric", *how) for name, how in _ORDERS.items()},
    **{f"Date{name}": Operator("Date", *how) for name, how in _ORDERS.items()},
    "Bool": Operator("Bool", "is"),
    "IpAddress": Operator("IpAddress", "within"),
    "NotIpAddress": Operator("IpAddress", "within", True),
    "ArnEquals": Operator("Arn", "arn"),
    "ArnLike": Operator("Arn", "arn"),
    "ArnNotEquals": Operator("Arn", "arn", True),
    "ArnNotLike": Operator("Arn", "arn", True),
    "Null": Operator("Null", "null"),
}
_FAMILIES: Mapping[Type, tuple[Family, ...]] = {
    "text": ("String",),
    "arn": ("Arn", "String"),
    "flag": ("Bool",),
    "truth": ("Bool", "String"),
    "number": ("Numeric",),
    "list": ("String",),
    "address": ("IpAddress",),
    "date": ("Date",),
    "epoch": ("Date", "Numeric"),
}
_QUALIFIED = re.compile(r"(?:(ForAnyValue|ForAllValues):)?(\w+?)(IfExists)?")


@dataclass(frozen=True, slots=True)
class Test:
    """One operator on one key, with its values."""

    operator: Operator
    set: Set
    if_exists: bool
    key: Key
    values: tuple[Value, ...]
    at: Path


def tests(value: Any, path: Path, notes: Notes) -> Iterator[Test]:
    """The tests of a Condition."""
    for name, keys in _block(value, path, notes):
        found = notes.attempt((*path, name), _operator, name)
        if found is None:
            continue
        seen: set[str] = set()
        for key_name, wanted in _block(keys, (*path, name), notes):
            at = (*path, name, key_name)
            if key_name.lower() in seen:
                notes.wrong(at, "document-duplicate", f"{key_name!r} is given twice", "Key names know no case: put all values in one list.")
            seen.add(key_name.lower())
            test = notes.attempt(at, _test, found, key_name, wanted, at, notes)
            if test is not None:
                yield test


def _block(value: Any, path: Path, notes: Notes) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        yield from value.items()
    elif value == {}:
        notes.wrong(path, "document-empty", f"{path[-1]} holds nothing", "Leave it out.")
    else:
        notes.wrong(path, "document-type", f"{path[-1]} holds names and values", "Write {StringEquals: {aws:PrincipalTag/plan: gold}}.")


_Found = tuple[Operator, Set, bool]


def _operator(name: str) -> _Found:
    found = _QUALIFIED.fullmatch(name)
    base = found[2] if found else name
    if found is None or base not in OPERATORS:
        near = get_close_matches(base, OPERATORS, n=1, cutoff=0.7)
        hint = f"Did you mean {near[0]}?" if near else f"Operators: {', '.join(OPERATORS)}."
        raise Refused("condition-operator-unknown", f"the operator {name!r} isn't known here", hint)
    operator, kind, if_exists = OPERATORS[base], found[1] or "", found[3] is not None
    if operator.family == "Null" and (kind or if_exists):
        raise Refused("condition-operator-unknown", f"Null can't be qualified, as in {name!r}", "Write Null: {key: true} or {key: false}.")
    if kind == "ForAnyValue" and if_exists:
        hint = "Write ForAnyValue without IfExists, or Null in a statement of its own."
        raise Refused("condition-operator-unknown", f"what {name!r} does where the key is missing isn't told by AWS", hint)
    return operator, kind, if_exists  # type: ignore[return-value]


def _test(found: _Found, name: str, wanted: Any, at: Path, notes: Notes) -> Test:
    operator, kind, if_exists = found
    asked = key(name, notes.schema)
    _check_type(operator, kind, asked)
    read = _reader(operator, asked, notes.variables)
    held = tuple(value for where, one in notes.items(wanted, at) if (value := notes.attempt(where, read, one)) is not None)
    weights = [weight(value) for value in held if isinstance(value, tuple)]
    if (sum(weights) if asked.type == "list" else max(weights, default=0)) > HEAVIEST:
        raise too_large()
    return Test(operator, kind, if_exists, asked, held, at)


def _check_type(operator: Operator, kind: Set, asked: Key) -> None:
    families = _FAMILIES[asked.type]
    if operator.family not in {*families, "Null"}:
        possible = ", ".join(name for name, one in OPERATORS.items() if one.family in families)
        hint = f"Operators for it: {possible}."
        if asked.attribute or asked.type == "text":
            hint += " The type of a tag is that of the attribute, as the Gateway declares it." if "Tag/" in asked.name else ""
        raise Refused("condition-type", f"{asked.name} is a {_WORDS[asked.type]}, which {operator.family} operators don't compare", hint)
    if asked.type == "list" and not kind and operator.family != "Null":
        hint = "Write ForAnyValue: or ForAllValues: before the operator."
        raise Refused("condition-type", f"{asked.name} is a list, and it isn't said whether one or all of its elements are meant", hint)


_WORDS: Mapping[Type, str] = {
    "text": "text",
    "arn": "text",
    "flag": "truth value",
    "truth": "truth value",
    "number": "number",
    "list": "list",
    "address": "source address",
    "date": "time",
    "epoch": "time",
}


def _reader(operator: Operator, asked: Key, variables: bool) -> Callable[[Any], Value]:
    match operator.family:
        case "String":
            return lambda value: values.glob(value, variables, wild=operator.compare == "like")
        case "Arn":
            return lambda value: values.arn(value, variables)
        case "Numeric":
            return values.number
        case "Date":
            return values.seconds
        case "IpAddress":
            return values.address
    return values.truth
