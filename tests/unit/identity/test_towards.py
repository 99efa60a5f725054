"""The gateway's certificates towards upstreams: good pairs of granted secrets, and else one that nobody knows."""

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from bartizan.compile import compile, resources, stamp
from bartizan.compile.read import assemble, read
from bartizan.compile.referring import towards
from bartizan.envoy import message_type, names
from bartizan.identity.named import NamedSecrets, Wanted
from bartizan.identity.pairs import check_pair
from bartizan.identity.towards import Towards, pair_of
from bartizan.model.snapshot import Snapshot
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.sealed import Secret
from tests.certificates import Pair, authority

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
teams: {orders: {paths: [/orders]}}
---
kind: Api
name: orders
team: orders
paths: [/orders]
upstream: {endpoints: [{url: "https://partner.example.com"}], tls: {private_key: {secret: partner}}}
---
kind: Public
name: all
reason: nobody's identity is tested here
"""
CA = authority("Partners")
CERTIFICATE = "envoy.extensions.transport_sockets.tls.v3.Secret"


def declared(text: str = FILES) -> Snapshot:
    found = assemble([read(text, "x.yaml")], {})
    assert isinstance(found, Snapshot), found
    return found


@pytest.fixture
def named(tmp_path: Path) -> NamedSecrets:
    return NamedSecrets(tmp_path / "secrets", Envelope(b"k" * 32))


def give(named: NamedSecrets, value: str | Pair, *to: str) -> None:
    text = value if isinstance(value, str) else (value.pem + value.key).decode()
    named.set(Wanted("partner", Secret(text), "ann", "orders", to or ("partner.example.com",)))


def served(made: Towards, snapshot: Snapshot) -> Pair:
    (body,) = made.bodies([snapshot]).values()
    secret: Any = message_type(CERTIFICATE).FromString(body)
    certificate = secret.tls_certificate
    return Pair(certificate.certificate_chain.inline_bytes, certificate.private_key.inline_bytes)


def issuer_of(pair: Pair) -> str:
    check_pair((pair.pem, pair.key), "certificate", "key")
    return x509.load_pem_x509_certificates(pair.pem)[0].issuer.rfc4514_string()


def test_a_pair_is_served_for_as_long_as_it_is_granted(named: NamedSecrets) -> None:
    pair, made, snapshot = CA.server(), Towards(named), declared()
    assert issuer_of(served(made, snapshot)) == "CN=nobody"
    assert len(made.warnings()) == 1
    give(named, pair)
    assert served(made, snapshot) == Pair(pair.pem, pair.key)
    assert made.warnings() == []
    give(named, pair, "elsewhere.example.com")
    assert issuer_of(served(made, snapshot)) == "CN=nobody"
    give(named, pair)
    named.delete("orders", "partner", "ann")
    assert issuer_of(served(made, snapshot)) == "CN=nobody"
    assert "partner" not in "".join(made.warnings())


@pytest.mark.parametrize("what", ["nothing", "no key", "no certificate", "another key", "twice the key"])
def test_what_is_no_pair_changes_nothing_and_is_told_without_it(named: NamedSecrets, what: str) -> None:
    good, other, made, snapshot = CA.server(), CA.server(), Towards(named), declared()
    bad = {
        "nothing": "nothing",
        "no key": good.pem.decode(),
        "no certificate": good.key.decode(),
        "another key": (good.pem + other.key).decode(),
        "twice the key": (other.key + good.pem + good.key).decode(),
    }[what]
    give(named, bad)
    assert issuer_of(served(made, snapshot)) == "CN=nobody"
    give(named, good)
    assert served(made, snapshot).pem == good.pem
    give(named, bad)
    assert served(made, snapshot).pem == good.pem
    (told,) = made.warnings()
    assert told.startswith("Api/orders: upstream.tls.private_key: ") and "the one before" in told
    assert good.key.decode().splitlines()[1] not in told


def test_key_and_certificate_may_stand_in_either_order() -> None:
    pair = CA.server()
    assert pair_of(pair.key + pair.pem) == pair_of(pair.pem + pair.key) == (pair.pem, pair.key)


def test_two_revisions_that_use_it_otherwise_are_served_apart(named: NamedSecrets) -> None:
    pair, made = CA.server(), Towards(named)
    give(named, pair)
    now, other = declared(), declared(FILES.replace("partner.example.com", "evil.example.com"))
    bodies = made.bodies([now, other])
    names_of = {names.towards(one.name, one.use): snapshot for snapshot in (now, other) for one in towards(snapshot)}
    assert bodies.keys() == names_of.keys() and len(bodies) == 2
    for name, snapshot in names_of.items():
        assert (pair.pem in bodies[name]) is (snapshot is now)
        compiled = compile(snapshot)
        clusters = [body for (kind, _), body in resources(compiled, stamp(compiled, {})).items() if kind == names.CLUSTER]
        assert [name.encode() in body for body in clusters] == [True]
