"""The last good state comes back as it was, or not at all."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bartizan.errors import Unavailable
from bartizan.node.last_good import Kept, LastGood
from bartizan.secrets.envelope import Envelope
from bartizan.xds.release import CLUSTER, ROUTES, Key, Position, Release, Resource, Step, resource

ENVELOPE = Envelope(b"k" * 32)
A, A2, B = resource(ROUTES, "a", b"a"), resource(ROUTES, "a", b"a2"), resource(CLUSTER, "b", b"a secret")


def at(sequence: int) -> Position:
    return Position(sequence, f"revision-{sequence}", 9)


def release(sequence: int, *changed: Resource, removed: tuple[Key, ...] = ()) -> Release:
    return Release(sequence, f"revision-{sequence}", 9, (Step(changed, removed),))


FIRST, SECOND, THIRD = release(1, A, B), release(2, A2), release(3, A, removed=(B.key,))
STATES = (Kept(at(1), (A, B)), Kept(at(2), (A2, B)), Kept(at(3), (A,)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One that holds three releases."""
    store = LastGood(tmp_path / "last-good", ENVELOPE)
    for one in (FIRST, SECOND, THIRD):
        store.keep(one)
    return tmp_path / "last-good"


def loaded(folder: Path, envelope: Envelope = ENVELOPE) -> Kept | None:
    return LastGood(folder, envelope).load()


def lines(folder: Path) -> list[bytes]:
    return (folder / "journal").read_bytes().splitlines(keepends=True)


def rewrite(folder: Path, *parts: bytes) -> None:
    (folder / "journal").write_bytes(b"".join(parts))


def refused(folder: Path, reason: str = "") -> None:
    with pytest.raises(Unavailable, match="can't be trusted, so none of it is served: .*" + reason) as raised:
        loaded(folder)
    assert raised.value.code == "last-good-unreadable"


def test_nothing_is_kept_at_first(tmp_path: Path) -> None:
    assert loaded(tmp_path / "last-good") is None


def test_each_release_comes_back(tmp_path: Path) -> None:
    store = LastGood(tmp_path, ENVELOPE)
    for one, state in zip((FIRST, SECOND, THIRD), STATES, strict=True):
        store.keep(one)
        assert loaded(tmp_path) == state


def test_what_was_loaded_is_gone_on_with(folder: Path) -> None:
    store = LastGood(folder, ENVELOPE)
    store.load()
    before = lines(folder)
    store.keep(release(4, B))
    assert lines(folder)[:-1] == before, "what is there isn't written again"
    assert loaded(folder) == Kept(at(4), (A, B))


def test_a_position_is_kept_without_a_change(folder: Path) -> None:
    store = LastGood(folder, ENVELOPE)
    store.load()
    store.keep(release(4))
    assert loaded(folder) == Kept(at(4), (A,))


def test_nothing_is_readable_on_disk(folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in folder.iterdir()] == ["journal"]
    assert (folder / "journal").stat().st_mode & 0o777 == 0o600
    assert all(b"secret" not in line and b"revision" not in line for line in lines(folder))


def test_releases_larger_than_a_line_come_back(tmp_path: Path) -> None:
    large = tuple(resource(ROUTES, f"r{i}", os.urandom(1_300_000)) for i in range(3))
    store = LastGood(tmp_path, ENVELOPE)
    store.keep(release(1, *large[:2]))
    store.keep(release(2, large[2]))
    assert loaded(tmp_path) == Kept(at(2), large)


# Damage


def test_every_cut_of_the_last_release_is_as_if_it_had_never_come(folder: Path) -> None:
    *good, last = lines(folder)
    for length in range(len(last)):
        rewrite(folder, *good, last[:length])
        assert loaded(folder) == STATES[1]


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("where", [0, 40, -2])
def test_a_changed_line_refuses_the_whole(folder: Path, which: int, where: int) -> None:
    all_lines = lines(folder)
    line = bytearray(all_lines[which])
    line[where] = ord("A") if line[where] != ord("A") else ord("B")
    all_lines[which] = bytes(line)
    rewrite(folder, *all_lines)
    refused(folder)


@pytest.mark.parametrize("order", ["021", "102", "02", "12", "01122", "0120"])
def test_lines_that_were_moved_copied_or_left_out_refuse_the_whole(folder: Path, order: str) -> None:
    all_lines = lines(folder)
    rewrite(folder, *(all_lines[int(which)] for which in order))
    refused(folder)


