"""Conditions: the table of operators, read and as predicates."""

from typing import Any

import pytest

from bartizan.policies.resource_policy.conditions import OPERATORS
from tests.unit.policies.resource_policy.written import SCRATCH, codes, document, faults, of_condition

PLAN, LEVEL, ADMIN, REGIONS = (f"aws:PrincipalTag/{name}" for name in ("plan", "level", "admin", "regions"))
ARN = "arn:aws:iam::edge:user/acme"
TEXT, USER, FEDERATED = r"safe_regex \C*", "id safe_regex [^|]*", r"id safe_regex \C*?(?:\|)\C*"


@pytest.mark.parametrize(
    ("condition", "rule"),
    [
        ({"StringEquals": {PLAN: "gold"}}, "plan exact 'gold'"),
        ({"StringEquals": {PLAN: ["gold", "a*b"]}}, "or(plan exact 'gold', plan exact 'a*b')"),
        ({"StringNotEquals": {PLAN: ["gold", ""]}}, "not(or(plan exact 'gold', plan exact ''))"),
        ({"StringEqualsIgnoreCase": {PLAN: "Go1"}}, "plan safe_regex (?:G|g)(?:o|O)1"),
        ({"StringNotEqualsIgnoreCase": {PLAN: "é"}}, "not(plan safe_regex (?:é|É))"),
        ({"StringLike": {PLAN: "gold"}}, "plan exact 'gold'"),
        ({"StringLike": {PLAN: "g*"}}, "plan prefix 'g'"),
        ({"StringLike": {PLAN: "*d"}}, "plan suffix 'd'"),
        ({"StringLike": {PLAN: "g*d"}}, r"plan safe_regex g\C*d"),
        ({"StringLike": {PLAN: "*"}}, f"plan {TEXT}"),
        ({"StringLike": {PLAN: "g${*}"}}, "plan exact 'g*'"),
        ({"StringNotLike": {PLAN: "g*"}}, "not(plan prefix 'g')"),
        ({"StringEquals": {PLAN: 5}}, "plan exact '5'"),
        ({"StringEqualsIfExists": {PLAN: "gold"}}, f"or(not(plan {TEXT}), plan exact 'gold')"),
        ({"StringNotEqualsIfExists": {PLAN: "gold"}}, "not(plan exact 'gold')"),
        ({"Bool": {ADMIN: True}}, "admin exact 'true'"),
        ({"Bool": {ADMIN: ["False", "true"]}}, "or(admin exact 'false', admin exact 'true')"),
        ({"StringNotEquals": {ADMIN: True}}, "not(admin exact 'true')"),
        ({"Null": {PLAN: True}}, f"not(plan {TEXT})"),
        ({"Null": {PLAN: "false"}}, f"plan {TEXT}"),
        ({"StringEquals": {"aws:UserAgent": "x"}}, "user-agent exact 'x'"),
        ({"StringLike": {"AWS:referer": "https://*"}}, "referer prefix 'https://'"),
        ({"StringEquals": {"aws:userid": "acme"}}, "id exact 'acme'"),
        ({"StringEquals": {"aws:username": "acme"}}, f"and({USER}, id exact 'acme')"),
        ({"StringEquals": {"aws:PrincipalAccount": "edge"}}, rf"id {TEXT}"),
        ({"StringEquals": {"aws:PrincipalType": "User"}}, USER),
        ({"StringLike": {"aws:PrincipalType": "Fed*"}}, FEDERATED),
        ({"ArnEquals": {"aws:PrincipalArn": ARN}}, f"and({USER}, id exact 'acme')"),
        ({"ArnLike": {"aws:PrincipalArn": "arn:*:iam:*:edge:user/a*"}}, f"and({USER}, id prefix 'a')"),
        ({"ArnNotLike": {"aws:PrincipalArn": "arn:aws:sts::*:federated-user/*"}}, f"not(and({FEDERATED}, id {TEXT}))"),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:*::edge:*x"}}, f"or(and({USER}, id suffix 'x'), and({FEDERATED}, id suffix 'x'))"),
        ({"StringEquals": {"aws:PrincipalArn": ARN}}, f"and({USER}, id exact 'acme')"),
        ({"StringLike": {"aws:PrincipalArn": "arn:aws:iam*/acme"}}, f"and({USER}, or(id suffix '/acme', id exact 'acme'))"),
    ],
)
def test_texts(condition: dict[str, Any], rule: str) -> None:
    assert of_condition(condition) == rule


