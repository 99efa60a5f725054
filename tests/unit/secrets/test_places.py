"""By which keys what is sealed in a state was sealed, told from headers alone."""

import base64
from pathlib import Path

import pytest

from bartizan.secrets.envelope import Envelope
from bartizan.secrets.places import CONTROL, NODE, Sealed, ids_in, ring_file, sealed_with

ONE, TWO = Envelope(b"1" * 32), Envelope(b"2" * 32)


def test_each_form_is_read(tmp_path: Path) -> None:
    lines = [base64.b64encode(one.seal(b"x" * length, "c")) for one, length in ((ONE, 1), (TWO, 50), (ONE, 500))]
    (tmp_path / "keys.journal").write_bytes(b"\n".join(lines) + b"\ntorn")
    (tmp_path / "signing.key").write_bytes(ONE.seal(b"x", "c"))
    (tmp_path / "membership.json").write_text(f'{{"key": "{TWO.seal(b"x", "c").hex()}"}}')
    assert sealed_with(tmp_path / "control.key") == {ONE.key_id, TWO.key_id}
    assert sealed_with(tmp_path / "node.key") == {TWO.key_id}
    assert sealed_with(tmp_path / "other.key") == frozenset()


@pytest.mark.parametrize("content", [b"", b"\n", b"not sealed\n", b"{}", b'{"key": 7}', b'{"key": "zz"}', b"\x01", b"\xff" * 40, b"AAAA\n"])
def test_what_isnt_sealed_has_no_key(tmp_path: Path, content: bytes) -> None:
    for form in ("journal", "whole", "field"):
        (tmp_path / "it").write_bytes(content)
        assert list(ids_in(tmp_path, Sealed("it", form, "c"))) == []  # type: ignore[arg-type]


def test_a_state_without_any_has_none(tmp_path: Path) -> None:
    assert sealed_with(tmp_path / "missing" / "control.key") == frozenset()
    assert ring_file(tmp_path / "control.key") == tmp_path / "control.keyring"
    assert len({one.file for one in (*CONTROL, *NODE)}) == len(CONTROL) + len(NODE)
