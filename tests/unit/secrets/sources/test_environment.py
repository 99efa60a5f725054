"""A key in a variable: used, missing, malformed, wrong."""

import base64
import os
from pathlib import Path

import pytest

from bartizan.errors import Invalid, Unavailable
from bartizan.secrets.keyring import Keyring, load_or_create
from bartizan.secrets.sources import Environment, kek_of

KEY, OTHER = (base64.b64encode(letter * 32).decode() for letter in (b"k", b"o"))


def test_it_wraps_and_no_key_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BARTIZAN_KEY", KEY)
    sealed = load_or_create(tmp_path / "control.key", kek_of("env")).seal(b"x", "c")
    assert load_or_create(tmp_path / "control.key").open(sealed, "c") == b"x"
    assert os.listdir(tmp_path) == ["control.keyring"]
    assert Keyring(tmp_path / "control.key").read().kek == Environment()
    assert KEY not in (tmp_path / "control.keyring").read_text()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "key-variable-missing"),
        (OTHER, "key-variable-wrong"),
        (KEY[:-5], "key-variable-malformed"),
        (KEY + "AAAA", "key-variable-malformed"),
        ("ü", "key-variable-malformed"),
    ],
)
def test_without_the_right_one_nothing_opens_and_its_text_isnt_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, code: str
) -> None:
    monkeypatch.setenv("BARTIZAN_KEY_2", KEY)
    load_or_create(tmp_path / "control.key", kek_of("env:BARTIZAN_KEY_2"))
    kept = (tmp_path / "control.keyring").read_bytes()
    monkeypatch.setenv("BARTIZAN_KEY_2", text)
    with pytest.raises(Unavailable, match="BARTIZAN_KEY_2") as caught:
        load_or_create(tmp_path / "control.key")
    assert caught.value.code == code
    assert not text or text not in caught.value.message
    assert (tmp_path / "control.keyring").read_bytes() == kept


@pytest.mark.parametrize("name", ["PATH", "bartizan_key", "BARTIZAN_KEY=x", "BARTIZAN_KEY\n"])
def test_only_variables_of_ours_hold_keys(name: str) -> None:
    with pytest.raises(Invalid):
        kek_of(f"env:{name}")
