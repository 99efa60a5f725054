"""Devices that are told by what was proven, or by whom somebody logged in with."""

import pytest

from bartizan.compile.crosscheck import cross_problems
from bartizan.compile.live import tokens
from bartizan.compile.proofs import lost, proofs
from bartizan.compile.read import read
from bartizan.envoy.filters import nothing
from bartizan.model.consumer import Issuer
from bartizan.model.snapshot import snapshot_of

OWN = Issuer.model_validate({"name": "own", "issuer": "https://login.example.com", "audiences": ["a"], "jwks": {"keys": []}})
OTHER = Issuer.model_validate({"name": "other", "issuer": "https://idp.example.com", "audiences": ["a"], "jwks": {"keys": []}})
PASSKEY = "p" * 43


def test_without_devices_nothing_is_looked_for() -> None:
    assert proofs((), [OWN], {}, {}) == nothing()
    assert proofs((), [OWN], {"k" * 43: ("laptop", "trusted")}, {}) == nothing(), "a key tells nothing where no proof is asked for"
    assert lost({PASSKEY: ("laptop", "trusted")}) == [] and len(lost({PASSKEY: ("laptop", "lost")})) == 1


def test_a_passkey_is_believed_of_the_own_issuer_alone() -> None:
    made = tokens([OWN, OTHER], {}, noted={"passkey"}, own=OWN.issuer)
    told = {name: [one.claim_name for one in provider.claim_to_headers] for name, provider in made.providers.items()}
    assert told == {"own": ["sub", "passkey"], "other": ["sub"]}
    assert "passkey" not in [one.claim_name for one in tokens([OWN], {}, noted={"passkey"}).providers["own"].claim_to_headers]


@pytest.mark.parametrize(
    ("server", "issuer", "told"),
    [
        ("authorization_server: {issuer: 'https://login.example.com'}", "https://login.example.com", []),
        ("authorization_server: {issuer: 'https://login.example.com'}", "https://idp.example.com", ["passkey-unprovable"]),
        ("", "https://login.example.com", ["passkey-unprovable"]),
    ],
    ids=["own", "another", "none"],
)
def test_a_passkey_that_nobody_tells_is_a_problem(server: str, issuer: str, told: list[str]) -> None:
    text = f"""
kind: Gateway
name: edge
listeners: [{{name: web, address: "127.0.0.1:1"}}]
{server}
---
{{kind: Issuer, name: own, issuer: '{issuer}', audiences: [a], jwks: {{keys: []}}}}
---
{{kind: Device, name: laptop, passkeys: [{PASSKEY}]}}
"""
    found = cross_problems(snapshot_of([read(text, "a.yaml").share], {}))
    assert [one.code for one in found] == told
