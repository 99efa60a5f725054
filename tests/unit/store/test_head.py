"""The head of the audit log: signed, whole, and written by one at a time."""

import os
import threading
from pathlib import Path

import pytest

from bartizan.errors import Unavailable
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.seal import Signatures
from bartizan.secrets.signing import SigningKey
from bartizan.store import Head, Tampered, head
from bartizan.store.head import HeadFile


def test_it_is_read_by_who_trusts_the_key(tmp_path: Path, seal: Signatures) -> None:
    file = HeadFile(tmp_path / "audit.head", seal)
    assert file.read() is None
    file.write(Head(3, "ab"))
    assert file.read() == HeadFile(file.path, None).read() == Head(3, "ab")
    assert file.path.stat().st_mode & 0o777 == 0o600
    other = Signatures(SigningKey(tmp_path / "other.key", Envelope(bytes(32))))
    with pytest.raises(Tampered, match="key that is trusted"):
        HeadFile(file.path, other).read()


@pytest.mark.parametrize("edit", [(b'"number":3', b'"number":2'), (b'"hash":"ab"', b'"hash":"aa"'), (b'{"', b""), (b'"signature"', b'"x"')])
def test_an_edit_of_it_is_found(edit: tuple[bytes, bytes], tmp_path: Path, seal: Signatures) -> None:
    file = HeadFile(tmp_path / "audit.head", seal)
    file.write(Head(3, "ab"))
    before = file.path.read_bytes()
    file.path.write_bytes(before.replace(*edit))
    assert file.path.read_bytes() != before
    with pytest.raises(Tampered):
        file.read()


def test_writers_wait_for_each_other_but_not_for_ever(tmp_path: Path, seal: Signatures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "BUSY_S", 0.2)
    file = HeadFile(tmp_path / "audit.head", seal)
    with file.locked(), pytest.raises(Unavailable, match="Another writer"), file.locked():
        pass
    order = []
    with file.locked():
        second = threading.Thread(target=lambda: _append(file, order))
        second.start()
        second.join(0.05)
        order.append("first")
    second.join()
    assert order == ["first", "second"]


def _append(file: HeadFile, order: list[str]) -> None:
    with file.locked():
        order.append("second")


def test_a_place_that_cant_be_written_is_told(tmp_path: Path, seal: Signatures) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="can't be used"), HeadFile(tmp_path / "file" / "audit.head", seal).locked():
        pass
    os.mkdir(tmp_path / "audit.head")
    with pytest.raises(Unavailable, match="can't be used"):
        HeadFile(tmp_path / "audit.head", seal).read()
