"""A document's statements as one rule: explicit deny, then allow, else deny.

What a policy reads and can't judge (a list that isn't one, a header that isn't text where characters are counted) refuses the request
whatever the statements say: a Deny that couldn't be evaluated must not let through.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from ipaddress import IPv4Network, IPv6Network
from math import ceil, floor
from typing import cast

from bartizan.condition.predicate import predicate
from bartizan.condition.tree import Attribute, Node, NumberPair, Order, Present, Since, Within
from bartizan.envoy.matching import metadata, negated, source_known
from bartizan.envoy.names import H_SOURCE, PRINCIPAL
from bartizan.model.api import Api
from bartizan.policies.resource_policy import lists
from bartizan.policies.resource_policy.conditions import Test
from bartizan.policies.resource_policy.glob import Wild
from bartizan.policies.resource_policy.keys import GROUPS, Key, Setting
from bartizan.policies.resource_policy.logic import Rule, every, opposite, some
from bartizan.policies.resource_policy.model import Resources, Statement
from bartizan.policies.resource_policy.resources import covered
from bartizan.policies.resource_policy.values import ArnGlob


def allowed(statements: Sequence[Statement], api: Api, setting: Setting) -> Rule:
    """Whether the statements let a request of this API through."""
    rules = {effect: some(_applies(one, api, setting) for one in statements if one.effect == effect) for effect in ("Allow", "Deny")}
    return every([rules["Allow"], opposite(rules["Deny"]), *_readable(statements, setting).values()])


def _applies(statement: Statement, api: Api, setting: Setting) -> Rule:
    loose = (statement.effect == "Deny") != statement.resources.negated
    return every(
        [_names(statement.resources, api, loose), statement.principals.rule(), *(_holds(test, setting) for test in statement.tests)]
    )


def _names(resources: Resources, api: Api, loose: bool) -> Rule:
    found = some(covered(pattern, api.name, loose) for _, pattern in resources.named)
    return opposite(found) if resources.negated else found


# What makes a request one that can be judged.


def _readable(statements: Sequence[Statement], setting: Setting) -> dict[str, Rule]:
    found: dict[str, Rule] = {}
    if any(statement.principals.read_groups() for statement in statements):
        found[f"list {GROUPS}"] = lists.readable(GROUPS)
    for statement in statements:
        for test in statement.tests:
            found.update(_needs(test, setting))
    return found


def _needs(test: Test, setting: Setting) -> Iterator[tuple[str, Rule]]:
    key = test.key
    match key.type:
        case "address":
            yield "address", source_known(H_SOURCE if setting.sources.address == "header" else None)
        case "date" | "epoch" if setting.sources.time == "header":
            yield "time", _native(Since("1970-01-01T00:00:00Z"), setting)
        case "list":
            yield f"list {key.attribute}", lists.readable(key.attribute)
        case "number":
            there = metadata(PRINCIPAL, (key.attribute,), present_match=True)
            yield f"number {key.attribute}", some([negated(there), _native(Present(_number(key)), setting)])
    if any(_counts_characters(value) for value in test.values):
        for slot in key.slots():
            yield f"{slot.place} {slot.name}", slot.readable()


def _counts_characters(value: object) -> bool:
    last = value.parts[-1] if isinstance(value, ArnGlob) else value
    return isinstance(last, tuple) and Wild.ONE in last


# Conditions.


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a request says to a test's values."""

    some: Rule
    """The key is there, and one of its values matches one of the test's."""
    only: Rule
    """The key is there, and each of its values matches one of the test's."""
    there: Rule
    empty: Rule = False
    """The key is there, and a text without characters."""


def _holds(test: Test, setting: Setting) -> Rule:
    if test.operator.family == "Null":
        there = _there(test.key, setting)
        return some(opposite(there) if value is True else there for value in test.values)
    answer = _answer(test, setting)
    if test.set == "ForAnyValue":
        found = opposite(answer.only) if test.operator.negated else answer.some
        return every([answer.there, opposite(answer.empty), found])
    if test.set == "ForAllValues":
        if test.operator.negated:
            return some([answer.empty, opposite(answer.some)])
        return some([opposite(answer.there), answer.empty, answer.only])
    if test.operator.negated:
        return opposite(answer.some)
    return some([opposite(answer.there), answer.some]) if test.if_exists else answer.some


def _there(key: Key, setting: Setting) -> Rule:
    match key.type:
        case "list":
            return lists.is_there(key.attribute)
        case "number":
            return _native(Present(_number(key)), setting)
        case "address" | "date" | "epoch":
            return True
    return key.is_there(setting)


def _answer(test: Test, setting: Setting) -> _Answer:
    there = _there(test.key, setting)
    match test.key.type:
        case "list":
            globs, fold = [value for value in test.values if isinstance(value, tuple)], test.operator.compare == "folded"
            name = test.key.attribute
            return _Answer(lists.holds(name, globs, fold=fold), lists.holds_only(name, globs, fold=fold), there)
        case "number":
            found = some(_native(_compared(test, value), setting) for value in test.values if isinstance(value, Fraction))
        case "address":
            networks = tuple(value for value in test.values if isinstance(value, IPv4Network | IPv6Network))
            found = _native(Within(networks), setting)
        case "date" | "epoch":
            found = some(_at(value, test.operator.compare, setting) for value in test.values if isinstance(value, Fraction))
        case _:
            return _answer_of_text(test, there, setting)
    return _Answer(found, found, there)


def _answer_of_text(test: Test, there: Rule, setting: Setting) -> _Answer:
    arns = [value for value in test.values if isinstance(value, ArnGlob)]
    globs = [tuple(str(value).lower()) if isinstance(value, bool) else value for value in test.values if isinstance(value, bool | tuple)]
    found = some([test.key.like(globs, test.operator.compare == "folded", setting), test.key.like_arn(arns, setting)])
    return _Answer(found, found, there, test.key.like([()], False, setting))


def _number(key: Key) -> Attribute:
    return Attribute(key.attribute, "number")


def _compared(test: Test, value: Fraction) -> Node:
    return NumberPair(cast(Order, test.operator.compare), _number(test.key), float(value))


def _at(moment: Fraction, order: str, setting: Setting) -> Rule:
    """Now compared with a moment. The time counts in whole seconds, as AWS tells it."""
    match order:
        case "<":
            return opposite(_since(ceil(moment), setting))
        case "<=":
            return opposite(_since(floor(moment) + 1, setting))
        case ">":
            return _since(floor(moment) + 1, setting)
        case ">=":
            return _since(ceil(moment), setting)
    whole = moment.denominator == 1
    return every([_since(int(moment), setting), opposite(_since(int(moment) + 1, setting))]) if whole else False


def _since(second: int, setting: Setting) -> Rule:
    return _native(Since(datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")), setting)


def _native(node: Node, setting: Setting) -> Rule:
    return predicate(node, True, setting.sources)
