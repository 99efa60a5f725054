"""Principals: whom they name, and what names nobody."""

from typing import Any

import pytest

from tests.unit.policies.resource_policy.written import codes, document, faults, lowered, problems

ALWAYS = r":method safe_regex \C*"
IDENTIFIED = r"id safe_regex \C*"


@pytest.mark.parametrize(
    ("principal", "rule"),
    [
        ("*", ALWAYS),
        ({"AWS": "*"}, ALWAYS),
        ({"AWS": ["arn:aws:iam::edge:user/acme", "*"]}, ALWAYS),
        ({"AWS": "edge"}, IDENTIFIED),
        ({"AWS": "arn:aws:iam::edge:root"}, IDENTIFIED),
        ({"AWS": "arn:aws:iam::edge:user/acme"}, "id exact 'acme'"),
        ({"AWS": ["arn:aws:iam::edge:user/acme", "arn:aws:iam::edge:user/globex"]}, "or(id exact 'acme', id exact 'globex')"),
        ({"AWS": "arn:aws:sts::edge:federated-user/https://idp|a*b?"}, "id exact 'https://idp|a*b?'"),
        ({"Federated": "arn:aws:iam::edge:oidc-provider/corp"}, "and(method exact 'jwt', issuer exact 'corp')"),
        (
            {"Federated": "arn:aws:iam::edge:oidc-provider/corp", "AWS": "arn:aws:iam::edge:user/acme"},
            "or(and(method exact 'jwt', issuer exact 'corp'), id exact 'acme')",
        ),
    ],
)
def test_whom_a_principal_names(principal: Any, rule: str) -> None:
    assert lowered(document(Principal=principal)) == rule


def test_a_role_is_a_group_and_groups_that_cannot_be_read_refuse() -> None:
    found = lowered(document(Principal={"AWS": "arn:aws:iam::edge:role/ops"}))
    holds, _, readable = found.removeprefix("and(").partition(", or(not(groups present")
    assert holds.startswith("groups safe_regex ")
    assert holds.endswith(r"\"(?:ops)\"\C*")
    assert readable


def test_not_principal_excepts_those_named_and_not_the_account() -> None:
    allow = document()["Statement"]
    deny = document(Effect="Deny", Principal=None, NotPrincipal={"AWS": ["arn:aws:iam::edge:user/acme", "edge"]})["Statement"]
    assert lowered({"Version": "2012-10-17", "Statement": [allow, deny]}) == "not(not(id exact 'acme'))"


