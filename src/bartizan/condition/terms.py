"""What stands on either side of a comparison: names, headers, literals, sizes and times, read and checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn, TypeGuard

from bartizan.condition.mistake import Refused, one_of, suggestion
from bartizan.condition.schema import DEVICE, JA4_HEADER, LISTS, OWN_HEADERS, AttributeType
from bartizan.condition.syntax import Ast, Value
from bartizan.condition.tree import Attribute, BodySize, Detail, Elapsed, Header, Hour, Number, Size, Text
from bartizan.condition.zones import zones
from bartizan.model.places import PLACES, TELLS, is_place


@dataclass(frozen=True, slots=True)
class Fixed:
    """A literal."""

    value: Value
    at: int


@dataclass(frozen=True, slots=True)
class Several:
    """A list of literals."""

    of: tuple[Fixed, ...]


@dataclass(frozen=True, slots=True)
class Special:
    """Something that has rules of its own: `source.ip`, `device.type`, `now`, `request.headers`."""

    name: str


@dataclass(frozen=True, slots=True)
class Calendar:
    """`now.weekday(zone)` or `now.date(zone)`."""

    function: str
    zone: str


Term = Text | Number | Fixed | Several | Special | Calendar


@dataclass(slots=True)
class Scope:
    """What one reading of one text knows and collects."""

    attributes: Mapping[str, AttributeType]
    places: Mapping[str, AttributeType]
    """What the gateway's databases tell, by its whole name."""
    whole_in_cel: bool
    mistakes: list[Refused] = field(default_factory=list)


NAMES: Mapping[str, Term] = {
    "request.method": Header(":method"),
    "request.path": Detail("path"),
    "request.host": Detail("host"),
    "request.scheme": Header(":scheme"),
    "request.query": Detail("query"),
    "request.size": BodySize(),
    "request.headers": Special("request.headers"),
    "source.ip": Special("source.ip"),
    "device.type": Special("device.type"),
    "device.ja4": Header(JA4_HEADER),
    "device.id": Attribute("device_id", DEVICE["device_id"]),
    "device.trusted": Attribute("device_trusted", DEVICE["device_trusted"]),
    "device.certificate": Detail("certificate"),
    "now": Special("now"),
}
TEXT_FUNCTIONS = ("startsWith", "endsWith", "contains", "matches")
NOW_FUNCTIONS = ("between", "after", "before", "since", "weekday", "hour", "date")
FUNCTIONS = (*TEXT_FUNCTIONS, *NOW_FUNCTIONS, "size", "within", "has")
OPERATORS = {"_+_": "+", "_-_": "-", "_*_": "*", "_/_": "/", "_%_": "%", "-_": "-"}
_ROOTS = ("principal", "request", "source", "device", "now")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def unsupported(at: int, message: str, hint: str) -> NoReturn:
    raise Refused("unsupported", at, message, hint)


def wrong_type(at: int, message: str, hint: str) -> NoReturn:
    raise Refused("wrong-type", at, message, hint)


def term(ast: Ast, scope: Scope) -> Term:
    """What an operand reads. Raises Refused for what isn't a value that conditions can compare."""
    if ast.kind == "const":
        return Fixed(ast.value, ast.at)
    if ast.kind == "list":
        return Several(tuple(fixed(each, "a list in a condition holds") for each in ast.args))
    if ast.kind in ("name", "select"):
        return _named(ast, scope)
    if ast.kind == "call":
        return _called(ast, scope)
    if ast.kind == "has":
        wrong_type(ast.start, "has() is true or false; it can't stand here", "use it alone, or with && and ||")
    unsupported(
        ast.start, f"CEL's {ast.name or 'macros'} can't be used in conditions", "compare names with literals, and join with && and ||"
    )


def fixed(ast: Ast, what: str) -> Fixed:
    if ast.kind != "const":
        unsupported(ast.start, f"{what} literals only", 'write a literal, such as "gold" or 5')
    return Fixed(ast.value, ast.at)


def shown(of: Fixed) -> str:
    """A literal as it is written."""
    return f'"{of.value}"' if isinstance(of.value, str) else repr(of.value)


