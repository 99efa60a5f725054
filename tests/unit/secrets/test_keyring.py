"""The key file: made once, closed to others, refused when it is open or damaged."""

import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from bartizan.errors import Unavailable
from bartizan.secrets.keyring import ELSEWHERE, has_key, keep_elsewhere, load_or_create


def test_made_once_then_loaded(tmp_path: Path) -> None:
    path = tmp_path / "state" / "key"
    sealed = load_or_create(path).seal(b"x", "c")
    assert load_or_create(path).open(sealed, "c") == b"x"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_size == 32
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["key"]


def test_two_places_have_two_keys(tmp_path: Path) -> None:
    assert load_or_create(tmp_path / "a").key_id != load_or_create(tmp_path / "b").key_id


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o601])
def test_open_to_others_is_refused_and_says_what_to_do(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    load_or_create(path)
    path.chmod(mode)
    with pytest.raises(Unavailable, match=rf"mode {mode:04o}.*chmod 600 {path}") as caught:
        load_or_create(path)
    assert caught.value.code == "key-file-open-to-others"


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(Unavailable, match="damaged"):
        load_or_create(path)
    assert path.read_bytes() == content


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="isn't a regular file"):
        load_or_create(tmp_path)
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(Unavailable, match="isn't a regular file"):
        load_or_create(tmp_path / "fifo")
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="can't be used: Not a directory"):
        load_or_create(tmp_path / "file" / "key")


def key_id(path: Path) -> str:
    return load_or_create(path).key_id


def test_many_who_create_it_at_once_get_one_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        for attempt in range(20):
            folder = tmp_path / str(attempt)
            assert len(set(pool.map(key_id, [folder / "key"] * 8, chunksize=1))) == 1
            assert os.listdir(folder) == ["key"]


NAMES = ("control.key", "node.key")


def test_kept_elsewhere_they_open_what_they_sealed(tmp_path: Path) -> None:
    state, folder = tmp_path / "state", tmp_path / "keys"
    sealed = load_or_create(state / "control.key").seal(b"x", "c")
    for _ in range(2):  # the second time it is so already
        assert keep_elsewhere(state, folder, NAMES) is False  # the same disk, in this test
        assert load_or_create(state / "control.key").open(sealed, "c") == b"x"
        assert sorted(os.listdir(state)) == [ELSEWHERE]
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
