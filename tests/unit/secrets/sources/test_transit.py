"""A key in Vault: asked by its documented protocol, over TLS that is checked; what it refuses is told, and what may pass is told apart."""

import os
import ssl
import time
from pathlib import Path

import pytest

from bartizan.errors import Invalid, Unavailable
from bartizan.secrets.keyring import Keyring, load_or_create
from bartizan.secrets.sources import Place, Unreachable, kek_of
from bartizan.secrets.sources import transit as module
from tests.certificates import authority
from tests.transit import Transit, transit

PLACE = Place(Path("control.key"), "0011223344556677")
KEY = bytes(range(32))


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "a-good-token")


def test_it_wraps_and_unwraps_for_one_place_alone() -> None:
    with transit() as vault:
        kek = kek_of(vault.address)
        wrapped = kek.wrap(KEY, PLACE)
        assert wrapped.startswith("vault:v1:")
        vault.rotate()
        assert kek.unwrap(wrapped, PLACE) == KEY
        with pytest.raises(Unavailable, match=r"message authentication failed.*Is it the key") as caught:
            kek.unwrap(wrapped, Place(Path("node.key"), PLACE.ident))
        assert caught.value.code == "kek-wrong"
        assert {path for path, _ in vault.asked} == {"/v1/transit/encrypt/bartizan", "/v1/transit/decrypt/bartizan"}


def test_a_state_is_opened_with_it_once_and_then_served_without(tmp_path: Path) -> None:
    with transit() as vault:
        envelope = load_or_create(tmp_path / "control.key", kek_of(vault.address))
        sealed = envelope.seal(b"x", "c")
        asked = len(vault.asked)
        assert load_or_create(tmp_path / "control.key").open(sealed, "c") == b"x"
        assert len(vault.asked) == asked
        assert os.listdir(tmp_path) == ["control.keyring"]
    assert load_or_create(tmp_path / "control.key").open(envelope.seal(b"y", "c"), "c") == b"y"
    text = Keyring(tmp_path / "control.key").path.read_text()
    assert "a-good-token" not in text
    del envelope
    with pytest.raises(Unreachable, match="can't be asked: Connection refused"):
        load_or_create(tmp_path / "control.key")


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_what_may_pass_is_told_apart(status: int) -> None:
    with transit() as vault:
        vault.status = status
        with pytest.raises(Unreachable, match=f"status {status}"):
            kek_of(vault.address).wrap(KEY, PLACE)


@pytest.mark.parametrize(("status", "code"), [(307, "kek-refused"), (400, "kek-wrong"), (403, "kek-refused"), (404, "kek-refused")])
def test_what_it_refuses_is_told_and_redirects_arent_followed(status: int, code: str) -> None:
    with transit() as vault:
        vault.status = status
        with pytest.raises(Unavailable, match=f"status {status}") as caught:
            kek_of(vault.address).wrap(KEY, PLACE)
        assert caught.value.code == code
        assert not isinstance(caught.value, Unreachable)


@pytest.mark.parametrize("text", ["", "wrong", "a-good-token\r\nX-Evil: 1"])
def test_without_a_good_token_nothing_is_wrapped(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("VAULT_TOKEN", text)
    with transit() as vault:
        with pytest.raises(Unavailable) as caught:
            kek_of(vault.address).wrap(KEY, PLACE)
        assert caught.value.code in {"kek-refused", "kek-token-missing"}
        assert not text or text not in caught.value.message
        assert not vault.asked


def test_the_token_may_be_in_a_file_which_is_read_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VAULT_TOKEN")
    with transit() as vault:
        kek = kek_of(vault.address, tmp_path / "token")
        with pytest.raises(Unavailable, match="can't be read"):
            kek.wrap(KEY, PLACE)
        (tmp_path / "token").write_text("a-good-token\n")
        kek.wrap(KEY, PLACE)
        vault.tokens = {"another"}
        with pytest.raises(Unavailable, match="permission denied"):
            kek.wrap(KEY, PLACE)
        (tmp_path / "token").write_text("another")
        kek.wrap(KEY, PLACE)


def test_one_that_doesnt_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TIMEOUT_S", 0.2)
    with transit() as vault:
        vault.hang.clear()
        began = time.monotonic()
        with pytest.raises(Unreachable, match="timed out"):
            kek_of(vault.address).wrap(KEY, PLACE)
        assert time.monotonic() - began < 2


def test_its_certificate_is_checked(tmp_path: Path) -> None:
    ours, others = authority("Vault"), authority("Vault")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*ours.server().save(tmp_path, "server"))
    for one, name in ((ours, "ours.pem"), (others, "others.pem")):
        (tmp_path / name).write_bytes(one.pem)
    with transit(context) as vault:
        address = vault.address.replace("http:", "https:")
        kek = kek_of(address, None, tmp_path / "ours.pem")
        assert kek.unwrap(kek.wrap(KEY, PLACE), PLACE) == KEY
        for ca in (None, tmp_path / "others.pem"):
            with pytest.raises(Unreachable, match="certificate verify failed"):
                kek_of(address, None, ca).wrap(KEY, PLACE)
        with pytest.raises(Unavailable, match=r"certificates in .*missing.pem can't be used"):
            kek_of(address, None, tmp_path / "missing.pem").wrap(KEY, PLACE)
        assert len(vault.asked) == 2


@pytest.mark.parametrize(
    "address",
    [
        "http://vault.example.com:8200/v1/transit/keys/bartizan",
        "https://vault.example.com:8200/v1/transit/encrypt/bartizan",
        "https://vault.example.com:8200/v1/transit/keys/../x",
        "https://user:pw@vault.example.com/v1/transit/keys/k",
        "https://vault.example.com/v1/transit/keys/k?x=1",
        "https://vault.example.com:99999/v1/transit/keys/k",
        "https:///v1/transit/keys/k",
        "ftp://vault.example.com/v1/transit/keys/k",
        "vault",
        "",
    ],
)
def test_what_is_no_safe_address_is_refused(address: str) -> None:
    with pytest.raises(Invalid):
        kek_of(address)


def test_what_isnt_vault_is_noticed() -> None:
    class Odd(Transit):
        def answer(self, path: str, token: str, body: bytes) -> tuple[int, dict[str, object]]:
            return 200, {"data": {"plaintext": 7, "ciphertext": 7}}

    with transit() as vault:
        vault.answer = Odd().answer  # type: ignore[method-assign]
        for ask in (lambda: kek_of(vault.address).wrap(KEY, PLACE), lambda: kek_of(vault.address).unwrap("vault:v1:", PLACE)):
            with pytest.raises(Unavailable, match="is it Vault's transit engine"):
                ask()