def literal_text(ast: Ast, what: str) -> str:
    found = fixed(ast, f"{what} takes")
    if not isinstance(found.value, str):
        wrong_type(ast.start, f"{what} takes a string", 'write it in quotes, such as "gold"')
    return found.value


def _path(ast: Ast) -> list[Ast]:
    """The steps of a dotted name, outermost last; empty if it isn't one."""
    if ast.kind == "name":
        return [ast]
    steps = _path(ast.target) if ast.kind == "select" and ast.target else []
    return [*steps, ast] if steps else []


def _named(ast: Ast, scope: Scope) -> Term:
    steps = _path(ast)
    if not steps:
        unsupported(ast.start, f".{ast.name} can't be selected here", f"names are those below {one_of(_ROOTS)}")
    dotted = ".".join(step.name for step in steps).lstrip(".")
    if dotted.startswith("request.headers.") and len(steps) == 3:
        return header(steps[2].name, ast.at + 1)
    if dotted in NAMES:
        return NAMES[dotted]
    if dotted in PLACES:
        return _place(dotted, steps[-1].at + 1, scope)
    root = steps[0].name.lstrip(".")
    if root == "principal" and len(steps) > 1:
        return _attribute(steps, scope)
    if root in _ROOTS and len(steps) == 1:
        unsupported(ast.start, f"{root} is not a value", f"read something below it: {_below(root, scope)}")
    _unknown(steps, dotted, scope)


def _attribute(steps: list[Ast], scope: Scope) -> Attribute:
    name, at = steps[1].name, steps[1].at + 1
    if name not in scope.attributes:
        exist = f"declared are {one_of(scope.attributes)}"
        hint = suggestion(name, {f"principal.{each}" for each in scope.attributes}, exist)
        raise Refused("unknown-name", at, f"principal has no attribute {name}", hint)
    if len(steps) > 2:
        unsupported(steps[2].at + 1, f"principal.{name} has no parts", f"use principal.{name} itself")
    return Attribute(name, scope.attributes[name])


def _place(name: str, at: int, scope: Scope) -> Attribute:
    if name in scope.places:
        return Attribute(name, scope.places[name])
    database = next(one for one, told in TELLS.items() if name in told)
    hint = f"name one in the Gateway, such as places: {{{database}: geo/{database}.mmdb}}"
    raise Refused("unknown-name", at, f"no database of the Gateway tells {name}", hint)


def _below(root: str, scope: Scope) -> str:
    if root == "principal":
        return one_of(f"principal.{name}" for name in scope.attributes)
    return one_of(name for name in (*NAMES, *scope.places) if name.startswith(f"{root}."))


def _unknown(steps: list[Ast], dotted: str, scope: Scope) -> NoReturn:
    root = steps[0].name.lstrip(".")
    if root in _ROOTS and len(steps) > 1:
        exist = f"there are {_below(root, scope)}" if root != "now" else f"there are now.{', now.'.join(NOW_FUNCTIONS)}"
        names = [name for name in (*NAMES, *PLACES) if name.startswith(f"{root}.")]
        raise Refused("unknown-name", steps[1].at + 1, f"there is no {dotted}", suggestion(dotted, names, exist))
    every = [*NAMES, *scope.places, *(f"principal.{name}" for name in scope.attributes)]
    if root in scope.attributes:
        raise Refused("unknown-name", steps[0].at, f"there is no {dotted}", f"did you mean principal.{root}?")
    exist = f"names are those below {one_of(_ROOTS)}"
    raise Refused("unknown-name", steps[0].at, f"there is no {dotted}", suggestion(dotted, every, exist))


def header(name: str, at: int) -> Header:
    lower = name.lower()
    if not _TOKEN.fullmatch(name):
        wrong_type(at, f'"{name}" is not the name of a header', 'write it as in request.headers["x-tenant"]')
    if lower.startswith(OWN_HEADERS):
        unsupported(at, f"headers that begin with {OWN_HEADERS} are the gateway's own", "read principal, source, now or device instead")
    if lower == "host":
        unsupported(at, "the host header has a name of its own", "write request.host")
    return Header(lower)


