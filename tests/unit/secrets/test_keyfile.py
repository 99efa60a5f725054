"""The key file: closed to others, refused when it is open or damaged, kept on another disk."""

import os
import stat
from pathlib import Path

import pytest

from bartizan.errors import Unavailable
from bartizan.secrets.keyfile import ELSEWHERE, keep_elsewhere
from bartizan.secrets.keyring import has_key, load_or_create

NAMES = ("control.key", "node.key")


def test_kept_elsewhere_they_open_what_they_sealed(tmp_path: Path) -> None:
    state, folder = tmp_path / "state", tmp_path / "keys"
    sealed = load_or_create(state / "control.key").seal(b"x", "c")
    for _ in range(2):  # the second time it is so already
        assert keep_elsewhere(state, folder, NAMES) is False  # the same disk, in this test
        assert load_or_create(state / "control.key").open(sealed, "c") == b"x"
        assert sorted(os.listdir(state)) == ["control.keyring", ELSEWHERE]
        assert sorted(os.listdir(folder)) == sorted(NAMES)
        assert {stat.S_IMODE((folder / name).stat().st_mode) for name in NAMES} == {0o600}
    assert has_key(state / "node.key")


def test_a_new_state_begins_with_them_elsewhere(tmp_path: Path) -> None:
    keep_elsewhere(tmp_path / "state", tmp_path / "keys", ("node.key",))
    assert os.listdir(tmp_path / "state") == [ELSEWHERE]
    load_or_create(tmp_path / "state" / "node.key")


def test_one_that_isnt_there_is_never_made_anew(tmp_path: Path) -> None:
    state, folder = tmp_path / "state", tmp_path / "keys"
    keep_elsewhere(state, folder, NAMES)
    folder.rename(tmp_path / "unmounted")
    for _ in range(2):
        with pytest.raises(Unavailable, match="mounted") as caught:
            load_or_create(state / "control.key")
        assert caught.value.code == "key-file-missing"
    assert not folder.exists()
    (tmp_path / "unmounted").rename(folder)
    load_or_create(state / "control.key")


def test_of_two_different_keys_none_is_taken(tmp_path: Path) -> None:
    state, folder = tmp_path / "state", tmp_path / "keys"
    for place in (state, folder):
        load_or_create(place / "control.key")
    (folder / "control.keyring").unlink()
    with pytest.raises(Unavailable, match="two keys"):
        keep_elsewhere(state, folder, NAMES)
    assert (state / "control.key").exists()
    assert not (state / ELSEWHERE).exists()


def test_they_dont_move_on_by_themselves(tmp_path: Path) -> None:
    keep_elsewhere(tmp_path / "state", tmp_path / "keys", NAMES)
    with pytest.raises(Unavailable, match="yourself"):
        keep_elsewhere(tmp_path / "state", tmp_path / "other", NAMES)


def test_a_key_open_to_others_isnt_taken_over(tmp_path: Path) -> None:
    load_or_create(tmp_path / "keys" / "control.key")
    (tmp_path / "keys" / "control.key").chmod(0o644)
    with pytest.raises(Unavailable, match="chmod 600"):
        keep_elsewhere(tmp_path / "state", tmp_path / "keys", NAMES)


def test_another_disk_is_told(tmp_path: Path) -> None:
    memory = Path("/dev/shm") / f"bartizan-test-{os.getpid()}"
    try:
        assert keep_elsewhere(tmp_path / "state", memory, NAMES) is True
    finally:
        for path in memory.iterdir():
            path.unlink()
        memory.rmdir()


def test_a_key_that_is_missing_isnt_made_anew_elsewhere(tmp_path: Path) -> None:
    load_or_create(tmp_path / "state" / "control.key")
    (tmp_path / "state" / "control.key").unlink()
    with pytest.raises(Unavailable, match="Put it back") as caught:
        keep_elsewhere(tmp_path / "state", tmp_path / "keys", NAMES)
    assert caught.value.code == "key-file-missing"
    assert not (tmp_path / "keys" / "control.key").exists()
