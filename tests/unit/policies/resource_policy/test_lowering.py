"""Statements together: explicit deny, then allow, else deny; and what can't be judged refuses."""

from typing import Any

from tests.unit.policies.resource_policy.written import document, lowered


def _statement(**fields: Any) -> dict[str, Any]:
    return dict(document(**fields)["Statement"])


def _together(*statements: dict[str, Any]) -> str:
    return lowered({"Version": "2012-10-17", "Statement": list(statements)})


GOLD = _statement(Condition={"StringEquals": {"aws:PrincipalTag/plan": "gold"}})
OPS = _statement(Effect="Deny", Condition={"StringEquals": {"aws:PrincipalTag/department": "ops"}})


def test_a_deny_beats_every_allow_wherever_it_stands() -> None:
    assert _together(GOLD, OPS) == "and(plan exact 'gold', not(department exact 'ops'))"
    assert _together(OPS, GOLD) == _together(GOLD, OPS)
    assert _together(_statement(), OPS) == "not(department exact 'ops')"


def test_one_allow_is_enough_and_one_deny_too() -> None:
    finance = _statement(Condition={"StringEquals": {"aws:PrincipalTag/department": "finance"}})
    assert _together(GOLD, finance) == "or(plan exact 'gold', department exact 'finance')"
    assert _together(_statement(), OPS, {**GOLD, "Effect": "Deny"}) == "not(or(department exact 'ops', plan exact 'gold'))"


def test_without_an_allow_everything_is_refused() -> None:
    assert _together(OPS) == r"not(:method safe_regex \C*)"
    assert _together(_statement(), _statement(Effect="Deny")) == r"not(:method safe_regex \C*)"


def test_all_parts_of_a_statement_must_match() -> None:
    statement = _statement(
        Principal={"AWS": "arn:aws:iam::edge:user/acme"},
        Resource="execute-api:/$default/GET/orders/*",
        Condition={"Bool": {"aws:PrincipalTag/admin": True}},
    )
    assert _together(statement) == "and(and(:method exact 'GET', :path prefix '/orders/'), id exact 'acme', admin exact 'true')"
    other = _statement(Resource=None, NotResource="execute-api:/$default/POST/*")
    assert _together(other) == "not(:method exact 'POST')"


def test_what_a_statement_reads_must_be_readable_even_where_it_does_not_apply() -> None:
    """Once each, whatever the number of statements, and beside the verdict: no Not and no effect turns it around."""
    number = _statement(Effect="Deny", Condition={"NumericEquals": {"aws:PrincipalTag/level": 5}})
    needed = "or(not(level present), level [min, inf))"
    assert _together(_statement(), number, number) == f"and(not(or(level = 5, level = 5)), {needed})"
    address = {**number, "Condition": {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}
    assert _together(_statement(), address, number).endswith(f", source within 0.0.0.0/0 ::/0, {needed})")


def test_a_statement_about_another_api_costs_nothing() -> None:
    pets = _statement(Effect="Deny", Resource="arn:aws:execute-api:*:edge:pets/*", Condition={"StringLike": {"aws:UserAgent": "x*"}})
    assert _together(GOLD, pets) == "plan exact 'gold'"
