"""Predicates of which some are settled before any request comes: True and False stand beside Envoy's own."""

from collections.abc import Iterable
from typing import Any

from bartizan.envoy.matching import all_of, any_of, header, negated

Rule = Any
"""A predicate of Envoy's, or True or False for what is so whatever comes."""

ANYTHING = r"\C*"
"""A pattern for every value, also for bytes that aren't UTF-8."""


def every(rules: Iterable[Rule]) -> Rule:
    """All hold."""
    open_ones = [rule for rule in rules if rule is not True]
    if any(rule is False for rule in open_ones):
        return False
    return all_of(open_ones) if open_ones else True


def some(rules: Iterable[Rule]) -> Rule:
    """At least one holds."""
    open_ones = [rule for rule in rules if rule is not False]
    if any(rule is True for rule in open_ones):
        return True
    return any_of(open_ones) if open_ones else False


def opposite(rule: Rule) -> Rule:
    """It doesn't hold."""
    return not rule if isinstance(rule, bool) else negated(rule)


def settled(rule: Rule) -> Any:
    """The rule as a predicate of Envoy's."""
    if not isinstance(rule, bool):
        return rule
    always = header(":method", safe_regex={"google_re2": {}, "regex": ANYTHING})
    return always if rule else negated(always)
