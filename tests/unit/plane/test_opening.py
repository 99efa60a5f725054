"""What keeps a gateway from starting: a secret that isn't there only at its very first start."""

from pathlib import Path

import pytest

from bartizan.compile.read import assemble, read
from bartizan.errors import Unavailable
from bartizan.identity.named import FILE, NamedSecrets, Wanted
from bartizan.model.snapshot import Snapshot
from bartizan.plane.opening import at_start
from bartizan.rollout.accepted import Accepted
from bartizan.secrets.keyring import load_or_create
from bartizan.secrets.sealed import Secret
from tests.certificates import authority

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8443"}]
---
kind: Consumer
name: acme
credentials: [{api_key: {secret: acme}}]
"""
TLS = """---
kind: Tls
name: web
target: {listener: web}
certificate: web.pem
private_key: {secret: web}
"""


def declared(text: str) -> Snapshot:
    found = assemble([read(text, "x.yaml")], {})
    assert isinstance(found, Snapshot), found
    return found


def codes(folder: Path, text: str = FILES) -> list[str]:
    return [one.code for one in at_start(folder, folder / "state")(declared(text))]


def give(folder: Path, name: str, value: str) -> None:
    named = NamedSecrets(folder / "state" / FILE, load_or_create(folder / "state" / "control.key"))
    named.set(Wanted(name, Secret(value), "ann"))
    named.close()


def test_at_the_first_start_every_secret_has_to_be_there(tmp_path: Path) -> None:
    assert codes(tmp_path) == ["secret-unknown"]
    assert not (tmp_path / "state").exists()  # to look makes nothing
    give(tmp_path, "other", "x")
    assert codes(tmp_path) == ["secret-unknown"]
    give(tmp_path, "acme", "x")
    assert codes(tmp_path) == []


def test_later_one_that_is_gone_keeps_nothing_from_starting(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    accepted = Accepted(tmp_path / "state" / "accepted.json")
    accepted.take({"x.yaml": FILES}, {})
    accepted.keep()
    assert codes(tmp_path) == []
    give(tmp_path, "other", "x")
    assert codes(tmp_path) == []


def test_a_listener_needs_its_pair_at_every_start(tmp_path: Path) -> None:
    pair = authority("Web").server()
    (tmp_path / "web.pem").write_bytes(pair.pem)
    give(tmp_path, "acme", "x")
    assert sorted(codes(tmp_path, FILES + TLS)) == ["certificate-unusable", "secret-unknown"]
    give(tmp_path, "web", authority("Web").server().key.decode())
    assert codes(tmp_path, FILES + TLS) == ["certificate-unusable"]
    give(tmp_path, "web", pair.key.decode())
    assert codes(tmp_path, FILES + TLS) == []


def test_secrets_that_cant_be_read_are_told(tmp_path: Path) -> None:
    give(tmp_path, "acme", "x")
    (tmp_path / "state" / "control.key").write_bytes(b"k" * 32)
    with pytest.raises(Unavailable):
        codes(tmp_path)
