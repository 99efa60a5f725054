"""A context source alone tells its attributes, of those that are declared."""

import pytest

from bartizan.compile.read import assemble, read
from bartizan.model.snapshot import Snapshot

GATEWAY = (
    "{kind: Gateway, name: g, listeners: [{name: web, address: '127.0.0.1:1'}], attributes: {plan: string, on_call: bool, level: number}}"
)
SOURCE = "{kind: ContextSource, name: hr, push: true, attributes: [on_call, level]%s}"
ISSUER = "{kind: Issuer, name: corp, issuer: 'https://idp', audiences: [a], jwks: {keys: []}, attributes: {level: level}}"


def found(*documents: str) -> Snapshot | tuple[str, ...]:
    made = assemble([read("\n---\n".join((GATEWAY, *documents)), "a.yaml")], {})
    return made if isinstance(made, Snapshot) else tuple(f"{one.at.path} {one.code} {one.message} {one.hint}" for one in made)


def test_a_good_one_is_part_of_the_revision() -> None:
    made, without, other = found(SOURCE % ""), found(), found(SOURCE % ", stale: keep")
    assert isinstance(made, Snapshot) and isinstance(without, Snapshot) and isinstance(other, Snapshot)
    assert len({made.revision, without.revision, other.revision}) == 3
    assert made.contextual() == {"on_call": "hr", "level": "hr"}
    assert list(made.told()) == ["plan", "on_call", "level", "@hr"]


@pytest.mark.parametrize(
    ("documents", "told"),
    [
        (["{kind: ContextSource, name: hr, push: true, attributes: [oncall]}"], "attributes[0] attribute-undeclared"),
        (["{kind: ContextSource, name: hr, push: true, attributes: [oncall]}"], "Did you mean 'on_call'?"),
        ([SOURCE % "", "{kind: ContextSource, name: mdm, push: true, attributes: [level]}"], "told by ContextSource/hr already"),
        (
            [SOURCE % "", "{kind: Consumer, name: acme, attributes: {on_call: true}}"],
            "Consumer/acme: attributes.on_call attribute-of-context",
        ),
        ([SOURCE % "", ISSUER], "Issuer/corp: attributes.level attribute-of-context"),
        ([SOURCE % ", stale: {plan: gold}"], "stale.plan attribute-undeclared"),
        ([SOURCE % ", stale: {level: high}"], "stale.level attribute-type"),
        ([SOURCE % ", stale: {on_call: 1}"], "declared as a bool"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(documents: list[str], told: str) -> None:
    problems = found(*documents)
    assert isinstance(problems, tuple) and any(told in one for one in problems), problems
