"""Revisions: what was committed is there, in its line, and nothing else passes for it."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from bartizan.errors import Conflict, Invalid, NotFound, Unavailable
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.seal import Signatures
from bartizan.secrets.signing import SigningKey
from bartizan.store import Change, Commit, Content, Store, Tampered, canonical, open_store
from bartizan.store.model import canonical_form
from tests.unit.store.lives import seal as seal_of_lives
from tests.unit.store.meddling import meddle

ROOT = Path(__file__).parents[3]

FIRST = Change(None, "ada", "the first", "files")


def content(number: int, *names: str) -> Content:
    documents = {("Api", name): canonical({"kind": "Api", "name": name, "paths": [f"/{name}"]}) for name in names}
    return Content(f"{number:016x}", {**documents, ("Gateway", "edge"): b'{"kind":"Gateway","name":"edge"}'}, {"list.txt": b"\x00\xff"})


def line(store: Store, count: int) -> list[Commit]:
    return [store.revisions.commit(content(i + 1), replace(FIRST, parent=i or None, message=f"number {i + 1}")) for i in range(count)]


def test_what_is_committed_is_there_for_whoever_opens_the_store_next(store: Store, url: str, seal: Signatures) -> None:
    assert store.revisions.head() is None
    change = replace(FIRST, message="ünïcode\n'; DROP TABLE commits; --", loosens=("GET /a is public now",))
    commit = store.revisions.commit(content(1, "a", "b"), change)
    assert (commit.number, commit.parent, commit.before, commit.loosens) == (1, None, "", change.loosens)
    with open_store(url, seal) as other:
        assert other.revisions.head() == commit
        assert other.revisions.content(commit) == content(1, "a", "b")
    assert seal.verify(commit.signer, canonical_form(commit), commit.signature)


def test_names_with_slashes_and_odd_files_come_back_as_they_were(store: Store) -> None:
    odd = Content("a" * 16, {("Api", "team/orders"): b"{}", ("Api", "ö"): b'{"x":1}'}, {"/etc/list": b"", "ä/../b": b"x" * 300_000})
    assert store.revisions.content(store.revisions.commit(odd, FIRST)) == odd


def test_who_comes_second_is_told_who_was_faster(store: Store) -> None:
    line(store, 2)
    with pytest.raises(Conflict, match=r"ada was faster: commit 2 \(revision 0000000000000002: 'number 2'\).*started from 1"):
        store.revisions.commit(content(9), replace(FIRST, parent=1))
    with pytest.raises(Conflict, match="started from none"):
        store.revisions.commit(content(9), FIRST)
    with pytest.raises(Conflict, match="other has none yet"):
        store.revisions.commit(content(9), replace(FIRST, parent=2, team="other"))
    assert [one.number for one in store.revisions.commits()] == [2, 1]


def test_of_writers_at_once_exactly_one_wins_each_round(url: str, seal: Signatures) -> None:
    stores = [open_store(url, seal) for _ in range(4)]

    def attempt(parent: int | None, i: int) -> int:
        try:
            stores[i].revisions.commit(content(100 * (parent or 0) + i, f"own{i}", "shared"), replace(FIRST, parent=parent, author=f"w{i}"))
        except Conflict:
            return 0
        return 1

    with ThreadPoolExecutor(4) as pool:
        for round_ in range(8):
            assert sum(pool.map(attempt, [round_ or None] * 4, range(4))) == 1
    assert [one.number for one in stores[0].revisions.commits()] == list(range(8, 0, -1))
    assert not list(stores[0].revisions.findings())
    for one in stores:
        one.close()


def test_writers_who_try_again_all_get_in_and_nothing_is_lost(url: str, seal: Signatures) -> None:
    stores = [open_store(url, seal) for _ in range(3)]

    def write(i: int) -> None:
        for j in range(5):
            while True:
                head = stores[i].revisions.head()
                try:
                    change = replace(FIRST, parent=head.number if head else None, message=f"{i}/{j}")
                    stores[i].revisions.commit(content(i * 10 + j, f"a{i}"), change)
                    break
                except Conflict:
                    continue

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, range(3)))
    assert {one.message for one in stores[0].revisions.commits()} == {f"{i}/{j}" for i in range(3) for j in range(5)}
    for one in stores:
        one.close()


WRITER = """
import sys
from pathlib import Path
from bartizan.errors import Conflict
from bartizan.store import Change, Content, open_store
from tests.unit.store.lives import seal
store, done, lost = open_store(sys.argv[1], seal(Path(sys.argv[2]))), 0, 0
while done < 15:
    head = store.revisions.head()
    change = Change(head.number if head else None, sys.argv[3], str(done), "files")
    try:
        print(store.revisions.commit(Content(f"{done:016x}", {("Api", sys.argv[3] + str(done)): b"{}"}), change).number)
        done += 1
    except Conflict:
        lost += 1
