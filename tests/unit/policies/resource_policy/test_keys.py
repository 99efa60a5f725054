"""Condition keys: which there are, and what they are in a request."""

import pytest

from bartizan.condition import Schema
from bartizan.policies.resource_policy.keys import KEYS, key
from bartizan.policies.resource_policy.notes import Refused
from tests.unit.condition.shape import shape
from tests.unit.policies.resource_policy.written import PRODUCTION, SCHEMA


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aws:SourceIp", "address"),
        ("AWS:SOURCEIP", "address"),
        ("aws:CurrentTime", "date"),
        ("aws:EpochTime", "epoch"),
        ("aws:SecureTransport", "flag"),
        ("aws:PrincipalArn", "arn"),
        ("aws:userid", "text"),
        ("aws:PrincipalTag/plan", "text"),
        ("aws:principaltag/PLAN", "text"),
        ("aws:PrincipalTag/level", "number"),
        ("aws:PrincipalTag/admin", "truth"),
        ("aws:PrincipalTag/regions", "list"),
        ("aws:PrincipalTag/groups", "list"),
    ],
)
def test_keys_are_found_in_any_case(name: str, kind: str) -> None:
    assert key(name, SCHEMA).type == kind


def test_two_attributes_that_differ_in_case_are_told_apart_by_it() -> None:
    schema = Schema({"Plan": "string", "plan": "number"})
    assert key("aws:PrincipalTag/Plan", schema).type == "text"
    assert key("aws:PrincipalTag/plan", schema).type == "number"
    with pytest.raises(Refused):
        key("aws:PrincipalTag/PLAN", schema)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("aws:SourceIpp", "Did you mean aws:SourceIp?"),
        ("aws:PrincipalTag/plam", "Did you mean aws:PrincipalTag/plan?"),
        ("aws:PrincipalTag/", "Declared: plan, department"),
        ("aws:PrincipalTag", "aws:PrincipalTag/<attribute>"),
        ("aws:SourceVpce", "aws:SourceIp"),
        ("aws:MultiFactorAuthPresent", "claim"),
        ("aws:PrincipalOrgID", "attribute"),
        ("s3:prefix", "aws:SourceIp"),
        ("SourceIp", "aws:SourceIp"),
    ],
)
def test_what_is_no_key_here_is_told_with_a_way_out(name: str, hint: str) -> None:
    with pytest.raises(Refused) as refused:
        key(name, SCHEMA)
    assert refused.value.code == "condition-key-unknown"
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("aws:UserAgent", r"user-agent safe_regex \C*"),
        ("aws:PrincipalTag/plan", r"plan safe_regex \C*"),
        ("aws:userid", r"id safe_regex \C*"),
        ("aws:username", r"and(id safe_regex [^|]*, id safe_regex \C*)"),
        ("aws:PrincipalAccount", r"id safe_regex \C*"),
        ("aws:PrincipalType", r"or(id safe_regex [^|]*, id safe_regex \C*?(?:\|)\C*)"),
    ],
)
def test_when_a_key_is_there(name: str, there: str) -> None:
    assert shape(key(name, SCHEMA).is_there(PRODUCTION)) == there


def test_every_key_that_api_gateway_documents_is_known_or_has_a_way_out() -> None:
    documented = (
        "CurrentTime EpochTime TokenIssueTime MultiFactorAuthPresent MultiFactorAuthAge PrincipalAccount PrincipalArn PrincipalOrgID "
        "PrincipalOrgPaths PrincipalTag/plan PrincipalType Referer SecureTransport SourceArn SourceIp SourceVpc SourceVpce VpcSourceIp "
        "UserAgent userid username"
    )
    for name in documented.split():
        try:
            key(f"aws:{name}", SCHEMA)
        except Refused as refused:
            assert not refused.hint.startswith(("Keys:", "Did you mean")), name
    assert len(KEYS) == 11
