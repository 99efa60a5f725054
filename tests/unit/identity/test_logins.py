"""The secrets of logins: derived alike everywhere, read again, never weak, and never a good one where there is none."""

from pathlib import Path
from typing import Any

import pytest

from bartizan.compile.read import assemble, read
from bartizan.envoy import message_type
from bartizan.identity.logins import Logins
from bartizan.identity.named import NamedSecrets, Wanted
from bartizan.model.snapshot import Snapshot
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.sealed import Secret

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
---
{kind: Api, name: orders, paths: [/orders], upstream: "http://127.0.0.1:9101"}
---
{kind: Public, name: all, reason: nobody's identity is tested here}
---
{kind: Issuer, name: corp, issuer: "https://idp.example.com", audiences: [orders], jwks: {keys: []}}
---
kind: Login
name: NAME
issuer: corp
client_id: orders-app
client_secret: REFERENCE
authorization_endpoint: https://idp.example.com/authorize
token_endpoint: https://idp.example.com/token
callback: https://orders.example.com/orders/login/callback
"""
LONG = "a secret of more than sixteen"


def declared(reference: str = "{file: login.secret}", name: str = "app") -> Snapshot:
    found = assemble([read(FILES.replace("REFERENCE", reference).replace("NAME", name), "x.yaml")], {})
    assert isinstance(found, Snapshot), found
    return found


def told(made: Logins, *snapshots: Snapshot) -> list[tuple[str, bytes]]:
    """The Secrets' names without their digests, and what they hold: the client's first."""
    found = []
    for name, body in sorted(made.bodies(snapshots).items()):
        secret: Any = message_type("envoy.extensions.transport_sockets.tls.v3.Secret").FromString(body)
        assert secret.name == name
        found.append((name.rpartition("/")[2], secret.generic_secret.secret.inline_bytes))
    return found


def test_the_cookies_key_is_derived_so_that_every_node_has_the_same(tmp_path: Path) -> None:
    (tmp_path / "login.secret").write_text(LONG + "\n")
    (client, secret), (cookies, key) = told(Logins(tmp_path), declared())
    assert (client, secret, cookies) == ("client", LONG.encode(), "cookies")
    assert len(key) == 128 and LONG.encode() not in key
    assert told(Logins(tmp_path), declared())[1][1] == key
    assert told(Logins(tmp_path), declared(name="other"))[1][1] != key
    (tmp_path / "login.secret").write_text(LONG + "!")
    assert told(Logins(tmp_path), declared())[1][1] != key


@pytest.mark.parametrize("text", ["", "too short", "two lines\nof which none counts", "sixteen or more\0with a NUL"])
def test_a_secret_that_is_none_is_a_problem_and_opens_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "login.secret").write_text(text)
    made = Logins(tmp_path)
    assert [one.code for one in made.problems(declared())] == ["login-secret"]
    (_, first), (_, key) = told(made, declared())
    assert text.encode() != first and key != told(Logins(tmp_path), declared())[1][1], "one that nobody knows"
    assert "Login/app" in made.warnings()[0] and (not text or text not in made.warnings()[0])


def test_one_that_is_gone_or_gets_worse_is_used_on(tmp_path: Path) -> None:
    (tmp_path / "login.secret").write_text(LONG)
    made = Logins(tmp_path)
    before = told(made, declared())
    for text in ("", "short"):
        (tmp_path / "login.secret").write_text(text)
        assert not made.refresh() and told(made, declared()) == before and made.warnings()
    (tmp_path / "login.secret").write_text("another " + LONG)
    assert made.refresh() and told(made, declared()) != before and not made.warnings()
    assert not list(made.problems(declared()))


def test_a_named_secret_goes_to_its_token_endpoint_and_nowhere_else(tmp_path: Path) -> None:
    named = NamedSecrets(tmp_path / "secrets", Envelope(b"k" * 32))
    named.set(Wanted("login", Secret(LONG), "ann", None, ("other.example.com",)))
    made = Logins(tmp_path, named)
    assert told(made, declared("{secret: login}"))[0][1] != LONG.encode()
    named.set(Wanted("login", Secret(LONG), "ann", None, ("idp.example.com:443",)))
    assert made.refresh() and told(made, declared("{secret: login}"))[0][1] == LONG.encode()
