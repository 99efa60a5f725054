"""The arguments that describe a request: what they become, and which don't go together."""

import argparse
from datetime import datetime

import pytest

from bartizan.cli import question
from bartizan.compile.read import assemble, read
from bartizan.errors import NotFound
from bartizan.identity.table import ConsumerView
from bartizan.model.snapshot import Snapshot
from bartizan.scratch import Certificate, Question, Token, UnknownKey
from tests.certificates import authority

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
attributes: {plan: string}
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
audiences: [a]
jwks: {keys: []}
---
kind: Tls
name: own
certificate: own.pem
private_key: {file: own.key}
client_cas: {partners: partners.pem}
"""


def snapshot() -> Snapshot:
    found = assemble([read(FILES, "a.yaml")], {"partners.pem": authority("Partners").pem})
    assert isinstance(found, Snapshot), found
    return found


SNAPSHOT = snapshot()


def asked(*arguments: str) -> Question:
    parser = argparse.ArgumentParser(exit_on_error=False)
    question.arguments(parser)
    return question.question_of(parser.parse_args(arguments))(SNAPSHOT)


def test_a_path_is_enough() -> None:
    assert asked("--path", "/a?b") == Question("GET", "/a?b", "localhost", ())


def test_everything_may_be_told() -> None:
    found = asked(
        *("--method", "POST", "--path", "/a", "--host", "h", "--header", "User-Agent: a: b", "--header", "x:"),
        *("--at", "2026-11-23T09:00:00+01:00", "--source", "2001:DB8::1", "--listener", "web", "--size", "7"),
    )
    assert found == Question(
        "POST",
        "/a",
        "h",
        (("User-Agent", "a: b"), ("x", "")),
        at=datetime.fromisoformat("2026-11-23T09:00:00+01:00"),
        source="2001:db8::1",
        listener="web",
        size=7,
    )


def test_who_calls() -> None:
    def who(*arguments: str) -> object:
        return asked("--path", "/", *arguments).principal

    assert who() is None
    assert who("--consumer", "acme") == ConsumerView("acme", (), {"plan": "gold"})
    assert who("--consumer", "gone") == UnknownKey()
    assert who("--ca", "partners", "--san", "spiffe://a") == Certificate("partners", "spiffe://a")
    assert who("--ca", "partners", "--fingerprint", "ab") == Certificate("partners", "", "ab")
    assert who("--issuer", "corp", "--subject", "ines") == Token("corp", "ines")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("gold", "gold"),
        ("a=b", "a=b"),
        ("", ""),
        ("7", 7),
        ('"7"', "7"),
        ("2.5", 2.5),
        ("true", True),
        ("null", None),
        ('["a", "b"]', ["a", "b"]),
        ("[a", "[a"),
    ],
)
def test_a_claim_is_json_or_else_a_text(text: str, value: object) -> None:
    found = asked("--path", "/", "--issuer", "corp", "--subject", "s", "--claim", f"c={text}").principal
    assert isinstance(found, Token) and found.claims == {"c": value}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--consumer", "acme", "--issuer", "corp", "--subject", "s"),
        ("--consumer", "acme", "--ca", "partners", "--san", "s"),
        ("--issuer", "corp"),
        ("--subject", "s"),
        ("--claim", "a=b"),
        ("--ca", "partners"),
        ("--san", "s"),
        ("--fingerprint", "s"),
        ("--issuer", "corp", "--subject", "s", "--claim", "nonsense"),
        ("--issuer", "corp", "--subject", "s", "--claim", "=b"),
        ("--header", "nonsense"),
        ("--header", ": b"),
    ],
)
def test_what_does_not_go_together_is_told(arguments: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="--"):
        asked("--path", "/", *arguments)


@pytest.mark.parametrize(
    "arguments", [("--at", "2026-11-23T09:00:00"), ("--at", "soon"), ("--source", "10.0.0.0/8"), ("--source", "x"), ("--size", "many")]
)
def test_what_cannot_be_read_is_told(arguments: tuple[str, ...]) -> None:
    with pytest.raises(argparse.ArgumentError, match=arguments[0]):
        asked("--path", "/", *arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--consumer", "acne"), "There is no Consumer 'acne'. Did you mean 'acme'?"),
        (("--issuer", "crop", "--subject", "s"), "There is no Issuer 'crop'. Did you mean 'corp'?"),
        (("--ca", "partner", "--san", "s"), "There is no CA 'partner'. Did you mean 'partners'?"),
        (("--consumer", "zzz"), "There is no Consumer 'zzz'."),
    ],
)
def test_who_does_not_exist_is_told(arguments: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(NotFound) as caught:
        asked("--path", "/", *arguments)
    assert caught.value.message == sentence
