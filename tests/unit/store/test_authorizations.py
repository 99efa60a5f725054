"""What an authorization server remembers: signed, for a while, with one winner of all who write or take at once, on both databases."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from bartizan.errors import Conflict, Invalid, TooMany, Unavailable
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.seal import Signatures
from bartizan.secrets.signing import SigningKey
from bartizan.store import Authorization, Store, authorizations, open_store, opening
from tests.unit.store.conftest import ENGINES

NOW = 1_800_000_000.0
ONE = Authorization("one", "session", "ann", NOW + 100, {"b": [1, None, "ü"], "a": {"x": 1.5}})


class Rig:
    """A store whose clock is set, and others at the same database."""

    def __init__(self, url: str, seal: Signatures) -> None:
        self.now, self.url, self.seal = NOW, url, seal
        self.store = self.opened()
        self.table = self.store.authorizations

    def opened(self, seal: Signatures | None = None) -> Store:
        return open_store(self.url, seal or self.seal, clock=lambda: self.now)

    def count(self) -> int:
        with self.store.database.reading() as connection:
            return int(connection.execute(text("SELECT count(*) FROM authorizations")).scalar() or 0)

    def run(self, statement: str) -> None:
        with self.store.database.writing("authorizations") as connection:
            assert connection.execute(text(statement)).rowcount == 1


@pytest.fixture
def rig(url: str, seal: Signatures) -> Rig:
    return Rig(url, seal)


def test_what_is_kept_is_found_by_its_id_and_kind_until_it_ends(rig: Rig) -> None:
    kept = rig.table.put(ONE)
    assert kept == replace(ONE, version=1)
    with rig.opened() as other:
        assert other.authorizations.get("one", "session") == kept
        assert other.authorizations.get("one", "code") is None and other.authorizations.take("one", "code") is None
        assert other.authorizations.get("two", "session") is None
    rig.now += 99.999
    assert rig.table.get("one", "session") == kept and rig.table.of("ann", "session") == (kept,)
    rig.now += 0.001
    assert rig.table.get("one", "session") is None and rig.table.of("ann", "session") == ()
    assert rig.table.take("one", "session") is None


def test_somebodys_are_those_of_one_kind_in_order(rig: Rig) -> None:
    for ident, kind, owner in (("b", "session", "ann"), ("a", "session", "ann"), ("c", "code", "ann"), ("d", "session", "bob")):
        rig.table.put(replace(ONE, id=ident, kind=kind, owner=owner))
    assert [one.id for one in rig.table.of("ann", "session")] == ["a", "b"]
    assert [one.id for one in rig.table.of("bob", "session")] == ["d"]
    assert rig.table.of("", "session") == ()


def test_only_who_saw_the_newest_version_writes_the_next(rig: Rig) -> None:
    first = rig.table.put(ONE)
    with pytest.raises(Conflict):
        rig.table.put(ONE)
    with pytest.raises(Conflict):
        rig.table.put(replace(ONE, kind="code"))
    second = rig.table.put(replace(first, value={"b": 2}, expires=NOW + 200))
    assert second.version == 2 and rig.table.get("one", "session") == second
    for seen in (first, replace(first, version=3)):
        with pytest.raises(Conflict):
            rig.table.put(replace(seen, value={"b": 3}))
    assert rig.table.take("one", "session") == second
    with pytest.raises(Conflict):
        rig.table.put(second)
    assert rig.table.get("one", "session") is None, "what was taken doesn't come back"


def at_once(number: int, do: Callable[[int], object]) -> list[object]:
    """What came of it in as many threads: their errors by their class."""
    came: list[object] = []
    start = threading.Barrier(number)

    def run(which: int) -> None:
        start.wait()
        try:
            came.append(do(which))
        except Conflict as error:
            came.append(type(error))

    threads = [threading.Thread(target=run, args=(which,)) for which in range(number)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return came


def test_of_many_threads_and_stores_one_writes_and_one_takes(rig: Rig) -> None:
    stores = [rig.opened() for _ in range(4)]
    for turn in range(5):
        fresh = replace(ONE, id=f"turn{turn}")
        came = at_once(8, lambda which, one=fresh: stores[which % 4].authorizations.put(one))  # type: ignore[misc]
        assert came.count(Conflict) == 7
        seen = rig.table.get(fresh.id, "session")
        assert seen is not None
        written = at_once(8, lambda which, one=seen: stores[which % 4].authorizations.put(replace(one, value={"by": which})))  # type: ignore[misc]
        assert written.count(Conflict) == 7 and rig.table.get(fresh.id, "session") in written
        taken = at_once(8, lambda which, one=fresh: stores[which % 4].authorizations.take(one.id, "session"))  # type: ignore[misc]
        assert sum(one is not None for one in taken) == 1
    for store in stores:
        store.close()


_OTHER = """
import sys
from pathlib import Path
from bartizan.errors import Conflict
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.seal import Signatures
from bartizan.secrets.signing import SigningKey
from bartizan.store import Authorization, open_store
url, key = sys.argv[1:]
table = open_store(url, Signatures(SigningKey(Path(key), Envelope(bytes(range(32)))))).authorizations
print("ready", flush=True)
sys.stdin.readline()
won = 0
for turn in range(20):
    try:
        table.put(Authorization(f"new{turn}", "race", "", 9e9, {}))
        won += 1
    except Conflict:
        pass