@pytest.mark.parametrize(
    ("order", "rule"),
    [
        ("Equals", "level = 5"),
        ("NotEquals", "not(level = 5)"),
        ("LessThan", "level [min, 5.0)"),
        ("LessThanEquals", "level [min, 5.000000000000001)"),
        ("GreaterThan", "level [5.000000000000001, inf)"),
        ("GreaterThanEquals", "level [5.0, inf)"),
    ],
)
def test_numbers(order: str, rule: str) -> None:
    assert of_condition({f"Numeric{order}": {LEVEL: "5"}}) == f"and({rule}, or(not(level present), level [min, inf)))"


def _times(told: str) -> str:
    """CEL on the clock, in short: `>=3` is at or after the third second of 1970."""
    for second in range(6):
        told = told.replace(f'cel(request.time >= timestamp("1970-01-01T00:00:0{second}Z"))', f">={second}")
    return told


@pytest.mark.parametrize(
    ("order", "whole", "half"),
    [
        ("Equals", "and(>=2, not(>=3))", r"not(:method safe_regex \C*)"),
        ("NotEquals", "not(and(>=2, not(>=3)))", r":method safe_regex \C*"),
        ("LessThan", "not(>=2)", "not(>=3)"),
        ("LessThanEquals", "not(>=3)", "not(>=3)"),
        ("GreaterThan", ">=3", ">=3"),
        ("GreaterThanEquals", ">=2", ">=3"),
    ],
)
def test_times_count_in_whole_seconds(order: str, whole: str, half: str) -> None:
    for operator, key in ((f"Date{order}", "aws:CurrentTime"), (f"Date{order}", "aws:EpochTime")):
        assert _times(of_condition({operator: {key: "1970-01-01T00:00:02Z"}})) == whole
        assert _times(of_condition({operator: {key: "1970-01-01T00:00:02.5Z"}})) == half
    assert _times(of_condition({f"Numeric{order}": {"aws:EpochTime": 2}})) == whole
    assert _times(of_condition({f"Numeric{order}": {"aws:EpochTime": 2.5}})) == half