@pytest.mark.parametrize(
    ("principal", "code", "where"),
    [
        ("arn:aws:iam::edge:user/acme", "principal-malformed", "Principal"),
        ("", "principal-malformed", "Principal"),
        ([], "principal-malformed", "Principal"),
        ({}, "principal-malformed", "Principal"),
        (["*"], "principal-malformed", "Principal"),
        ({"Service": "lambda.amazonaws.com"}, "principal-unsupported", "Principal.Service"),
        ({"CanonicalUser": "79a5"}, "principal-unsupported", "Principal.CanonicalUser"),
        ({"aws": "*"}, "principal-unsupported", "Principal.aws"),
        ({"AWS": []}, "document-empty", "Principal.AWS"),
        ({"AWS": [123456789012]}, "document-type", "Principal.AWS.0"),
        ({"AWS": "arn:aws:iam::edge:user/ac*"}, "principal-wildcard", "Principal.AWS"),
        ({"AWS": "arn:aws:iam::edge:role/*"}, "principal-wildcard", "Principal.AWS"),
        ({"AWS": "arn:aws:iam::edge:user/team/acme"}, "principal-unsupported", "Principal.AWS"),
        ({"AWS": "arn:aws:iam::edge:user/Acme"}, "principal-unsupported", "Principal.AWS"),
        ({"AWS": "arn:aws:iam::edge:user"}, "principal-unsupported", "Principal.AWS"),
        ({"AWS": "arn:aws:iam::edge:root/x"}, "principal-unsupported", "Principal.AWS"),
        ({"AWS": "arn:aws:iam::edge:group/ops"}, "principal-unsupported", "Principal.AWS"),
        ({"AWS": "arn:aws:iam::edge:saml-provider/x"}, "principal-unsupported", "Principal.AWS"),
        ({"AWS": "arn:aws:sts::edge:assumed-role/ops/x"}, "principal-unsupported", "Principal.AWS"),
        ({"AWS": "arn:aws:sts::edge:federated-user/ines"}, "principal-unsupported", "Principal.AWS"),
        ({"AWS": "arn:aws:sts::edge:user/acme"}, "principal-unsupported", "Principal.AWS"),
        ({"AWS": "arn:aws-cn:iam::edge:user/acme"}, "principal-unsupported", "Principal.AWS"),
        ({"AWS": "AIDAJQABLZS4A3QDU576Q x"}, "principal-unsupported", "Principal.AWS"),
        ({"AWS": "arn:aws:iam::edge:oidc-provider/corp"}, "principal-unsupported", "Principal.AWS"),
        ({"Federated": "arn:aws:iam::edge:user/acme"}, "principal-unsupported", "Principal.Federated"),
        ({"Federated": "accounts.google.com"}, "principal-unsupported", "Principal.Federated"),
        ({"Federated": "arn:aws:iam::edge:oidc-provider/idp.example.com"}, "principal-unsupported", "Principal.Federated"),
        ({"Federated": "*"}, "principal-unsupported", "Principal.Federated"),
        ({"AWS": "arn:aws:iam::edge:user/${aws:username}"}, "principal-unsupported", "Principal.AWS"),
    ],
)
def test_what_names_nobody_is_refused(principal: Any, code: str, where: str) -> None:
    assert codes(document(Principal=principal)) == [(code, f"Statement.{where}")]
    assert all(fault.hint for fault in faults(document(Principal=principal)))


@pytest.mark.parametrize(
    ("effect", "principal", "count"),
    [
        ("Allow", {"AWS": ["arn:aws:iam::edge:user/acme", "edge"]}, 1),
        ("Deny", {"AWS": "arn:aws:iam::edge:user/acme"}, 1),  # the account is missing
        ("Deny", {"AWS": "edge"}, 1),  # excepts nobody
        ("Deny", {"AWS": ["edge", "arn:aws:iam::edge:role/ops"]}, 1),
        ("Deny", {"AWS": ["edge", "arn:aws:iam::edge:user/acme"], "Federated": "arn:aws:iam::edge:oidc-provider/corp"}, 1),
        ("Deny", "*", 2),
        ("Deny", {"AWS": ["edge", "arn:aws:sts::edge:federated-user/https://idp|x"]}, 0),
    ],
)
def test_not_principal_is_taken_only_as_aws_evaluates_it(effect: str, principal: Any, count: int) -> None:
    found = codes(document(Effect=effect, Principal=None, NotPrincipal=principal))
    assert [code for code, _ in found] == ["principal-exception"] * count


@pytest.mark.parametrize(
    ("principal", "code", "told"),
    [
        ({"AWS": "123456789012"}, "arn-account", "edge"),
        ({"AWS": "arn:aws:iam::123456789012:root"}, "arn-account", "edge"),
        ({"AWS": "arn:aws:iam::other:role/ops"}, "arn-account", "edge"),
        ({"AWS": "arn:aws:iam::edge:user/acne"}, "consumer-unknown", "Did you mean 'acme'?"),
        ({"Federated": "arn:aws:iam::edge:oidc-provider/crop"}, "issuer-unknown", "Did you mean 'corp'?"),
        ({"AWS": "arn:aws:sts::edge:federated-user/https://other.example.com|ines"}, "principal-unknown", "principal.id"),
    ],
)
def test_whoever_is_not_there_is_told(principal: Any, code: str, told: str) -> None:
    ((found, text),) = problems(document(Principal=principal))
    assert found == code
    assert told in text


def test_whoever_is_there_is_taken() -> None:
    named = ["arn:aws:iam::edge:user/acme", "arn:aws:sts::edge:federated-user/https://idp.example.com|ines", "arn:aws:iam::edge:role/any"]
    assert problems(document(Principal={"AWS": [*named, "edge"], "Federated": "arn:aws:iam::edge:oidc-provider/corp"})) == []
