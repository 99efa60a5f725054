"""A pair is loaded without standing on a disk."""

import ssl
import tempfile
from pathlib import Path

import pytest

from bartizan.fleet.authority import Authority
from bartizan.lib.tls import load_pair
from bartizan.secrets.envelope import Envelope


def test_a_pair_is_loaded_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    authority = Authority(tmp_path / "authority", Envelope(bytes(32)))
    load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), *authority.server())
    assert list((tmp_path / "temporary").iterdir()) == []
    with pytest.raises(ssl.SSLError):
        load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), authority.server()[0], authority.server()[1])


def test_where_files_arent_in_memory_one_is_there_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.memfd_create")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), *Authority(tmp_path / "authority", Envelope(bytes(32))).server())
    assert [path.name for path in tmp_path.iterdir()] == ["authority"]
