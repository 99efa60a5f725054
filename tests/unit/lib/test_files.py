"""Files that are there whole or not at all."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bartizan.lib.files import made_once, replaced


def test_the_first_wins_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "state" / "file"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: made_once(path, str(i).encode() * 1000), range(8)))
    first = path.read_bytes()
    assert len(first) == 1000 and len(set(first)) == 1
    made_once(path, b"later")
    assert path.read_bytes() == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_replacement_is_whole_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for text in (b"one", b"two"):
        replaced(path, text)
        assert path.read_bytes() == text
    assert list(tmp_path.iterdir()) == [path]
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(OSError, match="directory"):
        replaced(folder, b"no file can stand here")
    assert sorted(tmp_path.iterdir()) == [path, folder]
