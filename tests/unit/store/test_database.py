"""The database: opened by several at once, held by another, killed at any point, written by another version, or not there."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import get_args

import pytest
from sqlalchemy import text

from bartizan.errors import Invalid, NotFound, Unavailable
from bartizan.secrets.seal import Signatures
from bartizan.store import Change, Content, Store, database, embedded, open_store
from bartizan.store.database import Database, Lock
from bartizan.store.tables import SCHEMA
from tests.unit.store.lives import seal as seal_of_lives

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("engine", "lives"), [("sqlite", 100), ("postgresql", 20)])
def test_what_was_acknowledged_outlasts_a_hundred_kills(engine: str, lives: int, new_url: Callable[[str], str], tmp_path: Path) -> None:
    stores = lives // 10
    urls = [embedded(tmp_path / f"state{i}") if engine == "sqlite" else new_url(engine) for i in range(stores)]
    command = [sys.executable, "-m", "tests.unit.store.lives", tmp_path, str(lives), *urls]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    told = [line.split() for line in (tmp_path / "acknowledged").read_text().splitlines()]
    assert len(told) > 2 * lives  # they did live
    for i, url in enumerate(urls):
        _check_life([line[1:] for line in told if line[0] == str(i)], url, tmp_path, i)


def _check_life(told: list[list[str]], url: str, folder: Path, i: int) -> None:
    with open_store(url, seal_of_lives(folder), head=folder / f"head{i}") as store:
        entries = {one.number: one for one in store.audit.entries()}
        for what, number, value in told:
            if what == "commit":
                commit = store.revisions.find(number)
                assert commit.revision == value
                assert store.revisions.content(commit).revision == value
            elif what == "audit":
                assert entries[int(number)].hash == value
        note = store.notes.get("life")
        assert (note.version if note else 0) >= max((int(line[1]) for line in told if line[0] == "note"), default=0)
        assert not list(store.revisions.findings())
        assert not store.revisions.content_findings()
        assert store.audit.verify()[1] == ()
        head = store.revisions.head()
        store.revisions.commit(Content("a" * 16, {}), Change(head.number if head else None, "after", "it goes on", "files"))


def test_each_kind_of_writer_can_take_its_turn(store: Store) -> None:
    for lock in get_args(Lock):
        with store.database.writing(lock) as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1


def test_of_those_who_open_a_new_store_at_once_all_get_it(url: str) -> None:
    barrier = threading.Barrier(8)

    def opened(_: int) -> bool:
        barrier.wait()
        with open_store(url) as store, store.database.reading() as connection:
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == SCHEMA

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(opened, range(8)))


def test_who_waits_too_long_is_told_so_and_nothing_is_stuck(url: str, seal: Signatures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_S", 1)
    with open_store(url, seal) as holder, open_store(url, seal) as other:
        with holder.database.writing("notes"):
            since = time.monotonic()
            with pytest.raises(Unavailable, match="Another writer holds it") as told:
                other.notes.put("a", 1)
            assert told.value.code == "store-busy"
            assert 0.9 < time.monotonic() - since < 5
            assert other.notes.get("a") is None  # readers don't wait
        assert other.notes.put("a", 1).version == 1


def test_what_was_written_is_undone_if_the_block_fails(store: Store) -> None:
    with pytest.raises(KeyError), store.database.writing("notes") as connection:
        connection.execute(text("INSERT INTO notes VALUES ('a', '1', 1)"))
        raise KeyError
    assert store.notes.get("a") is None


def test_a_reader_neither_makes_nor_brings_up_a_store(url: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no store at"):
        open_store(url, create=False)
    assert not (tmp_path / "state").exists()
    with open_store(url) as store, store.database.writing("schema") as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(Unavailable, match="still of an older version") as told:
        open_store(url, create=False)
    assert told.value.code == "store-older"


def test_a_store_of_a_newer_version_is_left_alone(url: str) -> None:
    with open_store(url) as store, store.database.writing("schema") as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    with pytest.raises(Unavailable, match="newer version") as told:
        open_store(url)
    assert told.value.code == "store-newer"


def test_sqlite_writes_through_and_closes_its_file_to_others(tmp_path: Path) -> None:
    path = tmp_path / "state" / "store.db"
    old = os.umask(0)
    try:
        with open_store(embedded(tmp_path / "state")) as store, store.database.reading() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
            assert {one.stat().st_mode & 0o777 for one in path.parent.iterdir()} == {0o600}
            assert path.parent.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(old)
    path.chmod(0o640)
    with pytest.raises(Unavailable, match=f"mode 0640.*chmod 600 {path}"):
        open_store(embedded(path.parent))


def test_paths_with_odd_characters_are_paths(tmp_path: Path) -> None:
    folder = tmp_path / "a b?c#d%20;e"
    open_store(embedded(folder)).close()
    assert (folder / "store.db").stat().st_size


def test_what_isnt_a_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"no database at all" * 100)
    (tmp_path / "store.db").chmod(0o600)
    with pytest.raises(Unavailable, match="file is not a database"):
        open_store(embedded(tmp_path))
    folder = tmp_path / "folder"
    (folder / "store.db").mkdir(parents=True)
    with pytest.raises(Unavailable, match=r"can't be used|isn't a regular file"):
        open_store(embedded(folder))
    for url in ("mysql://h/d", "nonsense", "sqlite://", ""):
        with pytest.raises(Invalid, match="postgresql://USER@HOST/DATABASE"):
            open_store(url)


def test_no_message_tells_the_password() -> None:
    with pytest.raises(Unavailable) as told:
        open_store("postgresql://ada:h0riz0n@127.0.0.1:1/db")
    assert "h0riz0n" not in told.value.message
    assert "ada:***@127.0.0.1" in told.value.message


def test_postgresql_acknowledges_nothing_that_isnt_on_the_disk(new_url: Callable[[str], str]) -> None:
    for asked, given in (("off", "on"), ("remote_apply", "remote_apply")):
        opened = Database(new_url("postgresql") + f"%20-csynchronous_commit%3D{asked}")
        with opened.reading() as connection:
            assert connection.execute(text("SHOW synchronous_commit")).scalar_one() == given
        opened.close()


def test_a_full_disk_undoes_the_commit_and_is_told(tmp_path: Path, seal: Signatures) -> None:
    url = embedded(tmp_path)
    with open_store(url, seal) as store:
        store.revisions.commit(Content("a" * 16, {}), Change(None, "ada", "", "files"))
        with store.database.reading() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")  # of this connection, which the pool gives again
        with pytest.raises(Unavailable, match="disk is full"):
            store.revisions.commit(Content("b" * 16, {("Api", "a"): b"x" * 100_000}), Change(1, "ada", "", "files"))
        head = store.revisions.head()
        assert head is not None and head.number == 1
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_server_that_was_restarted_is_simply_asked_again(new_url: Callable[[str], str]) -> None:
    url = new_url("postgresql")
    with open_store(url) as store:
        store.notes.put("a", 1)
        other = Database(url)
        with other.reading() as connection:
            others = "pid <> pg_backend_pid() AND datname = current_database()"
            ended = connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")).all()
        other.close()
        assert ended
        assert store.notes.put("a", 2, 1).version == 2
