"""Cases against what is declared: what doesn't exist is told, with what was probably meant."""

import pytest

from bartizan.cases.check import Trial, trials
from bartizan.cases.read import read
from bartizan.compile import Compiled, compile
from bartizan.compile.read import assemble
from bartizan.compile.read import read as resources
from bartizan.identity.table import ConsumerView
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot
from bartizan.scratch import Question, Token, UnknownKey

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
attributes: {plan: string}
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:9101
---
kind: Consumer
name: acme
attributes: {plan: gold}
---
kind: Consumer
name: gone
disabled: true
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [orders]
jwks: {keys: []}
attributes: {plan: department}
groups: roles
---
kind: Authenticate
name: callers
any: [api_key, {jwt: corp}]
---
kind: Authorize
name: refunds
allow: principal.plan == "gold"
---
kind: Authorize
name: candidate
allow: principal.plan == "gold"
mode: shadow
---
kind: Authorize
name: old
allow: principal.plan == "gold"
mode: disabled
---
kind: RateLimit
name: limit
per: principal.id
tiers: [{windows: [9/second]}]
"""


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    found = assemble([resources(FILES, "all.yaml")], {})
    assert isinstance(found, Snapshot)
    made = compile(found)
    assert not made.problems
    return made


def asked(compiled: Compiled, text: str) -> tuple[tuple[Trial, ...], tuple[Problem, ...]]:
    reading = read(text, "f")
    assert reading.problems == ()
    return trials(reading.found, compiled)


def test_a_case_becomes_a_question(compiled: Compiled) -> None:
    text = """
given: {path: "/orders?a=1", method: POST}
cases:
  - name: a
    given: {principal: acme, headers: {x: [one, two], y: three}, host: h, size: 9, source: "::1", listener: web}
    expect: allow
  - {name: b, given: {principal: {consumer: gone}}, expect: refuse, by: credentials}
  - name: c
    given: {principal: {issuer: corp, subject: ines, claims: {department: x, anything: 1}}}
    expect: refuse
    by: Authorize/refunds
  - {name: d, given: {device: {ja4: t13d}}, expect: refuse, by: default deny, shadow: {Authorize/candidate: allow}}
  - {name: e, expect: refuse, by: Protect/default}
"""
    found, problems = asked(compiled, text)
    assert problems == ()
    a, b, c, d, _ = (one.question for one in found)
    assert a == Question(
        "POST",
        "/orders?a=1",
        "h",
        (("x", "one"), ("x", "two"), ("y", "three")),
        principal=ConsumerView("acme", (), {"plan": "gold"}),
        source="::1",
        listener="web",
        size=9,
    )
    assert b.principal == UnknownKey()
    assert c.principal == Token("corp", "ines", {"department": "x", "anything": 1})
    assert (d.principal, d.ja4) == (None, "t13d")


@pytest.mark.parametrize(
    ("case", "at", "told"),
    [
        ("given: {path: /a, principal: acne}, expect: allow", "given.principal", "there is no Consumer 'acne' Did you mean 'acme'?"),
        ("given: {path: /a, principal: {issuer: crop, subject: x}}, expect: allow", "given.principal", "there is no Issuer 'crop'"),
        ("given: {path: /a, principal: {ca: corp, san: x}}, expect: allow", "given.principal", "there is no CA 'corp'"),
        (
            "given: {path: /a, principal: {issuer: corp, subject: x, claims: {departement: y}}}, expect: refuse",
            "given.principal",
            "the Issuer 'corp' takes nothing from the claim 'departement' Did you mean 'department'?",
        ),
        ("given: {path: /a, listener: wep}, expect: allow", "given.listener", "there is no listener 'wep' Did you mean 'web'?"),
        ("given: {path: /a}, expect: refuse, by: Authorize/refund", "by", "there is no policy 'Authorize/refund' Did you mean"),
        ("given: {path: /a}, expect: refuse, by: refunds", "by", "Did you mean 'Authorize/refunds'?"),
        ("given: {path: /a}, expect: refuse, by: default-deny", "by", "Did you mean 'default deny'?"),
        ("given: {path: /a}, expect: refuse, by: upstream", "by", "there is no policy 'upstream'"),
        ("given: {path: /a}, expect: refuse, by: RateLimit/limit", "by", "no limit is ever used up in a test"),
        ("given: {path: /a}, expect: refuse, by: RateLimit", "by", "no limit is ever used up in a test"),
        ("given: {path: /a}, expect: refuse, by: Authorize/candidate", "by", "has the mode 'shadow', so it refuses nothing Expect its"),
        ("given: {path: /a}, expect: refuse, by: Authorize/old", "by", "has the mode 'disabled', so it refuses nothing"),
        ("given: {path: /a}, expect: allow, shadow: {Authorize/refunds: allow}", "shadow.Authorize/refunds", "has the mode 'enforce'"),
        ("given: {path: /a}, expect: allow, shadow: {candidate: allow}", "shadow.candidate", "Did you mean 'Authorize/candidate'?"),
        ("given: {path: /a}, expect: allow, shadow: {RateLimit/limit: allow}", "shadow.RateLimit/limit", "no limit is ever used up"),
        ("given: {path: /a, method: GE T}, expect: refuse", "given", "'GE T' isn't a method that can be asked for"),
        ('given: {path: /a, headers: {a: "b\\nc: d"}}, expect: refuse', "given", "a line break"),
        ("given: {path: /a, headers: {host: b}}, expect: refuse", "given", "a question has a host"),
    ],
)
def test_what_does_not_exist_or_can_not_be_asked_is_told(compiled: Compiled, case: str, at: str, told: str) -> None:
    found, (problem,) = asked(compiled, f"- {{name: fine, given: {{path: /a}}, expect: allow}}\n- {{name: x, {case}}}")
    assert found == ()
    assert (problem.at.file, problem.at.line, problem.at.path) == ("f", 2, f"x: {at}")
    assert told in f"{problem.message} {problem.hint}"


def test_a_mistake_that_cases_share_is_told_once(compiled: Compiled) -> None:
    text = "given: {path: /a, principal: acne}\ncases:\n  - {name: a, expect: allow}\n  - {name: b, expect: allow}\n"
    _, problems = asked(compiled, text)
    assert [str(one.at) for one in problems] == ["f:1 given.principal"]
