"""Conditions as Envoy's own matchers, and as CEL only where those can't say it.

`predicate(node, True)` matches exactly when the condition is definitely true, `predicate(node, False)` when it is definitely
false; when something it reads is missing or of the wrong type, neither does. A matcher whose input is missing doesn't
match, and `not_matcher` of it does: so "isn't" is always said as "is there, and isn't".
"""

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Network

from google.protobuf.message import Message

from bartizan.condition import patterns
from bartizan.condition.expression import expression
from bartizan.condition.networks import MAPPED, covers_mapped, mapped
from bartizan.condition.program import fits_cel
from bartizan.condition.schema import ADDRESS_HEADER, NAMESPACE, Sources
from bartizan.condition.syntax import emitted
from bartizan.condition.tree import (
    Agent,
    Attribute,
    Choose,
    Constant,
    Detail,
    Flag,
    Group,
    Header,
    Member,
    Network,
    Node,
    Not,
    NumberPair,
    Order,
    Present,
    Same,
    Test,
    Text,
    TextHas,
    TextIs,
    Within,
    inner,
)
from bartizan.envoy import extension, message

_PREDICATE = "xds.type.matcher.v3.Matcher.MatcherList.Predicate"
_GREATEST = sys.float_info.max
_Match = tuple[str, str]
"""A StringMatcher: its field, and the text or pattern in it."""
_EVERYWHERE = ("0.0.0.0/0", "::/0")


def predicate(node: Node, want: bool, sources: Sources) -> Message:
    """A matcher that matches exactly when `node` is definitely what is wanted."""
    if not _is_native(node):
        return _cel(node, want, sources)
    match node:
        case Constant(value):
            always = _header(":method", _pattern(patterns.ANYTHING))
            return always if value == want else _not(always)
        case Not(of):
            return predicate(of, not want, sources)
        case Group():
            return _group(node, want, sources)
        case Choose(test, yes, no):
            return _any([_both(test, True, yes, want, sources), _both(test, False, no, want, sources)])
        case Same(left, right):
            return _any([_both(left, True, right, want, sources), _both(left, False, right, not want, sources)])
    return _test(node, want, sources)


def _both(first: Node, want_first: bool, second: Node, want_second: bool, sources: Sources) -> Message:
    return _all([predicate(first, want_first, sources), predicate(second, want_second, sources)])


def _group(node: Group, want: bool, sources: Sources) -> Message:
    """Native matchers first, because they are cheap; what needs CEL behind them, as one expression."""
    parts = [predicate(each, want, sources) for each in node.of if _is_native(each)]
    rest = tuple(each for each in node.of if not _is_native(each))
    if rest:
        parts.append(_cel(Group(node.every, rest), want, sources))
    return _all(parts) if node.every == want else _any(parts)


def _cel(node: Node, want: bool, sources: Sources) -> Message:
    expr = emitted(expression(node, want, sources))
    return _custom(
        message("xds.type.matcher.v3.HttpAttributesCelMatchInput"),
        message("xds.type.matcher.v3.CelMatcher", expr_match={"cel_expr_parsed": {"expr": expr}}),
    )


def _is_native(node: Node) -> bool:
    """Whether any part of `node` can be said without CEL."""
    return any(map(_is_native, inner(node))) if inner(node) else not needs_cel(node)


def needs_cel(node: Node) -> bool:
    match node:
        case Present(of):
            return not isinstance(of, Attribute | Header)
        case TextIs(of):
            return of in (Detail("query"), Detail("certificate"))
        case TextHas(of, "matches", pattern):
            # To CEL a text is characters, to matchers bytes: what fits it is asked there.
            return of in (Detail("query"), Detail("certificate"), Detail("path")) or fits_cel(pattern)
        case TextHas(of):
            return of in (Detail("query"), Detail("certificate"))
        case NumberPair(_, left, right):
            return not isinstance(left, Attribute) or not isinstance(right, int | float)
    return not isinstance(node, Constant | Flag | Member | Within | Agent)


# Tests that matchers can say.


def _test(test: Test, want: bool, sources: Sources) -> Message:
    match test:
        case Present(Attribute() | Header() as of):
            return _is_there(of) if want else _not(_is_there(of))
        case Flag(of):
            return _metadata(of, ("exact", "true" if want else "false"))
        case Agent(pattern):
            found = _header("user-agent", _pattern(patterns.found_in(pattern)))
            return found if want else _not(found)
        case Within(networks):
            found = _any(list(_within(networks, sources)))
            return found if want else _all([_address(_EVERYWHERE, sources), _not(found)])
        case NumberPair(order, Attribute() as of, int() | float() as number):
            return _number(of, order, float(number), want)
        case Member(of, value):
            holds = _metadata(of, *(_pattern(one + patterns.ANYTHING) for one in patterns.holding(of.type, value)))
            return _all([_is_there(of), holds if want else _not(holds)])
        case TextIs() | TextHas():
            return _text(test, want)
    raise ValueError(f"no matcher says {test}")


def _text(test: TextIs | TextHas, want: bool) -> Message:
    found = _found(test)
    if isinstance(test, TextHas) and test.how == "matches":
        return _all([_is_ascii(test.of), found if want else _not(found)])
    return found if want else _all([_is_there(test.of), _not(found)])