@pytest.mark.parametrize("junk", [b"\n", b"!!!\n", b"AAAA\n"])
def test_junk_among_the_lines_refuses_the_whole(folder: Path, junk: bytes) -> None:
    first, second, last = lines(folder)
    for rest in ((first, junk, second, last), (first, second, last, junk), (first, junk, last)):
        rewrite(folder, *rest)
        refused(folder)


def test_a_missing_end_of_a_line_in_the_middle_refuses_the_whole(folder: Path) -> None:
    first, second, last = lines(folder)
    rewrite(folder, first[:-1], second, last)
    refused(folder)


@pytest.mark.parametrize("which", range(3))
def test_a_line_of_another_journal_refuses_the_whole(folder: Path, which: int, tmp_path: Path) -> None:
    other = LastGood(tmp_path / "other", ENVELOPE)
    for one in (FIRST, SECOND, THIRD):
        other.keep(one)
    all_lines = lines(folder)
    all_lines[which] = lines(tmp_path / "other")[which]
    rewrite(folder, *all_lines)
    refused(folder, "line [123] is of another journal")


def test_a_line_of_the_journal_before_refuses_the_whole(folder: Path) -> None:
    before = lines(folder)
    store = LastGood(folder, ENVELOPE)
    store.load()
    store.compact()
    store.keep(SECOND)
    rewrite(folder, lines(folder)[0], before[1])
    refused(folder, "line 2 is of another journal")


def test_a_part_of_a_large_release_of_another_journal_refuses_the_whole(tmp_path: Path) -> None:
    bodies = [os.urandom(1_300_000) for _ in range(2)]
    for name in ("one", "two"):
        LastGood(tmp_path / name, ENVELOPE).keep(release(1, *(resource(ROUTES, str(i), body) for i, body in enumerate(bodies))))
    one, two = lines(tmp_path / "one"), lines(tmp_path / "two")
    assert len(one) == len(two) > 3
    rewrite(tmp_path / "one", *one[:2], two[2], *one[3:])
    refused(tmp_path / "one", "line 3 is of another journal")


@pytest.mark.parametrize("left", [b"", b"torn", b"\n"])
def test_a_journal_without_its_beginning_is_refused(folder: Path, left: bytes) -> None:
    rewrite(folder, left)
    refused(folder)


def test_a_beginning_that_is_cut_between_its_lines_is_refused(tmp_path: Path) -> None:
    LastGood(tmp_path, ENVELOPE).keep(release(1, resource(ROUTES, "large", os.urandom(1_300_000))))
    rewrite(tmp_path, *lines(tmp_path)[:-1])
    refused(tmp_path, "beginning is cut off")


def test_another_key_refuses_the_whole(folder: Path) -> None:
    with pytest.raises(Unavailable, match="was sealed with the key"):
        loaded(folder, Envelope(b"x" * 32))


def test_a_resource_that_is_not_its_version_refuses_the_whole(tmp_path: Path) -> None:
    LastGood(tmp_path, ENVELOPE).keep(release(1, Resource(ROUTES, "a", bytes(32), b"a")))
    refused(tmp_path, "isn't what its hash says")


def test_what_was_refused_is_replaced_by_the_next_release(folder: Path) -> None:
    rewrite(folder, *lines(folder)[1:])
    store = LastGood(folder, ENVELOPE)
    with pytest.raises(Unavailable):
        store.load()
    store.keep(FIRST)
    assert loaded(folder) == STATES[0]


# Crashes and failures


class Crash(BaseException):
    """The end of the process, as far as a test can have one."""


SYSCALLS = ((os, "write"), (os, "fsync"), (Path, "replace"), (Path, "unlink"))


