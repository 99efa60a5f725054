"""The journal: sealed, ordered, whole after a crash, shared between processes."""

import base64
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from bartizan.errors import Unavailable
from bartizan.identity.journal import Journal
from bartizan.secrets.envelope import Envelope, Tampered, WrongKey

ENVELOPE = Envelope(b"k" * 32)


def journal(folder: Path) -> Journal:
    return Journal(folder / "state" / "j", ENVELOPE, "j")


def append(to: Journal, *records: bytes) -> None:
    with to.locked():
        list(to.read())
        for record in records:
            to.append(record)


@pytest.fixture
def three(tmp_path: Path) -> Path:
    written = journal(tmp_path)
    append(written, b"one", b"two", b"three")
    written.close()
    return tmp_path


def lines(folder: Path) -> list[bytes]:
    return (folder / "state" / "j").read_bytes().splitlines(keepends=True)


def rewrite(folder: Path, *parts: bytes) -> None:
    (folder / "state" / "j").write_bytes(b"".join(parts))


def test_what_was_appended_is_read_in_order_and_once(three: Path) -> None:
    again = journal(three)
    assert again.count == 0
    assert list(again.read()) == [b"one", b"two", b"three"]
    assert list(again.read()) == []
    assert again.count == 3


def test_the_file_is_closed_to_others_and_holds_nothing_in_the_open(three: Path) -> None:
    path = three / "state" / "j"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert all(b"one" not in text for text in (path.read_bytes(), base64.b64decode(lines(three)[0])))


def test_one_reads_what_another_appends(three: Path) -> None:
    first, second = journal(three), journal(three)
    assert len(list(first.read())) == 3
    append(second, b"four")
    append(first, b"five")
    assert list(second.read()) == [b"five"]
    assert first.count == second.count == 5


@pytest.mark.parametrize("left", [b"torn", b"\0" * 5000, b"A" * 3])
def test_a_last_line_without_an_end_is_passed_over_and_cut_off_by_the_next_writer(three: Path, left: bytes) -> None:
    good = lines(three)
    rewrite(three, *good, left)
    again = journal(three)
    assert len(list(again.read())) == 3
    append(again, b"four")
    assert lines(three)[:3] == good
    assert list(journal(three).read()) == [b"one", b"two", b"three", b"four"]


@pytest.mark.parametrize("length", range(1, 4))
def test_every_cut_of_the_last_record_reads_as_if_it_had_never_been_written(three: Path, length: int) -> None:
    *good, last = lines(three)
    rewrite(three, *good, last[:-length])
    assert list(journal(three).read()) == [b"one", b"two"]


def test_a_half_written_line_counts_once_it_is_whole(three: Path) -> None:
    *good, last = lines(three)
    rewrite(three, *good, last[:20])
    reader = journal(three)
    assert len(list(reader.read())) == 2
    with (three / "state" / "j").open("ab") as file:
        file.write(last[20:])
    assert list(reader.read()) == [b"three"]


def test_records_that_were_moved_copied_or_left_out_are_noticed(three: Path) -> None:
    one, two, last = lines(three)
    for order in ((two, one, last), (one, one), (two, last), (one, last), (one, two, last, two)):
        rewrite(three, *order)
        with pytest.raises(Tampered, match=r"state/j can't be read. j/\d: was changed or moved"):
            list(journal(three).read())


@pytest.mark.parametrize("junk", [b"\n", b"!!!\n", b"AAAA\n", b"A\n", b"\xff\xfe\n"])
def test_a_damaged_line_is_refused_and_what_is_before_it_was_read(three: Path, junk: bytes) -> None:
    one, _, last = lines(three)
    rewrite(three, one, junk, last)
    reader = journal(three)
    with pytest.raises(Unavailable, match=r"state/j.*backup"):
        list(reader.read())
    assert reader.count == 1


def test_another_key_is_named_as_the_trouble(three: Path) -> None:
    with pytest.raises(WrongKey, match="Put back the key file"):
        list(Journal(three / "state" / "j", Envelope(b"o" * 32), "j").read())


