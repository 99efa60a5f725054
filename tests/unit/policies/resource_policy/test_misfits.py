"""What a document names that isn't there. (Resources and principals are in their own tests.)"""

from typing import Any

import pytest

from bartizan.compile.read import assemble, read
from bartizan.model.snapshot import Snapshot
from tests.unit.policies.resource_policy.written import FRAME, document, problems

TOKEN = "https://idp.example.com|ines"


@pytest.mark.parametrize(
    "condition",
    [
        {"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::edge:user/acne"}},
        {"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::123456789012:user/*"}},
        {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::edge:role/ops"}},
        {"ArnLike": {"aws:PrincipalArn": "arn:aws:sts::edge:federated-user/https://other.example.com*"}},
        {"StringLike": {"aws:PrincipalArn": "arn:aws:iam::edge:group/*"}},
        {"StringEquals": {"aws:PrincipalAccount": "123456789012"}},
        {"StringEquals": {"aws:PrincipalType": "AssumedRole"}},
        {"StringEquals": {"aws:username": "acne"}},
        {"StringNotEquals": {"aws:username": TOKEN}},
        {"StringEqualsIgnoreCase": {"aws:userid": "ACNE"}},
        {"StringEquals": {"aws:userid": "https://other.example.com|ines"}},
    ],
)
def test_callers_that_nobody_can_be_are_told(condition: dict[str, Any]) -> None:
    ((code, told),) = problems(document(Condition=condition))
    assert code == "principal-unknown"
    assert "nobody" in told


@pytest.mark.parametrize(
    "condition",
    [
        {"ArnEquals": {"aws:PrincipalArn": ["arn:aws:iam::edge:user/acme", f"arn:aws:sts::edge:federated-user/{TOKEN}"]}},
        {"ArnLike": {"aws:PrincipalArn": ["arn:aws:iam::*:user/not-yet-*", "*:*:*:*:*:*", "arn:aws:sts::edge:federated-user/https*"]}},
        {"StringLike": {"aws:PrincipalArn": "*acme"}},
        {"StringEqualsIgnoreCase": {"aws:username": "ACME", "aws:PrincipalAccount": "Edge", "aws:PrincipalType": "USER"}},
        {"StringEquals": {"aws:userid": ["acme", TOKEN]}},
        {"StringLike": {"aws:userid": "?cme"}},
        {"StringEquals": {"aws:UserAgent": "nobody", "aws:PrincipalTag/plan": "never"}},
        {"Null": {"aws:PrincipalArn": True}},
    ],
)
def test_callers_that_somebody_can_be_are_taken(condition: dict[str, Any]) -> None:
    assert problems(document(Condition=condition)) == []


def test_every_statement_is_looked_at() -> None:
    good, bad = document()["Statement"], document(Resource="execute-api:/*/GET/refunds")["Statement"]
    assert [code for code, _ in problems({"Statement": [good, bad, bad]})] == ["arn-unreachable"] * 2


def test_a_policy_that_stays_is_looked_at_again_when_those_whom_it_names_go() -> None:
    statement = '{Effect: Deny, Principal: "*", Action: "*", Resource: "*", Condition: {StringEquals: {"aws:username": acme}}}'
    policy = f"{{kind: ResourcePolicy, name: p, document: {{Statement: {statement}}}}}"
    frame, gone = read(FRAME, "frame.yaml"), read(FRAME.replace("name: acme", "name: other"), "frame.yaml")
    own = read(policy, "policy.yaml")
    first = assemble([frame, own], {})
    assert isinstance(first, Snapshot)
    assert isinstance(assemble([frame, own], {}, first), Snapshot)
    second = assemble([gone, own], {}, first)
    assert not isinstance(second, Snapshot)
    assert [one.code for one in second] == ["principal-unknown"]
