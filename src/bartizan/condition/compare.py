"""Comparisons, memberships and string functions: two terms that fit each other become a test, others a mistake."""

import re

from bartizan.condition import patterns
from bartizan.condition.mistake import Refused, one_of, suggestion
from bartizan.condition.networks import network
from bartizan.condition.patterns import DEVICES
from bartizan.condition.schema import LISTS
from bartizan.condition.syntax import Ast
from bartizan.condition.terms import (
    Calendar,
    Fixed,
    Scope,
    Several,
    Special,
    Term,
    header,
    is_number,
    is_text,
    kind,
    literal_text,
    shown,
    term,
    unsupported,
    wrong_type,
)
from bartizan.condition.tree import (
    Agent,
    Attribute,
    Constant,
    Day,
    Detail,
    Header,
    Member,
    Node,
    Number,
    NumberPair,
    Order,
    Part,
    Present,
    Text,
    TextHas,
    TextIs,
    TextPair,
    Weekday,
    Within,
    group,
    opposite,
)
from bartizan.condition.zones import DAYS, day
from bartizan.model import countries

ORDERS: dict[str, Order] = {"_==_": "==", "_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">="}
_FLIPPED: dict[Order, Order] = {"==": "==", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_PARTS: dict[str, Part] = {"startsWith": "startsWith", "endsWith": "endsWith", "contains": "contains", "matches": "matches"}
_DEVICE_TYPES = tuple(dict.fromkeys([*(name for name, _ in DEVICES), "unknown"]))
_CHOICES = {Header(":scheme"): ("http", "https"), Attribute("method", "string"): ("api_key", "jwt", "mtls")}


def comparison(ast: Ast, scope: Scope) -> Node:
    """`left <op> right`."""
    if ast.name == "_!=_":
        return opposite(comparison(Ast("call", "_==_", args=ast.args, at=ast.at), scope))
    order = ORDERS[ast.name]
    left, right = term(ast.args[0], scope), term(ast.args[1], scope)
    if isinstance(left, Fixed):
        left, right, order = right, left, _FLIPPED[order]
    if isinstance(left, Fixed):
        unsupported(ast.start, "two literals are compared", "compare something of the request or the principal")
    if isinstance(right, Special | Calendar) and not isinstance(left, Special | Calendar):
        left, right, order = right, left, _FLIPPED[order]
    return _compared(order, left, right, ast)


def _compared(order: Order, left: Term, right: Term, ast: Ast) -> Node:
    if isinstance(left, Special | Calendar):
        if not isinstance(right, Fixed):
            unsupported(ast.start, f"{kind(left)} can be compared with literals only", _SPECIAL_HINTS[_special(left)])
        return _special_compared(order, left, right, ast)
    if is_text(left) and isinstance(right, Fixed) and isinstance(right.value, str):
        return _text_compared(order, left, right, right.value)
    if is_text(left) and is_text(right):
        _no_host(left, ast)
        _no_host(right, ast)
        return TextPair(f"_{order}_", left, right)
    if is_number(left) and (number := _number(right)) is not None:
        return NumberPair(order, left, number)
    if isinstance(left, Attribute) and left.type in LISTS:
        unsupported(ast.start, "a list can only be asked for a member", f'write "ops" in principal.{left.name}')
    wrong_type(ast.start, f"{kind(left)} can't be compared with {kind(right)}", _type_hint(left))


def _type_hint(left: Term) -> str:
    return 'compare it with a string in quotes, such as "gold"' if is_text(left) else "compare it with a number, such as 5"


def _number(of: Term) -> Number | int | float | None:
    if isinstance(of, Fixed):
        number = isinstance(of.value, int | float) and not isinstance(of.value, bool) and abs(of.value) < 1e300
        return of.value if number and isinstance(of.value, int | float) else None
    return of if is_number(of) else None


def _text_compared(order: Order, of: Text, right: Fixed, value: str) -> Node:
    if order == "==":
        return TextIs(of, (_checked(of, value, right.at),))
    if of == Detail("host"):
        unsupported(right.at, "request.host has no order", "compare it with ==, in, startsWith or endsWith")
    return TextPair(f"_{order}_", of, value)


# What has rules of its own.

_SPECIAL_HINTS = {
    "source.ip": 'write source.ip.within("10.0.0.0/8")',
    "device.type": f"it is one of {one_of(_DEVICE_TYPES)}",
    "now": 'write now.after("2030-01-31T00:00:00Z") or now.between("08:00", "18:00", "Europe/Berlin")',
    "request.headers": 'write request.headers["x-tenant"] == "acme"',
    "weekday": f'write now.weekday("Europe/Berlin") in ["mon", "tue"]; it is one of {one_of(DAYS)}',
    "date": 'write now.date("Europe/Berlin") >= "2030-01-31"',
}


def _special(of: Special | Calendar) -> str:
    return of.name if isinstance(of, Special) else of.function


def _special_compared(order: Order, left: Special | Calendar, right: Fixed, ast: Ast) -> Node:
    what = _special(left)
    if isinstance(left, Calendar) and what == "date":
        return Day(order, _day(right), left.zone)
    if what in ("now", "request.headers"):
        unsupported(ast.start, f"{what} itself can't be compared", _SPECIAL_HINTS[what])
    if order != "==":
        unsupported(ast.start, f"{kind(left)} has no order", _SPECIAL_HINTS[what])
    return _special_in(left, (right,))


def _special_in(left: Special | Calendar, values: tuple[Fixed, ...]) -> Node:
    if isinstance(left, Calendar) and left.function == "date":
        return group(False, [Day("==", _day(value), left.zone) for value in values])
    if isinstance(left, Calendar):
        return Weekday(tuple(sorted({DAYS.index(_choice(value, DAYS, "a weekday")) for value in values})), left.zone)
    if left.name == "device.type":
        return _device(frozenset(_choice(value, _DEVICE_TYPES, "a device type") for value in values))
    if left.name == "source.ip":
        return within([Ast("const", value=value.value, at=value.at) for value in values])
    unsupported(values[0].at, f"{left.name} itself can't be compared", _SPECIAL_HINTS[left.name])


def _day(of: Fixed) -> int:
    try:
        return day(str(of.value))
    except ValueError:
        raise Refused("bad-time", of.at, f"{shown(of)} is not a date", 'write it as "2030-01-31"') from None


def _choice(of: Fixed, choices: tuple[str, ...], what: str) -> str:
    if not isinstance(of.value, str) or of.value not in choices:
        hint = suggestion(str(of.value), choices, f"it is one of {one_of(choices)}")
        raise Refused("unknown-name", of.at, f"{shown(of)} is not {what}", hint)
    return of.value


def _device(types: frozenset[str]) -> Node:
    """The first pattern that is found tells the type: so each counts only if those before it aren't found."""
    node: Node = Constant("unknown" in types)
    for name, pattern in reversed(DEVICES):
        found = Agent(pattern)
        node = group(False, [found, node]) if name in types else group(True, [opposite(found), node])
    return node


def within(networks: list[Ast]) -> Node:
    """`source.ip.within(networks)`."""
    found = []
    for each in networks:
        text = literal_text(each, "within()")
        try:
            found.append(network(text))
        except ValueError as error:
            raise Refused("bad-network", each.start, f'"{text}" is not a network', str(error)) from None
    return Within(tuple(dict.fromkeys(found)))


# Membership.


def membership(ast: Ast, scope: Scope) -> Node:
    """`left in right`."""
    left, right = term(ast.args[0], scope), term(ast.args[1], scope)
    if isinstance(right, Several):
        if not right.of:
            wrong_type(ast.args[1].start, "nothing is in an empty list", 'name the values, such as ["gold", "silver"]')
        return _in_literals(left, right, ast)
    if right == Special("request.headers"):
        return Present(header(literal_text(ast.args[0], '"name" in request.headers'), ast.args[0].start))
    if isinstance(right, Attribute) and right.type in LISTS:
        return Member(right, literal_text(ast.args[0], f"in principal.{right.name}"))
    wrong_type(
        ast.args[1].start, f"nothing can be in {kind(right)}", 'the right side is a list, such as ["gold", "silver"] or principal.groups'
    )


def _in_literals(left: Term, right: Several, ast: Ast) -> Node:
    if isinstance(left, Fixed | Several):
        unsupported(ast.start, "a literal is looked for among literals", "look for something of the request or the principal")
    if isinstance(left, Special | Calendar):
        return _special_in(left, right.of)
    if is_text(left) and all(isinstance(each.value, str) for each in right.of):
        return TextIs(left, tuple(dict.fromkeys(_checked(left, str(each.value), each.at) for each in right.of)))
    return group(False, [_compared("==", left, each, Ast("const", value=each.value, at=each.at)) for each in right.of])


# Strings.


def text_function(ast: Ast, scope: Scope) -> Node:
    """`left.startsWith(right)` and its like."""
    how = _PARTS[ast.name]
    operands = ast.parts
    if len(operands) != 2:
        wrong_type(ast.start, f"{how}() is asked of a string, with one string", f'write request.path.{how}("/orders")')
    left, right = term(operands[0], scope), term(operands[1], scope)
    for side, part in zip((left, right), operands, strict=True):
        if not is_text(side) and not (isinstance(side, Fixed) and isinstance(side.value, str)):
            wrong_type(part.start, f"{how}() works on strings, and this is {kind(side)}", _how_hint(side, how))
    if how == "matches":
        return _matches(left, operands[1])
    if is_text(left) and isinstance(right, Fixed):
        return TextHas(left, how, _checked_part(left, str(right.value), right.at))
    return _text_pair(how, left, right, ast)


def _how_hint(side: Term, how: str) -> str:
    return _SPECIAL_HINTS[_special(side)] if isinstance(side, Special | Calendar) else f'write request.path.{how}("/orders")'


def _text_pair(how: str, left: Term, right: Term, ast: Ast) -> Node:
    sides: list[Text | str] = []
    for side in (left, right):
        _no_host(side, ast)
        sides.append(side if is_text(side) else str(side.value) if isinstance(side, Fixed) else "")
    if all(isinstance(side, str) for side in sides):
        unsupported(ast.start, "two literals are compared", "compare something of the request or the principal")
    return TextPair(how, sides[0], sides[1])


def _matches(left: Term, pattern: Ast) -> Node:
    text = literal_text(pattern, "matches()")
    if not is_text(left):
        unsupported(pattern.start, "a literal is matched", "match something of the request or the principal")
    if left == Detail("host"):
        unsupported(pattern.start, "request.host can't be matched", "compare it with ==, in, startsWith, endsWith or contains")
    if found := patterns.problem(text):
        unsupported(
            pattern.start, f"the pattern can't be used: {found}", "patterns are those of RE2; look-around and back-references don't exist"
        )
    return TextHas(left, "matches", text)


def _no_host(of: Term, ast: Ast) -> None:
    if of == Detail("host"):
        unsupported(ast.start, "request.host can be compared with literals only", 'write request.host == "api.example.com"')


# Literals that could never be met.


def _checked(of: Text, value: str, at: int) -> str:
    """`value`, unless what it is compared with can never be it."""
    if of in _CHOICES:
        return _choice(Fixed(value, at), _CHOICES[of], "one that exists")
    for check in (_check_path, _check_host, _check_certificate, _check_method, _check_country):
        check(of, value, at)
    return value


def _checked_part(of: Text, value: str, at: int) -> str:
    _check_path(of, value, at)
    if of == Detail("host") and not re.fullmatch(r"[a-z0-9._-]*", value):
        wrong_type(at, f'"{value}" is never part of a host', "hosts are in lower case and have no port")
    return value


def _check_path(of: Text, value: str, at: int) -> None:
    if of == Detail("path") and "?" in value:
        wrong_type(at, "request.path holds no query", "compare request.query too")


def _check_host(of: Text, value: str, at: int) -> None:
    if of == Detail("host") and not re.fullmatch(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]", value):
        wrong_type(at, f'"{value}" is never a host', 'hosts are in lower case and have no port, such as "api.example.com"')


def _check_certificate(of: Text, value: str, at: int) -> None:
    if of == Detail("certificate") and not re.fullmatch(r"[0-9a-f]{64}", value):
        wrong_type(at, "device.certificate is a SHA-256 in lower-case hex", "write its 64 digits, without colons")


def _check_method(of: Text, value: str, at: int) -> None:
    if of == Header(":method") and value != value.upper():
        wrong_type(at, f'there is no method "{value}"', f'methods are in upper case: "{value.upper()}"')


def _check_country(of: Text, value: str, at: int) -> None:
    if of == Attribute("source.country", "string") and value not in countries.CODES:
        wrong_type(at, f'"{value}" is not the code of a country', countries.hint(value))