"""


def test_processes_at_once_lose_nothing_and_never_hang(url: str, tmp_path: Path) -> None:
    seal_of_lives(tmp_path)
    command = [sys.executable, "-c", WRITER, url, tmp_path]
    writers = [subprocess.Popen([*command, f"w{i}"], cwd=ROOT, stdout=subprocess.PIPE, text=True) for i in range(3)]
    told = [[int(line) for line in writer.communicate(timeout=60)[0].split()] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert sorted(number for numbers in told for number in numbers) == list(range(1, 46))
    with open_store(url, seal_of_lives(tmp_path)) as store:
        assert not list(store.revisions.findings())
        for i, numbers in enumerate(told):
            commits = [store.revisions.find(str(number)) for number in numbers]
            assert [(one.author, one.message) for one in commits] == [(f"w{i}", str(j)) for j in range(15)]
            assert all(("Api", f"w{i}{j}") in store.revisions.content(one).resources for j, one in enumerate(commits))


def test_teams_have_lines_of_their_own(store: Store) -> None:
    line(store, 2)
    other = store.revisions.commit(content(7), replace(FIRST, team="payments"))
    assert other.number == 1
    assert (store.revisions.head(), store.revisions.head("payments")) == (store.revisions.find("2"), other)
    assert store.revisions.teams() == {"default": 2, "payments": 1}


def test_the_log_goes_backwards_in_pages(store: Store) -> None:
    line(store, 5)
    assert [one.number for one in store.revisions.commits(limit=2)] == [5, 4]
    assert [one.number for one in store.revisions.commits(before=4, limit=2)] == [3, 2]


def test_a_revision_is_found_by_number_name_or_beginning(store: Store) -> None:
    for i, revision in enumerate(("abcd000000000001", "abcd000000000002", "1234000000000000", "abcd000000000001")):
        store.revisions.commit(replace(content(1), revision=revision), replace(FIRST, parent=i or None))
    find = store.revisions.find
    assert find("2").number == 2
    assert find("abcd000000000001").number == 4  # the newest with it
    assert find("1234").number == 3  # no number so high, so it is the beginning of a name
    with pytest.raises(Invalid, match="Several revisions begin with abcd"):
        find("abcd")
    for text_ in ("5", "ffff"):
        with pytest.raises(NotFound):
            find(text_)
    for text_ in ("", "abc", "ABCD", "%", "abcd%", "-1", "1 OR 1=1"):
        with pytest.raises(Invalid):
            find(text_)


def test_what_revisions_share_is_kept_once(store: Store) -> None:
    names = [f"api{i}" for i in range(300)]
    store.revisions.commit(content(1, *names), FIRST)
    first = _objects(store)
    store.revisions.commit(content(2, *names, "another"), replace(FIRST, parent=1))
    assert _objects(store) - first == 3  # the document, the list it is in, the root
    store.revisions.commit(content(1, *names), replace(FIRST, parent=2, door="rollback"))
    assert _objects(store) - first == 3


def _objects(store: Store) -> int:
    with store.database.reading() as connection:
        found: int = connection.execute(text("SELECT count(*) FROM objects")).scalar_one()
        return found


@pytest.mark.parametrize(
    "edit",
    [
        "author = 'eve'",
        "message = 'x'",
        "time_ms = time_ms + 1",
        "door = 'api'",
        "revision = 'ffffffffffffffff'",
        "digest = (SELECT digest FROM commits WHERE number = 1)",
        "loosens = '[]'",
        "loosens = 'no JSON'",
        "signature = (SELECT signature FROM commits WHERE number = 1)",
        "before = ''",
        "signer = 'ab'",
    ],
)
def test_an_edited_commit_is_never_served(edit: str, store: Store) -> None:
    store.revisions.commit(content(1), FIRST)
    store.revisions.commit(content(2), replace(FIRST, parent=1, loosens=("a",)))
    meddle(store, f"UPDATE commits SET {edit} WHERE number = 2")
    for ask in (store.revisions.head, lambda: store.revisions.find("2"), store.revisions.commits):
        with pytest.raises(Tampered):
            ask()
    with pytest.raises(Tampered):
        store.revisions.commit(content(3), replace(FIRST, parent=2))
    assert {one.number for one in store.revisions.findings()} == {2}


def test_a_commit_that_is_taken_away_is_missed(store: Store) -> None:
    line(store, 4)
    meddle(store, "DELETE FROM commits WHERE number = 2")
    assert [one.message for one in store.revisions.findings()] == ["default: commits 2 to 2 are missing"]


@pytest.mark.parametrize(("change", "told"), [("UPDATE objects SET body = :b", "was changed"), ("DELETE FROM objects", "is gone")])
def test_changed_content_is_never_served(change: str, told: str, store: Store) -> None:
    commit = store.revisions.commit(content(1, "a", "b"), FIRST)
    with store.database.reading() as connection:
        names = connection.execute(text("SELECT hash FROM objects ORDER BY hash")).scalars().all()
    assert not store.revisions.content_findings()
    meddle(store, f"{change} WHERE hash = '{names[0]}'".replace(":b", "CAST('{}' AS BLOB)" if _is_sqlite(store) else "'{}'::bytea"))
    with pytest.raises(Tampered, match=told):
        store.revisions.content(commit)
    assert [told in one.message and names[0][:16] in one.message for one in store.revisions.content_findings()] == [True]


def _is_sqlite(store: Store) -> bool:
    return store.database.name.endswith(".db")


def test_another_key_isnt_believed(url: str, seal: Signatures, tmp_path: Path) -> None:
    other = SigningKey(tmp_path / "other.key", Envelope(bytes(range(32))))
    with open_store(url, Signatures(other)) as store:
        commit = store.revisions.commit(content(1), FIRST)
    with open_store(url, seal) as store, pytest.raises(Tampered, match="key that isn't trusted"):
        store.revisions.head()
    with open_store(url, Signatures(trusted=[other.public])) as store:
        assert store.revisions.head() == commit
        with pytest.raises(Unavailable, match="only public keys"):
            store.revisions.commit(content(2), replace(FIRST, parent=1))


def test_who_opened_it_for_reading_cant_commit(url: str, seal: Signatures) -> None:
    open_store(url, seal).close()
    with open_store(url) as store, pytest.raises(Unavailable, match="for reading"):
        store.revisions.commit(content(1), FIRST)


@pytest.mark.parametrize("bad", ["a\0b", "\ud800"])
def test_text_that_cant_be_kept_is_refused_alike(bad: str, store: Store) -> None:
    with pytest.raises(Invalid, match="can't be kept"):
        store.revisions.commit(content(1), replace(FIRST, message=bad))
    assert store.revisions.head() is None


def test_a_signer_that_fails_leaves_nothing_behind(url: str, seal: Signatures, make_failing: Callable[[Signatures], Signatures]) -> None:
    with open_store(url, make_failing(seal)) as store:
        with pytest.raises(RuntimeError):
            store.revisions.commit(content(1), FIRST)
        assert (store.revisions.head(), _objects(store)) == (None, 0)
    with open_store(url, seal) as store:
        assert store.revisions.commit(content(1), FIRST).number == 1


@pytest.fixture
def make_failing() -> Callable[[Signatures], Signatures]:
    class Failing(Signatures):
        def sign(self, text: bytes) -> bytes:
            raise RuntimeError("the hardware is gone")

    return lambda seal: Failing(seal._key)
