"""Conditions as CEL for Envoy: one expression that is true exactly when the condition is true (or false, if so asked).

It never errs: whatever it reads, it first asks whether it is there and of the right type. Envoy's CEL can't concatenate or
convert to strings, lower the case or iterate, and a pattern may have 100 instructions.
"""

import sys
from collections.abc import Iterator, Sequence

from bartizan.condition import patterns
from bartizan.condition.networks import patterns as network_patterns
from bartizan.condition.schema import ADDRESS_HEADER, LISTS, NAMESPACE, TIME_HEADER, Sources
from bartizan.condition.syntax import Ast, call, const, has, index, joined, listing, method, name, negation
from bartizan.condition.tree import (
    Agent,
    Attribute,
    Between,
    BodySize,
    Choose,
    Constant,
    Day,
    Detail,
    Elapsed,
    Flag,
    Group,
    Header,
    Hour,
    Member,
    Node,
    Not,
    Number,
    NumberPair,
    Part,
    Present,
    Same,
    Since,
    Size,
    Test,
    Text,
    TextHas,
    TextIs,
    TextPair,
    Weekday,
    Within,
)

_HEADERS = name("request.headers")
_METADATA = name("metadata.filter_metadata")
_PRINCIPAL = index(_METADATA, NAMESPACE)
_ADDRESS_TEXT = r"^(?:\[?[0-9a-f]*:|[0-9]+\.)"
_GREATEST = sys.float_info.max
_TYPES = {"string": "string", "number": "double", "bool": "string", "list": "string", "words": "string"}


def expression(node: Node, want: bool, sources: Sources) -> Ast:
    """CEL that is true exactly when `node` is definitely what is wanted, and false otherwise."""
    match node:
        case Constant(value):
            return const(value == want)
        case Not(of):
            return expression(of, not want, sources)
        case Group(every, of):
            return joined("_&&_" if every == want else "_||_", [expression(each, want, sources) for each in of])
        case Choose(test, yes, no):
            return joined("_||_", [_both(test, True, yes, want, sources), _both(test, False, no, want, sources)])
        case Same(left, right):
            return joined("_||_", [_both(left, True, right, want, sources), _both(left, False, right, not want, sources)])
    return _test(node, want, sources)


def _both(first: Node, want_first: bool, second: Node, want_second: bool, sources: Sources) -> Ast:
    return call("_&&_", expression(first, want_first, sources), expression(second, want_second, sources))


def _test(test: Test, want: bool, sources: Sources) -> Ast:
    guards = list(_guards(test, sources))
    asked = _asked(test, sources)
    if asked is None:  # the guards are the whole question
        present = joined("_&&_", guards)
        return present if want else negation(present)
    if isinstance(test, Agent):
        found = joined("_&&_", [*guards, asked])
        return found if want else negation(found)
    return joined("_&&_", [*guards, asked if want else negation(asked)])


# What must hold before a value may be read.


def _guards(test: Test, sources: Sources) -> Iterator[Ast]:
    match test:
        case Present(of) | Flag(of) | TextIs(of) | TextHas(of) | Member(of):
            yield from _guard(of, sources)
        case TextPair(_, left, right) | NumberPair(_, left, right):
            for side in (left, right):
                if not isinstance(side, str | int | float):
                    yield from _guard(side, sources)
        case Within():
            yield from _has_header(ADDRESS_HEADER) if sources.address == "header" else (has("source.address"),)
            yield method(_address(sources), "matches", const(_ADDRESS_TEXT))
        case Agent():
            yield from _has_header("user-agent")
        case Between() | Weekday() | Day() | Since():
            yield from _guard_time(sources)


def _guard(of: Text | Number, sources: Sources) -> Iterator[Ast]:
    match of:
        case Attribute():
            yield from _guard_attribute(of)
        case Header(header):
            yield from _has_header(header)
        case Detail():
            yield from _guard_detail(of)
        case Size(text):
            yield from _guard(text, sources)
        case BodySize():
            yield from _has_header("content-length")
            yield has("request.size")
        case Hour():
            yield from _guard_time(sources)
        case Elapsed(moment):
            yield from _guard_attribute(moment)
            yield from _guard_time(sources)


def _guard_time(sources: Sources) -> Iterator[Ast]:
    if sources.time == "header":
        yield from _has_header(TIME_HEADER)


def _guard_detail(of: Detail) -> Iterator[Ast]:
    match of.name:
        case "certificate":
            yield has("connection.sha256_peer_certificate_digest")
            yield call("_!=_", _read(of), const(""))
        case "host":
            yield from _has_header(":authority")
            yield method(_read(of), "matches", const(f"^{patterns.ANY_HOST}$"))
        case _:
            yield from _has_header(":path")


def _has_header(header: str) -> Iterator[Ast]:
    yield call("@in", const(header), _HEADERS)


def _guard_attribute(of: Attribute) -> Iterator[Ast]:
    value = _read(of)
    yield call("@in", const(NAMESPACE), _METADATA)
    yield call("@in", const(of.name), _PRINCIPAL)
    yield call("_==_", call("type", value), name(_TYPES[of.type]))
    if of.type == "number":
        yield call("_>=_", value, const(-_GREATEST))
        yield call("_<=_", value, const(_GREATEST))
    elif of.type == "bool":
        yield call("@in", value, listing(["true", "false"]))
    elif of.type in LISTS:
        yield joined("_||_", [method(value, "matches", const(f"^{one}$")) for one in patterns.lists(of.type)])
        yield negation(method(value, "matches", const(patterns.ODD_ESCAPE)))


