"""The values that a condition compares with, read as their operator wants them."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from bartizan.condition.networks import network
from bartizan.condition.tree import Network
from bartizan.policies.resource_policy.glob import Glob, VariableError, read
from bartizan.policies.resource_policy.notes import Refused, no_variable

_NUMBER = re.compile(r"[-+]?[0-9]{1,20}(?:\.[0-9]{1,20})?")
_LARGEST = 2**53
"""Beyond it, Envoy's numbers skip integers."""
_TIME = r"T(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?P<part>\.[0-9]{1,9})?)?(?P<zone>Z|[+-][0-9]{2}:[0-9]{2})"
_DATE = re.compile(rf"(?P<year>[0-9]{{4}})-(?P<month>[0-9]{{2}})(?:-(?P<day>[0-9]{{2}})(?:{_TIME})?)?")
_LAST = datetime(9999, 12, 30, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class ArnGlob:
    """The pattern of an ARN: one for each of its six parts."""

    parts: tuple[Glob, ...]
    text: str


def glob(value: Any, variables: bool, *, wild: bool) -> Glob:
    """A text, or a pattern of texts."""
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, int):
        value = str(value)
    if not isinstance(value, str):
        raise Refused("condition-value", f"{value!r} is not a text", "Write it in quotes.")
    try:
        return read(value, wild=wild, variables=variables)
    except VariableError as error:
        raise no_variable(str(error), variables) from error


def arn(value: Any, variables: bool) -> ArnGlob:
    """The pattern of an ARN. A wildcard stays within its part."""
    parts = value.split(":", 5) if isinstance(value, str) else []
    if len(parts) != 6:
        hint = "Write all six, such as arn:aws:iam::<gateway>:user/<consumer>; each may be *."
        raise Refused("condition-value", f"{value!r} is not an ARN of six parts", hint)
    return ArnGlob(tuple(glob(part, variables, wild=True) for part in parts), str(value))


def number(value: Any) -> Fraction:
    """A number, exactly."""
    text = repr(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _NUMBER.fullmatch(text):
        raise Refused("condition-value", f"{value!r} is not a number", "Write digits, such as 5 or 0.25.")
    found = Fraction(text)
    if abs(found) > _LARGEST:
        raise Refused("condition-value", f"{text} can't be compared exactly", f"Numbers go up to {_LARGEST}.")
    return found


def truth(value: Any) -> bool:
    """True or false."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise Refused("condition-value", f"{value!r} is neither true nor false", "Write true or false.")


def address(value: Any) -> Network:
    """An address, or a network of them."""
    try:
        return network(value if isinstance(value, str) else "")
    except ValueError as error:
        raise Refused("condition-value", f"{value!r} is not an address or a network", f"{error}".capitalize() + ".") from error


def seconds(value: Any) -> Fraction:
    """A moment in seconds since 1970: a date in one of the W3C's forms of ISO 8601, or the seconds themselves."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    hint = "Write 2030-01-31T08:00:00Z, 2030-01-31 or seconds since 1970."
    if not isinstance(text, str):
        raise Refused("condition-value", f"{value!r} is not a date", hint)
    if re.fullmatch(r"[0-9]{4}", text):
        raise Refused("condition-value", f"{text!r} may be a year or seconds since 1970", f"{hint[:-1]} in more than four digits.")
    found = Fraction(text) if re.fullmatch(r"[0-9]{1,12}", text) else _moment(text, hint)
    if not 0 <= found <= _LAST:
        raise Refused("condition-value", f"{text!r} lies outside of the years 1970 to 9999", hint)
    return found


def _moment(text: str, hint: str) -> Fraction:
    found = _DATE.fullmatch(text)
    if not found:
        raise Refused("condition-value", f"{text!r} is not a date", hint)
    clock = f"{found['hour'] or '00'}:{found['minute'] or '00'}:{found['second'] or '00'}{found['zone'] or 'Z'}"
    try:
        whole = datetime.fromisoformat(f"{found['year']}-{found['month']}-{found['day'] or '01'}T{clock}")
    except ValueError as error:
        raise Refused("condition-value", f"{text!r} is not a date", f"{hint} ({error})") from error
    return Fraction(int(whole.timestamp())) + Fraction(found["part"] or 0)
