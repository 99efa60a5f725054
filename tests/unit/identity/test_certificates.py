"""Listeners' certificates: good pairs are served, bad ones change nothing and are told."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, load_pem_private_key

from bartizan.compile.read import assemble, read
from bartizan.envoy.messages import message_type
from bartizan.identity.certificates import Certificates
from bartizan.model.snapshot import Snapshot
from tests.certificates import Pair, authority

FRAME = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8443"}]
---
kind: Tls
name: web
target: {listener: web}
certificate: web.pem
private_key: {file: web.key}
"""
CA = authority("Web")


def declared(text: str = FRAME) -> Snapshot:
    found = assemble([read(text, "x.yaml")], {})
    assert isinstance(found, Snapshot), found
    return found


def served(certificates: Certificates) -> Pair:
    secret = message_type("envoy.extensions.transport_sockets.tls.v3.Secret")()
    secret.ParseFromString(certificates.bodies()["certificate/web"])
    made = secret.tls_certificate  # type: ignore[attr-defined]
    return Pair(made.certificate_chain.inline_bytes, made.private_key.inline_bytes + b"\n")


def test_a_pair_is_served_and_followed(tmp_path: Path) -> None:
    first, second = CA.server(), CA.server()
    first.save(tmp_path, "web")
    certificates = Certificates(tmp_path)
    assert not list(certificates.problems(declared()))
    assert certificates.declare(declared())
    assert served(certificates) == first
    assert not certificates.refresh()
    second.save(tmp_path, "web")
    assert certificates.refresh()
    assert served(certificates) == second
    assert not certificates.warnings()


@pytest.mark.parametrize("what", ["key", "certificate", "nonsense", "expired", "missing", "password", "curve"])
def test_a_bad_pair_changes_nothing(tmp_path: Path, what: str) -> None:
    good, other, expired = CA.server(), CA.server(), CA.server((-9, -2))
    good.save(tmp_path, "web")
    certificates = Certificates(tmp_path)
    certificates.declare(declared())
    locked = load_pem_private_key(good.key, None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    edwards = ed25519.Ed25519PrivateKey.generate()
    bad = {
        "key": Pair(good.pem, other.key),
        "certificate": Pair(other.pem, good.key),
        "nonsense": Pair(b"nonsense", good.key),
        "expired": expired,
        "password": Pair(good.pem, locked),
        "curve": CA.issue("localhost", key=edwards),
    }
    if what == "missing":
        (tmp_path / "web.key").unlink()
    else:
        bad[what].save(tmp_path, "web")
    assert not certificates.refresh()
    assert served(certificates) == good
    told = certificates.warnings()
    assert len(told) == 1
    assert "the certificate before is served on" in told[0]
    assert "PRIVATE" not in told[0]
    good.save(tmp_path, "web")
    assert not certificates.refresh()
    assert not certificates.warnings()


def test_without_a_good_pair_a_new_policy_is_a_problem(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    assert [problem.code for problem in certificates.problems(declared())] == ["certificate-unusable"]
    certificates.declare(declared())
    assert not certificates.bodies()
    assert "refuse every connection" in certificates.warnings()[0]


def test_a_file_that_is_gone_later_is_no_problem(tmp_path: Path) -> None:
    CA.server().save(tmp_path, "web")
    certificates = Certificates(tmp_path)
    certificates.declare(declared())
    (tmp_path / "web.pem").unlink()
    assert not list(certificates.problems(declared()))
    assert list(certificates.problems(declared(FRAME.replace("web.pem", "other.pem"))))


def test_the_least_version_is_the_certificates_too(tmp_path: Path) -> None:
    CA.server().save(tmp_path, "web")
    certificates = Certificates(tmp_path)
    certificates.declare(declared())
    before = certificates.bodies()
    certificates.declare(declared(FRAME + 'min_version: "1.3"\n'))
    assert certificates.bodies() != before


def test_an_expiry_is_told_ahead(tmp_path: Path) -> None:
    CA.server((-1, 3)).save(tmp_path, "web")
    certificates = Certificates(tmp_path)
    certificates.declare(declared())
    assert "expires at" in certificates.warnings()[0]


def test_a_pair_stays_for_as_long_as_its_listener_may(tmp_path: Path) -> None:
    CA.server().save(tmp_path, "web")
    certificates = Certificates(tmp_path)
    certificates.declare(declared())
    certificates.declare(declared(FRAME.partition("---")[0]))
    assert certificates.bodies()
    assert not certificates.warnings()
