"""Reads predicates as they are compiled for Envoy into formulas. What it doesn't know becomes a question that stays open, never a guess."""

import functools
import hashlib
from typing import Any

from google.protobuf.message import Message

from bartizan.envoy import message_type
from bartizan.envoy.names import PRINCIPAL
from bartizan.meaning.expression import read_cel
from bartizan.meaning.formula import (
    Formula,
    NumberTest,
    OfAddress,
    OfHeader,
    OfPrincipal,
    PresentTest,
    StringKind,
    StringTest,
    Unread,
    every,
    negation,
    some,
)

_PREDICATE = "xds.type.matcher.v3.Matcher.MatcherList.Predicate"
_KINDS: dict[str, StringKind] = {"exact": "exact", "prefix": "prefix", "suffix": "suffix", "contains": "contains"}
_HEADER = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput"
_METADATA = "envoy.extensions.matching.common_inputs.network.v3.DynamicMetadataInput"
_SOURCE = "envoy.extensions.matching.common_inputs.network.v3.SourceIPInput"
_METADATA_MATCHER = "envoy.extensions.matching.input_matchers.metadata.v3.Metadata"
_IP_MATCHER = "envoy.extensions.matching.input_matchers.ip.v3.Ip"
_CEL_MATCHER = "xds.type.matcher.v3.CelMatcher"


def read_predicate(predicate: Message) -> Formula:
    """The formula of a predicate. Equal predicates are read once."""
    return _read(predicate.SerializeToString(deterministic=True))


@functools.lru_cache(maxsize=50_000)  # the same predicate stands in many routes
def _read(body: bytes) -> Formula:
    return _formula(message_type(_PREDICATE).FromString(body))


def _formula(predicate: Any) -> Formula:
    which = predicate.WhichOneof("match_type")
    if which == "not_matcher":
        return negation(_formula(predicate.not_matcher))
    if which == "and_matcher":
        return every(map(_formula, predicate.and_matcher.predicate))
    if which == "or_matcher":
        return some(map(_formula, predicate.or_matcher.predicate))
    return _single(predicate.single_predicate)


def unread(of: Message) -> Formula:
    """An open question for what isn't understood: the same for the same message."""
    digest = hashlib.sha256(of.SerializeToString(deterministic=True)).hexdigest()[:16]
    return Unread(f"{of.DESCRIPTOR.name} {digest}")


def _inner(held: Any) -> tuple[str, Any]:
    """What an Any holds, and its full name."""
    name = str(held.type_url).rpartition("/")[2]
    return name, message_type(name).FromString(held.value)


def _single(single: Any) -> Formula:
    source, read = _inner(single.input.typed_config)
    found: Formula | None = None
    if single.WhichOneof("matcher") == "value_match":
        found = _of_header(read.header_name, single.value_match) if source == _HEADER else None
    else:
        matcher, config = _inner(single.custom_match.typed_config)
        if matcher == _IP_MATCHER and source in {_SOURCE, _HEADER}:
            found = _of_address(config)
        elif matcher == _METADATA_MATCHER and source == _METADATA and read.filter == PRINCIPAL and len(read.path) == 1:
            found = None if config.invert else _of_value(read.path[0].key, config.value)
        elif matcher == _CEL_MATCHER and config.expr_match.HasField("cel_expr_parsed"):
            found = read_cel(config.expr_match.cel_expr_parsed.expr)
    return unread(single) if found is None else found


def _of_header(name: str, matcher: Any) -> Formula | None:
    test = _string_test(matcher)
    return None if test is None else OfHeader(name.lower(), test)


def _string_test(matcher: Any) -> StringTest | None:
    which = matcher.WhichOneof("match_pattern")
    if which == "safe_regex":
        return None if matcher.ignore_case else StringTest("regex", matcher.safe_regex.regex)
    kind = _KINDS.get(which)
    return None if kind is None else StringTest(kind, getattr(matcher, which), bool(matcher.ignore_case))


def _of_address(config: Any) -> Formula:
    return OfAddress(tuple(sorted(f"{one.address_prefix}/{one.prefix_len.value}" for one in config.cidr_ranges)))


def _of_value(key: str, value: Any) -> Formula | None:
    """A ValueMatcher. One of several is as many questions, so that equal ones are seen to be equal."""
    which = value.WhichOneof("match_pattern")
    if which == "or_match":
        parts = [_of_value(key, one) for one in value.or_match.value_matchers]
        return None if None in parts else some(part for part in parts if part is not None)
    test: StringTest | NumberTest | PresentTest | None = None
    if which == "string_match":
        test = _string_test(value.string_match)
    elif which == "double_match":
        test = _number_test(value.double_match)
    elif which == "present_match" and value.present_match:
        test = PresentTest()
    return None if test is None else OfPrincipal(key, test)


def _number_test(matcher: Any) -> NumberTest:
    if matcher.WhichOneof("match_pattern") == "exact":
        return NumberTest(matcher.exact)
    return NumberTest(matcher.range.start, matcher.range.end)
