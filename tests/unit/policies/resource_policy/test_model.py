"""The document: what is one, and what is wrong with what isn't."""

from typing import Any

import pytest

from bartizan.policies.resource_policy.model import LONGEST, reading
from tests.unit.policies.resource_policy.written import SCHEMA, codes, document, faults

GOOD = document()["Statement"]


@pytest.mark.parametrize(
    "good",
    [
        document(),
        {"Statement": GOOD},
        {"Version": "2008-10-17", "Id": "x", "Statement": [GOOD]},
        document(Sid="A"),
        document(Effect="Deny"),
        document(Action=["execute-api:Invoke", "execute-api:*", "*", "execute-api:invoke", "EXECUTE-API:I?voke"]),
        document(Action=None, NotAction=["execute-api:ManageConnections", "s3:*"]),
        document(Resource=None, NotResource="execute-api:/*/GET/*"),
    ],
)
def test_what_is_a_document(good: dict[str, Any]) -> None:
    assert not faults(good)
    assert len(reading(good, SCHEMA).statements) == 1


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        ({"Version": "2012-10-17"}, [("document-missing", "")]),
        ({"Statment": GOOD, "Statement": GOOD}, [("document-field-unknown", "Statment")]),
        ({"Version": "2020-01-01", "Statement": GOOD}, [("document-version", "Version")]),
        ({"Version": [], "Statement": GOOD}, [("document-version", "Version")]),
        ({"Id": 5, "Statement": GOOD}, [("document-type", "Id")]),
        ({"Statement": []}, [("document-empty", "Statement")]),
        ({"Statement": ["x", GOOD]}, [("document-type", "Statement.0")]),
        ({"Statement": [{**GOOD, "Sid": "A"}, {**GOOD, "Sid": "A"}]}, [("document-duplicate", "Statement.1.Sid")]),
        (document(Sid=5), [("document-type", "Statement.Sid")]),
        (document(Effect="allow"), [("document-effect", "Statement.Effect")]),
        (document(Effect=None), [("document-effect", "Statement")]),
        (document(effect="Allow"), [("document-field-unknown", "Statement.effect")]),
        (document(Principal=None), [("document-missing", "Statement")]),
        (document(NotPrincipal="*"), [("document-missing", "Statement")]),
        (document(Action=None), [("document-missing", "Statement")]),
        (document(Resource=None), [("document-missing", "Statement")]),
        (document(NotResource="*"), [("document-missing", "Statement")]),
        (document(Action=[]), [("document-empty", "Statement.Action")]),
        (document(Action=["execute-api:Invoke", 5]), [("document-type", "Statement.Action.1")]),
        (document(Action=["execute-api:Invoke", "execute-api:InvalidateCache"]), [("action-unsupported", "Statement.Action.1")]),
        (document(Action="s3:GetObject"), [("action-unsupported", "Statement.Action")]),
        (document(Action="Invoke"), [("action-unsupported", "Statement.Action")]),
        (document(Action="execute-api:${aws:x}"), [("action-unsupported", "Statement.Action")]),
        (document(Action=None, NotAction=["s3:*", "execute-api:*"]), [("action-unsupported", "Statement.NotAction.1")]),
        (document(Action=None, NotAction="Invoke"), [("action-unsupported", "Statement.NotAction")]),
        (document(Condition=[]), [("document-type", "Statement.Condition")]),
        (document(Condition={}), [("document-empty", "Statement.Condition")]),
        (document(Condition={"Bool": {}}), [("document-empty", "Statement.Condition.Bool")]),
        (document(Id="x" * LONGEST), [("document-too-large", "")]),
        (document(Id="\ud800"), [("document-type", "")]),
    ],
)
def test_what_is_wrong_is_told_with_its_place(bad: dict[str, Any], found: list[tuple[str, str]]) -> None:
    assert codes(bad) == found
    assert all(fault.hint for fault in faults(bad))


def test_all_mistakes_are_told_at_once_and_good_statements_are_read() -> None:
    bad = {"Statement": [{**GOOD, "Effect": "x", "Action": "y", "Resource": "z", "Principal": "w"}, GOOD]}
    assert [code for code, _ in codes(bad)] == ["document-effect", "action-unsupported", "principal-malformed", "arn-malformed"]
    assert len(reading(bad, SCHEMA).statements) == 1


def test_hints_name_what_is_near() -> None:
    (fault,) = faults({"statement": GOOD, "Statement": GOOD})
    assert fault.hint == "Did you mean Statement?"


def test_without_the_newer_version_variables_are_refused_though_aws_takes_them_as_they_stand() -> None:
    for version in ({}, {"Version": "2008-10-17"}):
        for statement in (
            {**GOOD, "Resource": "execute-api:/*/GET/${*}"},
            {**GOOD, "Condition": {"StringEquals": {"aws:UserAgent": "${$}"}}},
        ):
            assert [code for code, _ in codes({**version, "Statement": statement})] == ["policy-variable"]


def test_references_are_collected() -> None:
    written = document(
        Principal={"AWS": ["arn:aws:iam::edge:user/acme", "edge"], "Federated": "arn:aws:iam::edge:oidc-provider/corp"},
        Resource=["arn:aws:execute-api:*:edge:orders/*", "execute-api:/*", "arn:aws:execute-api:*:edge:*/*"],
    )
    found = [(one.kind, one.name, one.path) for one in reading(written, SCHEMA).notes.references]
    assert found == [
        ("Consumer", "acme", ("document", "Statement", "Principal", "AWS", 0)),
        ("Issuer", "corp", ("document", "Statement", "Principal", "Federated")),
        ("Api", "orders", ("document", "Statement", "Resource", 0)),
    ]