def _is_there(of: Text) -> Message:
    """The value is there, and of its type."""
    match of:
        case Attribute(_, "string"):
            return _metadata(of, _pattern(patterns.ANYTHING))
        case Attribute(_, "bool"):
            return _metadata(of, _pattern("true|false"))
        case Attribute(_, "list" | "words"):
            odd = _metadata(of, _pattern(patterns.found_in(patterns.ODD_ESCAPE)))
            return _all([_metadata(of, *map(_pattern, patterns.lists(of.type))), _not(odd)])
        case Attribute():
            return _number_is(of, {"range": {"start": -_GREATEST, "end": math.inf}})
        case Detail("host"):
            return _header(":authority", _pattern(patterns.ANY_HOST))
        case Header(header):
            return _header(header, _pattern(patterns.ANYTHING))
    return _header(":path", _pattern(patterns.ANYTHING))


def _is_ascii(of: Text) -> Message:
    """The value is there, and each of its bytes is a character."""
    return _metadata(of, _pattern(patterns.ASCII)) if isinstance(of, Attribute) else _header(of.name, _pattern(patterns.ASCII))


def _found(test: TextIs | TextHas) -> Message:
    """Matches if the string is there and is, or has, what the test says."""
    if isinstance(test.of, Attribute):
        return _metadata(test.of, *_matches(test))
    header = test.of.name if isinstance(test.of, Header) else {"host": ":authority", "path": ":path"}[test.of.name]
    return _any([_header(header, each) for each in _matches(test)])


def _matches(test: TextIs | TextHas) -> list[_Match]:
    match test:
        case TextIs(Detail("host"), values):
            return [_pattern(patterns.host_is(values))]
        case TextIs(Detail("path"), values):
            return [("exact", value) for value in values] + [("prefix", f"{value}?") for value in values]
        case TextIs(_, values):
            return [("exact", value) for value in values]
        case TextHas(Detail("host"), how, what):
            return [_pattern(patterns.host_has(how, what))]
        case TextHas(Detail("path"), "endsWith" | "contains" as how, what):
            return [_pattern(patterns.path_has(how, what))]
        case TextHas(_, "matches", what):
            return [_pattern(patterns.found_in(what))]
        case TextHas(_, how, what):
            kinds = {"startsWith": "prefix", "endsWith": "suffix", "contains": "contains"}
            return [(kinds[how], what) if what else _pattern(patterns.ANYTHING)]


def _number(of: Attribute, order: Order, than: float, want: bool) -> Message:
    """Ranges are half-open, so that "at most" ends at the next number."""
    if order == "==":
        equal = _number_is(of, {"exact": than})
        return equal if want else _all([_is_there(of), _not(equal)])
    above = (order in (">", ">=")) == want
    inclusive = (order in ("<=", ">=")) == want
    edge = than if inclusive == above else math.nextafter(than, math.inf)
    start, end = (edge, math.inf) if above else (-_GREATEST, edge)
    return _number_is(of, {"range": {"start": start, "end": end}})


def _within(networks: Sequence[Network], sources: Sources) -> Iterable[Message]:
    """IPv4 addresses also in the form they take in IPv6, and never as IPv6 addresses."""
    wide = [str(each) for each in networks if covers_mapped(each)]
    narrow = [str(each) for each in networks if not covers_mapped(each)]
    narrow += [str(mapped(each)) for each in networks if isinstance(each, IPv4Network)]
    if narrow:
        yield _address(narrow, sources)
    if wide:
        yield _all([_address(wide, sources), _not(_address([str(MAPPED)], sources))])


# Envoy's vocabulary.


def _made(**fields: object) -> Message:
    made: Message = message(_PREDICATE, **fields)
    return made


def _header(header: str, match: _Match) -> Message:
    kind, text = match
    # Envoy's own RegexMatcher assumes its engine; xDS's must be told.
    value: object = {"regex": text, "google_re2": {}} if kind == "safe_regex" else text
    source = message("envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name=header)
    return _made(single_predicate={"input": extension("input", source), "value_match": {kind: value}})


def _metadata(of: Attribute, *matches: _Match) -> Message:
    values = [{"string_match": {kind: {"regex": text} if kind == "safe_regex" else text}} for kind, text in matches]
    return _value(of, values[0] if len(values) == 1 else {"or_match": {"value_matchers": values}})


def _number_is(of: Attribute, double: dict[str, object]) -> Message:
    return _value(of, {"double_match": double})


def _value(of: Attribute, value: Mapping[str, object]) -> Message:
    source = message("envoy.extensions.matching.common_inputs.network.v3.DynamicMetadataInput", filter=NAMESPACE, path=[{"key": of.name}])
    return _custom(source, message("envoy.extensions.matching.input_matchers.metadata.v3.Metadata", value=value))


def _custom(source: Message, matcher: Message) -> Message:
    return _made(single_predicate={"input": extension("input", source), "custom_match": extension("matcher", matcher)})


def _address(networks: Iterable[str], sources: Sources) -> Message:
    ranges = [
        {"address_prefix": address, "prefix_len": {"value": int(length)}} for address, length in (each.split("/") for each in networks)
    ]
    ip = message("envoy.extensions.matching.input_matchers.ip.v3.Ip", stat_prefix="source_ip", cidr_ranges=ranges)
    if sources.address == "header":
        return _custom(message("envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name=ADDRESS_HEADER), ip)
    return _custom(message("envoy.extensions.matching.common_inputs.network.v3.SourceIPInput"), ip)


def _pattern(regex: str) -> _Match:
    return "safe_regex", regex


def _not(of: Message) -> Message:
    return _made(not_matcher=of)


def _all(parts: Sequence[Message]) -> Message:
    return parts[0] if len(parts) == 1 else _made(and_matcher={"predicate": parts})


def _any(parts: Sequence[Message]) -> Message:
    return parts[0] if len(parts) == 1 else _made(or_matcher={"predicate": parts})