def crashed(after: int, act: Callable[[], None], patch: pytest.MonkeyPatch, error: BaseException) -> bool:
    """Whether `act()` was stopped, at its call to the disk number `after`; of a write, half is done."""
    left = [after]

    def stopped(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            left[0] -= 1
            if left[0] >= 0:
                return real(*arguments)
            if name == "write" and left[0] == -1:
                real(arguments[0], arguments[1][: len(arguments[1]) // 2])
            raise error

        return call

    with patch.context() as patched:
        for of, name in SYSCALLS:
            patched.setattr(of, name, stopped(name, getattr(of, name)))
        try:
            act()
        except (Crash, Unavailable, OSError):
            return True
    return False


@pytest.mark.parametrize("error", [Crash(), OSError(28, "No space left on device")], ids=["crash", "full"])
@pytest.mark.parametrize("what", ["keep", "keep large", "compact"])
def test_a_stop_at_any_moment_leaves_the_old_state_or_the_new_one(
    folder: Path, what: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (folder / "journal").read_bytes()
    large = resource(ROUTES, "large", os.urandom(1_300_000))
    new = {"keep": FIRST, "keep large": release(4, large), "compact": release(3)}[what]
    state = {"keep": STATES[0], "keep large": Kept(at(4), (A, large)), "compact": STATES[2]}[what]
    stops = 0
    while True:
        for path in folder.iterdir():
            path.unlink()
        (folder / "journal").write_bytes(before)
        (folder / "leftover").write_bytes(b"")
        store = LastGood(folder, ENVELOPE)
        store.load()
        act = store.compact if what == "compact" else lambda store=store: store.keep(new)
        stopped = crashed(stops, act, monkeypatch, error)
        assert loaded(folder) in ([STATES[2], state] if stopped else [state])
        if not stopped:
            break
        again = store if isinstance(error, OSError) else LastGood(folder, ENVELOPE)
        again.load() if again is not store else None
        again.keep(new)
        assert loaded(folder) == state
        again.keep(release(5, B))
        assert loaded(folder) in (Kept(at(5), (*state.resources, B)), Kept(at(5), (A, B)))
        stops += 1
    assert stops >= {"keep": 2, "keep large": 6, "compact": 5}[what]


def test_leftovers_of_a_crash_harm_nothing_and_are_removed(folder: Path) -> None:
    (folder / "journal.new").write_bytes(lines(folder)[0] + b"half")
    assert loaded(folder) == STATES[2]
    store = LastGood(folder, ENVELOPE)
    store.load()
    store.compact()
    assert loaded(folder) == STATES[2]
    assert [path.name for path in folder.iterdir()] == ["journal"]


@pytest.mark.parametrize("harm", ["removed", "replaced", "cut"])
def test_a_journal_that_is_taken_away_while_in_use_is_noticed_and_written_anew(folder: Path, harm: str) -> None:
    store = LastGood(folder, ENVELOPE)
    store.load()
    content = (folder / "journal").read_bytes()
    (folder / "journal").write_bytes(content[:-9]) if harm == "cut" else (folder / "journal").unlink()
    if harm == "replaced":
        (folder / "journal").write_bytes(content[: content.rindex(b"\n", 0, -1) + 1])
    with pytest.raises(Unavailable):
        store.keep(FIRST)
    store.keep(FIRST)
    assert loaded(folder) == STATES[0]


# Compaction


def test_a_long_journal_is_made_short_and_says_the_same(tmp_path: Path) -> None:
    store = LastGood(tmp_path, ENVELOPE)
    body = os.urandom(1_000_000)
    store.keep(FIRST)
    for sequence in range(2, 6):
        assert not store.is_long
        store.keep(release(sequence, resource(ROUTES, "large", body + bytes([sequence]))))
    store.keep(release(6, A2))
    long = (tmp_path / "journal").stat().st_size
    again = LastGood(tmp_path, ENVELOPE)
    before = again.load()
    again.keep(release(7, resource(ROUTES, "large", body)))
    assert again.is_long
    again.compact()
    assert not again.is_long
    assert (tmp_path / "journal").stat().st_size < long / 2
    after = loaded(tmp_path)
    assert before and after and after.position == at(7)
    assert {one.name for one in after.resources} == {"a", "b", "large"}
    again.keep(release(8, removed=(B.key,)))
    assert {one.name for one in loaded(tmp_path).resources} == {"a", "large"}  # type: ignore[union-attr]


def test_a_change_among_thousands_is_written_alone(tmp_path: Path) -> None:
    store = LastGood(tmp_path, ENVELOPE)
    store.keep(release(1, *(resource(ROUTES, f"r{i}", os.urandom(200)) for i in range(12_000))))
    size = (tmp_path / "journal").stat().st_size
    started = time.perf_counter()
    store.keep(release(2, A))
    took = time.perf_counter() - started
    assert (tmp_path / "journal").stat().st_size - size < 1000
    print(f"one change among 12,000: {took * 1000:.2f} ms")
    assert took < 0.5
