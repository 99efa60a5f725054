"""Contexts to try: taken from what is asked, the same ones each time."""

from bartizan.cases.context import choices, questions
from bartizan.cases.suspect import Judge
from bartizan.condition import Schema, parse
from bartizan.meaning.reading import read_predicate
from bartizan.model.places import PLACES
from bartizan.scratch import Question, Token
from tests.unit.meaning.made import made

SCHEMA = Schema({"plan": "string", "level": "number"})


def test_what_conditions_speak_of_is_tried() -> None:
    text = 'source.ip.within("198.51.100.0/24") && request.headers["x-a"] == "b" && request.path == "/orders/1"'
    text += ' && now.after("2031-05-06T07:08:09Z")'
    found = choices(read_predicate(parse(text, SCHEMA).predicate()))
    assert "198.51.100.1" in found.sources and not [one for one in found.sources if "ffff" in one]
    assert "b" in found.headers["x-a"] and "/orders/1" in found.paths
    assert {2031} == {one.year for one in found.moments} - {2026}


def test_tokens_claim_what_is_asked_for() -> None:
    needs = read_predicate(parse('principal.department == "finance"', Schema({"department": "string"})).predicate())
    issuers = made().snapshot.issuers
    tried = list(questions(Question("GET", "/orders", principal=Token("corp", "someone")), needs, issuers, 30))
    claims = [one.principal.claims.get("dept") for one in tried if isinstance(one.principal, Token)]
    assert claims[0] is None and "finance" in claims and len(tried) == 30
    assert tried == list(questions(tried[0], needs, issuers, 30))


def test_a_path_stays_where_it_is_forbidden() -> None:
    needs = read_predicate(parse('request.path in ["/orders/a", "/pets"]', SCHEMA).predicate())
    tried = {one.path for one in questions(Question("GET", "/orders"), needs, {}, 50)}
    assert tried == {"/orders", "/orders/a"}


def test_a_judge_needs_no_envoy() -> None:
    assert Judge(made()).access.methods() == frozenset()


def test_places_that_are_asked_for_are_tried() -> None:
    text = 'source.country == "NO" && source.tor && source.asn == 64512 && size(source.city) == 4'
    needs = read_predicate(parse(text, Schema({}, frozenset(PLACES))).predicate())
    tried = [dict(one.place) for one in questions(Question("GET", "/orders"), needs, {}, 100)]
    assert tried[0] == {}
    wanted = {"country": "NO", "tor": "true", "asn": "64512"}
    assert any(wanted.items() <= one.items() for one in tried)