def test_addresses_must_be_known() -> None:
    found = of_condition({"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "2001:db8::1"]}})
    assert found == "and(source within 10.0.0.0/8 2001:db8::1/128 ::ffff:a00:0/104, source within 0.0.0.0/0 ::/0)"
    assert of_condition({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}).startswith("and(not(source within 10.0.0.0/8")
    assert of_condition({"Null": {"aws:SourceIp": True}}) == r"not(:method safe_regex \C*)"


def test_scratch_instances_read_their_own_sources() -> None:
    assert "x-bartizan-source within 10.0.0.0/8" in of_condition({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, SCRATCH)
    assert of_condition({"Bool": {"aws:SecureTransport": True}}, SCRATCH) == "x-bartizan-secure exact 'true'"
    assert of_condition({"Bool": {"aws:SecureTransport": False}}, SCRATCH) == "not(x-bartizan-secure exact 'true')"
    found = of_condition({"DateNotEquals": {"aws:CurrentTime": "1970-01-01T00:00:02.5Z"}}, SCRATCH)
    assert "x-bartizan-now" in found  # without a time nothing holds, not even what is negated


def test_secure_transport_is_asked_of_the_connection() -> None:
    assert of_condition({"Bool": {"aws:SecureTransport": "true"}}) == "cel(has(connection.tls_version))"
    assert of_condition({"Bool": {"aws:SecureTransport": "false"}}) == "not(cel(has(connection.tls_version)))"


@pytest.mark.parametrize(
    ("operator", "rule"),
    [
        ("ForAnyValue:StringEquals", "and(THERE, not(EMPTY), HIT)"),
        ("ForAnyValue:StringNotEquals", "and(THERE, not(EMPTY), not(HIT))"),
        ("ForAllValues:StringEquals", "or(not(THERE), EMPTY, HIT)"),
        ("ForAllValues:StringNotEquals", "or(EMPTY, not(HIT))"),
        ("ForAllValues:StringEqualsIfExists", "or(not(THERE), EMPTY, HIT)"),
    ],
)
def test_sets_of_one_value(operator: str, rule: str) -> None:
    expected = rule.replace("THERE", f"plan {TEXT}").replace("EMPTY", "plan exact ''").replace("HIT", "plan exact 'gold'")
    assert of_condition({operator: {PLAN: "gold"}}) == expected


@pytest.mark.parametrize(
    ("operator", "rule"),
    [
        ("ForAnyValue:StringEquals", ("and(THERE", "SOME")),
        ("ForAnyValue:StringNotEquals", ("and(THERE", "not(ONLY)")),
        ("ForAllValues:StringEquals", ("or(not(THERE)", "ONLY")),
        ("ForAllValues:StringNotEquals", ("not(SOME)",)),
    ],
)
def test_sets_of_several_values(operator: str, rule: tuple[str, ...]) -> None:
    """Lists are read by patterns; what they match is shown in test_lists."""
    found = of_condition({operator: {REGIONS: ["eu", "u*"]}})
    for expected in rule:
        kind = expected.strip(")").rpartition("(")[2]
        mark = {"SOME": r"\"(?:eu|u", "ONLY": r"(?: *, *\"(?:eu|u", "THERE": r")*) *\]"}[kind]
        before, _, _ = found.partition(mark)
        assert mark in found, (expected, found)
        assert ("not(" in before) or not expected.startswith("not("), (expected, found)
    assert "or(not(regions present)" in found


def test_several_operators_and_keys_must_all_hold() -> None:
    condition = {"StringEquals": {PLAN: "gold", "aws:PrincipalTag/department": "finance"}, "Bool": {ADMIN: True}}
    assert of_condition(condition) == "and(plan exact 'gold', department exact 'finance', admin exact 'true')"


def test_where_characters_are_counted_they_must_be_characters() -> None:
    found = of_condition({"StringLike": {"aws:UserAgent": ["?", "x?"]}})
    assert found.count(r"or(not(user-agent safe_regex \C*), user-agent safe_regex (?:[\x00-\x7f]|") == 1
    assert "not(user-agent" not in of_condition({"StringLike": {"aws:UserAgent": "x*y"}})
    assert "not(user-agent" not in of_condition({"StringEquals": {"aws:UserAgent": "x?"}})
    assert "or(not(id safe_regex" in of_condition({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::edge:user/?"}})


@pytest.mark.parametrize(
    ("condition", "code", "where"),
    [
        ({"stringEquals": {PLAN: "x"}}, "condition-operator-unknown", "stringEquals"),
        ({"StringEqualIfExists": {PLAN: "x"}}, "condition-operator-unknown", "StringEqualIfExists"),
        ({"BinaryEquals": {PLAN: "eA=="}}, "condition-operator-unknown", "BinaryEquals"),
        ({"ForSomeValues:StringEquals": {PLAN: "x"}}, "condition-operator-unknown", "ForSomeValues:StringEquals"),
        ({"ForAnyValue:": {PLAN: "x"}}, "condition-operator-unknown", "ForAnyValue:"),
        ({"IfExists": {PLAN: "x"}}, "condition-operator-unknown", "IfExists"),
        ({"NullIfExists": {PLAN: True}}, "condition-operator-unknown", "NullIfExists"),
        ({"ForAllValues:Null": {PLAN: True}}, "condition-operator-unknown", "ForAllValues:Null"),
        ({"ForAnyValue:StringLikeIfExists": {REGIONS: "x"}}, "condition-operator-unknown", "ForAnyValue:StringLikeIfExists"),
        ({"StringEquals": {"aws:SourceVpc": "vpc-1"}}, "condition-key-unknown", "StringEquals.aws:SourceVpc"),
        ({"StringEquals": {"aws:PrincipalTag/plam": "x"}}, "condition-key-unknown", "StringEquals.aws:PrincipalTag/plam"),
        ({"StringEquals": {"aws:PrincipalTag/id": "x"}}, "condition-key-unknown", "StringEquals.aws:PrincipalTag/id"),
        ({"StringEquals": {"aws:SourceIp": "10.0.0.1"}}, "condition-type", "StringEquals.aws:SourceIp"),
        ({"StringEquals": {LEVEL: "5"}}, "condition-type", f"StringEquals.{LEVEL}"),
        ({"NumericEquals": {PLAN: 5}}, "condition-type", f"NumericEquals.{PLAN}"),
        ({"Bool": {PLAN: True}}, "condition-type", f"Bool.{PLAN}"),
        ({"StringEquals": {"aws:SecureTransport": "true"}}, "condition-type", "StringEquals.aws:SecureTransport"),
        ({"DateLessThan": {PLAN: "2030-01-01"}}, "condition-type", f"DateLessThan.{PLAN}"),
        ({"NumericLessThan": {"aws:CurrentTime": 5}}, "condition-type", "NumericLessThan.aws:CurrentTime"),
        ({"IpAddress": {PLAN: "10.0.0.1"}}, "condition-type", f"IpAddress.{PLAN}"),
        ({"ArnLike": {"aws:userid": ARN}}, "condition-type", "ArnLike.aws:userid"),
        ({"StringEquals": {REGIONS: "eu"}}, "condition-type", f"StringEquals.{REGIONS}"),
        ({"StringEquals": {PLAN: ["x", None]}}, "condition-value", f"StringEquals.{PLAN}.1"),
        ({"StringEquals": {PLAN: []}}, "document-empty", f"StringEquals.{PLAN}"),
        ({"StringEquals": {PLAN: "${aws:username}"}}, "policy-variable", f"StringEquals.{PLAN}"),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::edge:user/${aws:username}"}}, "policy-variable", "ArnLike.aws:PrincipalArn"),
        ({"NumericEquals": {LEVEL: "x"}}, "condition-value", f"NumericEquals.{LEVEL}"),
        ({"StringEquals": "x"}, "document-type", "StringEquals"),
        ({"StringEquals": {PLAN: "x", "AWS:principaltag/PLAN": "y"}}, "document-duplicate", "StringEquals.AWS:principaltag/PLAN"),
        ({"StringLike": {PLAN: "?" * 200}}, "pattern-too-large", f"StringLike.{PLAN}"),
        ({"ForAllValues:StringLike": {REGIONS: ["?" * 90, "?" * 90]}}, "pattern-too-large", f"ForAllValues:StringLike.{REGIONS}"),
    ],
)
def test_what_cannot_be_honoured_is_refused(condition: dict[str, Any], code: str, where: str) -> None:
    assert codes(document(Condition=condition)) == [(code, f"Statement.Condition.{where}")]
    assert all(fault.hint for fault in faults(document(Condition=condition)))


def test_hints_say_what_is_near_and_what_can_be_compared() -> None:
    def hint(condition: dict[str, Any]) -> str:
        return faults(document(Condition=condition))[0].hint

    assert hint({"StringEqual": {PLAN: "x"}}) == "Did you mean StringEquals?"
    assert "DateLessThan" in hint({"StringEquals": {"aws:CurrentTime": "x"}})
    assert "as the Gateway declares it" in hint({"StringEquals": {LEVEL: "x"}})
    assert "ForAnyValue:" in hint({"StringEquals": {REGIONS: "x"}})


def test_every_operator_of_aws_is_known_but_one() -> None:
    strings = [f"String{name}" for name in ("Equals", "NotEquals", "EqualsIgnoreCase", "NotEqualsIgnoreCase", "Like", "NotLike")]
    orders = [f"{kind}{name}" for kind in ("Numeric", "Date") for name in ("Equals", "NotEquals", "LessThan", "LessThanEquals")]
    orders += [f"{kind}{name}" for kind in ("Numeric", "Date") for name in ("GreaterThan", "GreaterThanEquals")]
    others = ["Bool", "IpAddress", "NotIpAddress", "ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike", "Null"]
    assert set(OPERATORS) == {*strings, *orders, *others}