# The questions themselves.


def _asked(test: Test, sources: Sources) -> Ast | None:
    match test:
        case Flag(of):
            return call("_==_", _read(of), const("true"))
        case TextIs() | TextHas() | TextPair() | Member() | Agent():
            return _asked_of_text(test)
        case NumberPair(order, left, right):
            return call(f"_{order}_", *_numbers(left, right, sources))
        case Within(networks):
            found = [pattern for network in networks for pattern in network_patterns(network)]
            return joined("_||_", [method(_address(sources), "matches", const(pattern)) for pattern in found])
        case Between() | Weekday() | Day() | Since():
            return _asked_of_time(test, _now(sources))
    return None


def _asked_of_text(test: TextIs | TextHas | TextPair | Member | Agent) -> Ast:
    match test:
        case TextIs(Detail("host") as of, values):
            return method(_read(of), "matches", const(f"^{patterns.host_is(values)}$"))
        case TextIs(of, values):
            return call("_==_", _read(of), const(values[0])) if len(values) == 1 else call("@in", _read(of), listing(values))
        case TextHas(of, how, what):
            return _part(of, how, what)
        case Member(of, value):
            found = [const(f"^{one}") for one in patterns.holding(of.type, value)]
            return joined("_||_", [method(_read(of), "matches", one) for one in found])
        case Agent(pattern):
            return method(index(_HEADERS, "user-agent"), "matches", const(pattern))
        case TextPair(function, left, right):
            read = [const(side) if isinstance(side, str) else _read(side) for side in (left, right)]
            return call(function, *read) if function.startswith("_") else method(read[0], function, read[1])


def _part(of: Text, how: Part, what: str) -> Ast:
    if of == Detail("host"):
        return method(_read(of), "matches", const(f"^{patterns.host_has(how, what)}$"))
    return method(_read(of), how, const(what))


def _asked_of_time(test: Between | Weekday | Day | Since, now: Ast) -> Ast:
    match test:
        case Between(start, end, zone):
            hours = call("_*_", method(now, "getHours", const(zone)), const(60))
            minute = call("_+_", hours, method(now, "getMinutes", const(zone)))
            inside = [call("_>=_", minute, const(start)), call("_<_", minute, const(end))]
            return joined("_&&_" if start < end else "_||_", inside)
        case Weekday(days, zone):
            return _on_days(method(now, "getDayOfWeek", const(zone)), days)
        case Day(order, date, zone):
            return call(f"_{order}_", _date(now, zone), const(date))
        case Since(moment):
            return call("_>=_", now, call("timestamp", const(moment)))


def _on_days(day: Ast, days: Sequence[int]) -> Ast:
    """Whether a day is one of these. Days in a row, be it over the week's end, are a comparison: CEL makes a list anew for each request."""
    starts = [one for one in days if (one - 1) % 7 not in days]
    if len(starts) > 1:
        return call("@in", day, listing(days))
    first = starts[0] if starts else 0
    since = call("_%_", call("_+_", day, const(7 - first)), const(7)) if first else day
    return call("_<_", since, const(len(days)))


def _date(now: Ast, zone: str) -> Ast:
    """The local date as the number YYYYMMDD."""
    years = call("_*_", method(now, "getFullYear", const(zone)), const(10000))
    months = call("_*_", call("_+_", method(now, "getMonth", const(zone)), const(1)), const(100))
    return call("_+_", call("_+_", years, months), method(now, "getDate", const(zone)))


# Reading.


def _read(of: Text) -> Ast:
    match of:
        case Attribute(attribute):
            return index(_PRINCIPAL, attribute)
        case Header(header):
            return index(_HEADERS, header)
        case Detail("path"):
            return name("request.url_path")
        case Detail("host"):
            return index(_HEADERS, ":authority")
        case Detail("query"):
            return name("request.query")
    return name("connection.sha256_peer_certificate_digest")


def _numbers(left: Number, right: Number | int | float, sources: Sources) -> tuple[Ast, Ast]:
    """Both sides, as whole numbers if both are, else as doubles."""
    whole = isinstance(right, int | Size | BodySize | Hour) and not isinstance(left, Attribute | Elapsed)
    return _number(left, whole, sources), _number(right, whole, sources)


def _number(of: Number | int | float, whole: bool, sources: Sources) -> Ast:
    match of:
        case int() | float():
            return const(of if whole else float(of))
        case Attribute():
            return _read(of)
        case Size(text):
            read = method(_read(text), "size")
        case BodySize():
            read = name("request.size")
        case Hour(zone):
            read = method(_now(sources), "getHours", const(zone))
        case Elapsed(moment):
            return call("_-_", call("double", call("int", _now(sources))), _read(moment))
    return read if whole else call("double", read)


def _now(sources: Sources) -> Ast:
    return name("request.time") if sources.time == "clock" else call("timestamp", index(_HEADERS, TIME_HEADER))


def _address(sources: Sources) -> Ast:
    """The address's text, with a port behind it if it is the connection's."""
    return name("source.address") if sources.address == "connection" else index(_HEADERS, ADDRESS_HEADER)
