"""Lists of texts among a principal's attributes: their JSON, read by patterns that quotes and commas inside an element can't confuse."""

from collections.abc import Iterable

from bartizan.condition import patterns
from bartizan.envoy.matching import metadata, negated
from bartizan.envoy.names import PRINCIPAL
from bartizan.policies.resource_policy.glob import BEYOND_ASCII, Glob, folded, regex
from bartizan.policies.resource_policy.logic import ANYTHING, Rule, every, some

_PLAIN = rf"[^\"\\\x80-\xff]|{BEYOND_ASCII}"
_ANY = rf"\"(?:{_PLAIN}|\\.)*\""
_ONE = rf"(?:{_PLAIN}|\\[^u]|\\u[dD][89abAB]..\\u....|\\u(?:[0-9a-cA-CefEF]...|[dD][0-7]..))"
_MANY = r"(?:[^\"\\]|\\[^u]|\\u[0-9a-fA-F]{4})*"
"""Escapes are taken whole: else what follows would be looked for in the digits of one."""


def _list_of(element: str, least: str = "?") -> str:
    return rf"(?s) *\[ *(?:{element}(?: *, *{element})*){least} *\] *"


def is_there(name: str) -> Rule:
    """It is a list with at least one element: an empty one counts as missing, as in AWS."""
    return _text(name, _list_of(_ANY, least=""))


def readable(name: str) -> Rule:
    """The attribute is missing, or a list of texts as serializers write it."""
    odd = _text(name, patterns.found_in(patterns.ODD_ESCAPE))
    return some([negated(metadata(PRINCIPAL, (name,), present_match=True)), every([_text(name, _list_of(_ANY)), negated(odd)])])


def holds(name: str, globs: Iterable[Glob], *, fold: bool = False) -> Rule:
    """It is a list, and one of its elements matches one of the patterns."""
    return _text(name, rf"(?s) *\[(?:{_ANY}|[^\"])*{_element(globs, fold)}{ANYTHING}")


def holds_only(name: str, globs: Iterable[Glob], *, fold: bool = False) -> Rule:
    """It is a list, and each of its elements matches one of the patterns."""
    return _text(name, _list_of(_element(globs, fold)))


def _element(globs: Iterable[Glob], fold: bool) -> str:
    texts = [regex(glob, _folded if fold else patterns.json_forms, one=_ONE, many=_MANY) for glob in globs]
    return rf"\"(?:{'|'.join(texts)})\""


def _folded(character: str) -> str:
    return folded(character, patterns.json_forms)


def _text(name: str, pattern: str) -> Rule:
    return metadata(PRINCIPAL, (name,), string_match={"safe_regex": {"regex": pattern}})