def _called(ast: Ast, scope: Scope) -> Term:
    if ast.name == "_[_]":
        return _indexed(ast, scope)
    if ast.name == "size":
        return _size(ast, scope)
    if ast.name in ("weekday", "hour", "date"):
        return _of_now(ast, scope)
    if ast.name == "since":
        return _elapsed(ast, scope)
    if ast.name in OPERATORS:
        unsupported(ast.at, f"there is no arithmetic in conditions ({OPERATORS[ast.name]})", "compare with a literal")
    if ast.name == "_?_:_":
        unsupported(ast.at, "?: can only choose between conditions here", "write it as a condition: test ? one == 1 : other == 2")
    if not ast.name.startswith(("_", "@", "!")) and ast.name not in FUNCTIONS:
        exist = f"there are {one_of(FUNCTIONS)}"
        raise Refused("unknown-name", ast.at, f"there is no function {ast.name}", suggestion(ast.name, FUNCTIONS, exist))
    wrong_type(ast.start, "this is true or false, and can't be compared so", "compare strings, numbers or lists")


def _indexed(ast: Ast, scope: Scope) -> Header:
    of = term(ast.args[0], scope)
    if of != Special("request.headers"):
        unsupported(ast.at, "only request.headers can be indexed", 'for a list write "ops" in principal.groups')
    return header(literal_text(ast.args[1], "request.headers[]"), ast.args[1].start)


def _size(ast: Ast, scope: Scope) -> Size:
    operands = ast.parts
    if len(operands) != 1:
        wrong_type(ast.start, "size() takes one string", "write size(principal.id)")
    of = term(operands[0], scope)
    if isinstance(of, Attribute) and of.type in LISTS:
        unsupported(ast.start, "the size of a list can't be asked", 'ask for a member: "ops" in principal.groups')
    if of == Detail("host"):
        unsupported(ast.start, "the size of request.host can't be asked", "compare it with ==, in, startsWith or endsWith")
    if not is_text(of):
        wrong_type(ast.start, f"size() takes a string, and this is {kind(of)}", "write size(principal.id)")
    return Size(of)


def _of_now(ast: Ast, scope: Scope) -> Hour | Calendar:
    if ast.target is None or term(ast.target, scope) != Special("now") or len(ast.args) != 1:
        wrong_type(ast.start, f"{ast.name}() is asked of now, in a time zone", f'write now.{ast.name}("Europe/Berlin")')
    zone = zone_name(ast.args[0])
    return Hour(zone) if ast.name == "hour" else Calendar(ast.name, zone)


def _elapsed(ast: Ast, scope: Scope) -> Elapsed:
    of = term(ast.args[0], scope) if len(ast.args) == 1 else None
    if (
        ast.target is None
        or term(ast.target, scope) != Special("now")
        or not isinstance(of, Attribute)
        or of.type != "number"
        or is_place(of.name)
    ):
        hint = "write now.since(principal.auth_time) < 600: seconds since the moment that the attribute tells, itself in seconds since 1970"
        wrong_type(ast.start, "since() is asked of now, for an attribute that is a number", hint)
    return Elapsed(of)


def zone_name(ast: Ast) -> str:
    name = literal_text(ast, "a time zone")
    if name not in zones():
        hint = suggestion(name, zones(), 'write a name of the tz database, such as "Europe/Berlin" or "UTC"')
        raise Refused("bad-time-zone", ast.start, f'there is no time zone "{name}"', hint)
    return name


def is_text(of: Term) -> TypeGuard[Text]:
    return isinstance(of, Header | Detail) or (isinstance(of, Attribute) and of.type == "string")


def is_number(of: Term) -> TypeGuard[Number]:
    return isinstance(of, Size | BodySize | Hour | Elapsed) or (isinstance(of, Attribute) and of.type == "number")


_SPECIAL = {"source.ip": "an address", "device.type": "a device type", "now": "a time", "request.headers": "the headers"}


def kind(of: Term) -> str:
    """A term's type, with its article."""
    match of:
        case Attribute(_, type_):
            return f"a {type_}"
        case Fixed(value):
            kinds = {bool: "a bool", int: "a number", float: "a number", str: "a string", bytes: "bytes", type(None): "null"}
            return kinds[type(value)]
        case Several():
            return "a list"
        case Special(name):
            return _SPECIAL[name]
        case Calendar(function):
            return f"a {function}"
        case Header() | Detail():
            return "a string"
    return "a number"