def test_a_file_that_is_replaced_or_cut_while_in_use_is_noticed(three: Path) -> None:
    path = three / "state" / "j"
    reader = journal(three)
    list(reader.read())
    good = path.read_bytes()
    one, two, _ = lines(three)
    other = journal(three / "other")
    append(other, b"one", b"two", b"3", b"four")
    for content in (one + two, b"", (three / "other" / "state" / "j").read_bytes()):
        path.with_name("n").write_bytes(content)
        path.with_name("n").replace(path)
        for _ in range(2):
            with pytest.raises(Unavailable, match="state/j was replaced or cut") as caught:
                list(reader.read())
            assert caught.value.code == "journal-replaced"
        with pytest.raises(Unavailable, match="state/j was replaced or cut"), reader.locked():
            pass
    path.unlink()
    with pytest.raises(Unavailable, match="state/j"):
        list(reader.read())
    path.write_bytes(good)
    assert list(reader.read()) == []
    path.write_bytes(good[:50])
    with pytest.raises(Unavailable, match="state/j was replaced or cut"):
        list(reader.read())


def test_what_is_sealed_anew_is_gone_on_with_by_all(three: Path) -> None:
    reader, late, writer = journal(three), journal(three), journal(three)
    assert len(list(reader.read())) == 3
    next(late.read())
    before = lines(three)
    again = journal(three)
    again.reseal()
    assert not set(before) & set(lines(three))
    assert stat.S_IMODE((three / "state" / "j").stat().st_mode) == 0o600
    assert os.listdir(three / "state") == ["j"]
    append(writer, b"four")
    append(again, b"five")
    assert list(reader.read()) == [b"four", b"five"]
    assert list(late.read()) == [b"two", b"three", b"four", b"five"]
    append(reader, b"six")
    assert list(again.read()) == [b"six"]
    assert list(journal(three).read()) == [b"one", b"two", b"three", b"four", b"five", b"six"]


def test_what_a_crash_began_isnt_sealed_anew(three: Path) -> None:
    with (three / "state" / "j").open("ab") as file:
        file.write(b"torn")
    (three / "state" / "j.anew").write_bytes(b"left by a crash")
    journal(three).reseal()
    assert len(lines(three)) == 3
    assert list(journal(three).read()) == [b"one", b"two", b"three"]


def test_a_writer_that_waits_for_the_lock_writes_into_the_new_file(three: Path) -> None:
    again, writer = journal(three), journal(three)
    list(writer.read())
    began = threading.Event()

    def write() -> None:
        began.set()
        append(writer, b"four")

    thread = threading.Thread(target=write)
    with again.locked():
        thread.start()
        began.wait()
        time.sleep(0.05)
        copy = (three / "state" / "j").read_bytes()
        (three / "state" / "n").write_bytes(copy)
        (three / "state" / "n").replace(three / "state" / "j")  # what `reseal` does while it holds the lock
    thread.join(5)
    assert list(journal(three).read()) == [b"one", b"two", b"three", b"four"]


def test_an_empty_journal_is_sealed_anew(tmp_path: Path) -> None:
    journal(tmp_path).reseal()
    written = journal(tmp_path)
    written.reseal()
    append(written, b"one")
    assert list(journal(tmp_path).read()) == [b"one"]


def test_a_write_that_fails_leaves_nothing_behind(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = journal(three)
    list(writer.read())
    before = lines(three)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(Unavailable, match="No space left"):
            append(writer, b"lost")
    assert lines(three) == before
    assert writer.count == 3
    append(writer, b"four")
    assert list(journal(three).read())[3:] == [b"four"]


def test_many_megabytes_are_read_whole(tmp_path: Path) -> None:
    writer = journal(tmp_path)
    records = [bytes([n % 256]) * 40_000 for n in range(60)]
    append(writer, *records)
    assert list(journal(tmp_path).read()) == records