print("put", won, flush=True)
sys.stdin.readline()
grown = 0
while grown < 20:
    seen = table.get("count", "race")
    try:
        table.put(Authorization(seen.id, seen.kind, "", 9e9, {"count": seen.value["count"] + 1}, seen.version))
        grown += 1
    except Conflict:
        pass
print("grown", flush=True)
sys.stdin.readline()
print("took", sum(table.take(f"new{turn}", "race") is not None for turn in range(20)), flush=True)
"""


def test_of_two_processes_one_writes_and_one_takes(url: str, seal: Signatures, tmp_path: Path) -> None:
    with open_store(url, seal) as store:
        store.authorizations.put(Authorization("count", "race", "", 9e9, {"count": 0}))
        arguments = [sys.executable, "-c", _OTHER, url, str(tmp_path / "signing.key")]
        both = [subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]

        def told() -> list[list[str]]:
            return [(one.stdout.readline() if one.stdout else "").split() for one in both]

        def go() -> None:
            for one in both:
                assert one.stdin is not None
                one.stdin.write("\n")
                one.stdin.flush()

        assert told() == [["ready"], ["ready"]]
        go()
        assert sum(int(count) for _, count in told()) == 20
        go()
        assert told() == [["grown"], ["grown"]]
        found = store.authorizations.get("count", "race")
        assert found is not None and found.value == {"count": 40} and found.version == 41, "no write was lost"
        go()
        assert sum(int(count) for _, count in told()) == 20
        for one in both:
            one.communicate(timeout=20)


def test_what_has_ended_makes_room_for_the_same_id(rig: Rig) -> None:
    rig.table.put(ONE)
    rig.now += 100
    again = rig.table.put(replace(ONE, expires=rig.now + 100, value={"again": True}))
    assert again.version == 1 and rig.table.get("one", "session") == again


def test_what_has_ended_is_purged_now_and_then(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorizations, "_COUNTED_EVERY", 4)
    for number in range(3):
        rig.table.put(replace(ONE, id=f"short{number}"))
    rig.table.put(replace(ONE, id="long", expires=NOW + 1000))
    rig.now += 100
    assert rig.count() == 4
    rig.table.put(replace(ONE, id="next", expires=NOW + 1000))
    assert rig.count() == 2


def test_there_are_only_so_many(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorizations, "_COUNTED_EVERY", 1)
    monkeypatch.setattr(authorizations, "MOST", 3)
    monkeypatch.setattr(authorizations, "_FULL_S", 0.0)
    for number in range(3):
        kept = rig.table.put(replace(ONE, id=f"one{number}"))
    with pytest.raises(TooMany):
        rig.table.put(replace(ONE, id="more"))
    assert rig.table.put(replace(kept, value={})).version == 2, "what is there can be written anew"
    rig.table.take("one0", "session")
    rig.table.put(replace(ONE, id="more", expires=NOW + 200))
    with pytest.raises(TooMany):
        rig.table.put(replace(ONE, id="too much"))
    rig.now += 100
    rig.table.put(replace(ONE, id="after", expires=NOW + 200))
    assert rig.count() == 2


@pytest.mark.parametrize(
    ("statement", "where"),
    [
        ("id = 'two'", ("two", "session", "ann")),
        ("kind = 'code'", ("one", "code", "ann")),
        ("owner = 'eve'", ("one", "session", "eve")),
        ("expires_ms = expires_ms + 1", ("one", "session", "ann")),
        ("version = version + 1", ("one", "session", "ann")),
        ("body = '{}'", ("one", "session", "ann")),
        ("body = '{'", ("one", "session", "ann")),
        ("signer = replace(signer, substr(signer, 1, 1), 'g')", ("one", "session", "ann")),
        ("signer = ''", ("one", "session", "ann")),
    ],
)
def test_who_can_write_the_database_gives_herself_nothing(rig: Rig, statement: str, where: tuple[str, str, str]) -> None:
    rig.table.put(ONE)
    rig.run(f"UPDATE authorizations SET {statement}")
    ident, kind, owner = where
    assert rig.table.get(ident, kind) is None and rig.table.of(owner, kind) == ()
    assert rig.count() == 1 and rig.table.take(ident, kind) is None and rig.count() == 0


@pytest.mark.parametrize(
    "statement", ["signature = x'00'", "signature = zeroblob(64)", "version = 'one'", "body = x'7b7d'", "expires_ms = 9e12"]
)
def test_nor_by_values_that_only_sqlite_keeps(new_url: Callable[[str], str], seal: Signatures, statement: str) -> None:
    rig = Rig(new_url("sqlite"), seal)
    rig.table.put(ONE)
    rig.run(f"UPDATE authorizations SET {statement}")
    assert rig.table.get("one", "session") is None and rig.table.of("ann", "session") == ()


def test_nor_by_a_signature_of_another_row_or_another_key(rig: Rig, tmp_path: Path) -> None:
    rig.table.put(ONE)
    rig.table.put(replace(ONE, id="two"))
    rig.run("UPDATE authorizations SET signature = (SELECT signature FROM authorizations WHERE id = 'two') WHERE id = 'one'")
    assert rig.table.get("one", "session") is None and rig.table.get("two", "session") is not None
    with rig.opened(Signatures(SigningKey(tmp_path / "eve.key", Envelope(bytes(32))))) as eves:
        made = eves.authorizations.put(replace(ONE, id="three"))
        assert eves.authorizations.get("three", "session") == made
    assert rig.table.get("three", "session") is None
    assert [one.id for one in rig.table.of("ann", "session")] == ["two"]


def test_a_store_that_is_read_changes_nothing(rig: Rig) -> None:
    kept = rig.table.put(ONE)
    with open_store(rig.url, clock=lambda: rig.now) as other:
        assert other.authorizations.get("one", "session") == kept and other.authorizations.of("ann", "session") == (kept,)
        with pytest.raises(Unavailable):
            other.authorizations.put(replace(ONE, id="two"))
        with pytest.raises(Unavailable):
            other.authorizations.take("one", "session")
    assert rig.table.get("one", "session") == kept


@pytest.mark.parametrize("bad", ["\0", "a\0b", "\ud800"])
def test_what_no_database_keeps_is_told_and_isnt_there(rig: Rig, bad: str) -> None:
    rig.table.put(ONE)
    for field in ("id", "kind", "owner"):
        with pytest.raises(Invalid):
            rig.table.put(replace(ONE, **{"id": "two", field: bad}))
    assert rig.table.get(bad, "session") is None and rig.table.take(bad, "session") is None and rig.table.of(bad, "session") == ()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_store_of_before_gets_the_table_and_keeps_what_it_has(engine: str, new_url: Callable[[str], str], seal: Signatures) -> None:
    url = new_url(engine)
    with open_store(url, seal) as store:
        store.notes.put("a", 1)
    config = Config()
    config.set_main_option("script_location", opening.__file__.replace("opening.py", "migrations"))
    made = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with made.begin() as connection:
        connection.execute(text("DROP TABLE authorizations"))
        config.attributes["connection"] = connection
        command.stamp(config, "0002")
    made.dispose()
    with pytest.raises(Unavailable), open_store(url, create=False):
        pass
    with open_store(url, seal) as store:
        note = store.notes.get("a")
        assert note is not None and note.value == 1
        kept = store.authorizations.put(replace(ONE, expires=9e9))
        assert store.authorizations.get("one", "session") == kept


def one(ident: str, kind: str = "session", lasts_s: float = 60.0, version: int = 0) -> Authorization:
    return Authorization(ident, kind, "usr_1", time.time() + lasts_s, {"a": ident}, version)


def test_what_is_kept_is_found_by_id_and_kind_until_it_ends(store: Store) -> None:
    kept = store.authorizations.put(one("a"))
    assert store.authorizations.get("a", "session") == kept
    assert store.authorizations.get("a", "code") is None and store.authorizations.of("usr_1", "session") == (kept,)
    store.authorizations.put(one("b", lasts_s=-1))
    assert store.authorizations.get("b", "session") is None
    again = store.authorizations.put(one("a", version=1))
    with pytest.raises(Conflict):
        store.authorizations.put(one("a", version=1))
    assert store.authorizations.take("a", "session") == again and store.authorizations.take("a", "session") is None


def test_strangers_cant_take_the_room_of_others(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorizations, "_COUNTED_EVERY", 1)
    monkeypatch.setattr(authorizations, "MOST_OF_STRANGERS", 3)
    for number in range(3):
        store.authorizations.put(one(f"i{number}", "interaction"))
    for kind in ("interaction", "challenge", "outside", "device", "device-typed"):
        with pytest.raises(TooMany):
            store.authorizations.put(one(f"x-{kind}", kind))
    for kind in ("session", "family", "code", "consent", "revoked", "session-ended", "code-used"):
        store.authorizations.put(one(f"x-{kind}", kind))


def test_what_counts_no_more_is_kept_however_much_there_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorizations, "_COUNTED_EVERY", 1)
    monkeypatch.setattr(authorizations, "MOST", 1)
    store.authorizations.put(one("a"))
    with pytest.raises(TooMany):
        store.authorizations.put(one("b"))
    for kind in ("revoked", "session-ended", "code-used"):
        store.authorizations.put(one(kind, kind))
