"""The audit log: it only grows, and whatever is done to it behind its back shows."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from bartizan.errors import Invalid, Unavailable
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.seal import Signatures
from bartizan.secrets.signing import SigningKey
from bartizan.store import Event, Head, Store, Tampered, Wanted, open_store
from bartizan.store.model import hash_of, signed_text
from tests.unit.store.meddling import meddle

EVENT = Event("ada", "rollout.promote", "revision/12", "127.0.0.1", "done", {"stage": 2, "why": ["ü", None]})


def grown(store: Store, count: int) -> list[Head]:
    made = [store.audit.append(replace(EVENT, target=f"revision/{i + 1}")) for i in range(count)]
    return [Head(one.number, one.hash) for one in made]


def test_what_is_appended_is_there_in_its_order(store: Store, url: str, seal: Signatures) -> None:
    first, second = store.audit.append(EVENT), store.audit.append(replace(EVENT, actor="bob", details={}))
    assert (first.number, first.before, second.number, second.before) == (1, "", 2, first.hash)
    with open_store(url, seal) as other:
        assert other.audit.entries() == (first, second)
    assert store.audit.verify() == (Head(2, second.hash), ())
    assert all(map(store.audit.is_genuine, (first, second)))
    assert not store.audit.is_genuine(replace(first, event=replace(EVENT, actor="eve")))


def test_entries_are_chosen(url: str, seal: Signatures) -> None:
    clock = iter(range(1, 100))
    with open_store(url, seal, clock=lambda: next(clock)) as store:
        for actor, action in (("ada", "rollout.promote"), ("bob", "rollout"), ("ada", "rollouts.list"), ("ada", "rollout.abort")):
            store.audit.append(replace(EVENT, actor=actor, action=action))

        def numbers(wanted: Wanted) -> list[int]:
            return [one.number for one in store.audit.entries(wanted)]

        assert numbers(Wanted(action="rollout")) == [1, 2, 4]
        assert numbers(Wanted(actor="ada", action="rollout")) == [1, 4]
        assert numbers(Wanted(after=1, limit=2)) == [2, 3]
        assert numbers(Wanted(limit=2, newest=True)) == [3, 4]
        assert numbers(Wanted(since_ms=3000)) == [3, 4]
        assert numbers(Wanted(action="rollout_promote")) == []


def test_writers_at_once_take_turns(url: str, seal: Signatures, tmp_path: Path) -> None:
    stores = [open_store(url, seal, head=tmp_path / "audit.head") for _ in range(3)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda i: stores[i % 3].audit.append(replace(EVENT, target=str(i))), range(30)))
    last, findings = stores[0].audit.verify()
    assert (last and last.number, findings) == (30, ())
    assert stores[0].audit.kept_head() == last
    assert {one.event.target for one in stores[0].audit.entries()} == {str(i) for i in range(30)}
    for one in stores:
        one.close()


@pytest.mark.parametrize(
    "verb", ["UPDATE audit SET actor = 'eve'", "DELETE FROM audit", "DELETE FROM commits", "UPDATE objects SET hash = 'x'"]
)
def test_the_engine_itself_refuses_to_change_it(verb: str, store: Store) -> None:
    grown(store, 1)
    if verb.split()[-1] == "commits" or "objects" in verb:
        with store.database.writing("schema") as connection:
            connection.execute(text("INSERT INTO objects (hash, body) VALUES ('a', 'b')"))
            values = "'t', 1, 'r', 'd', 'a', 'm', 1, 'files', '[]', '', '', 'x'"
            connection.execute(text(f"INSERT INTO commits VALUES ({values})"))
    with pytest.raises(Unavailable, match="only grows"), store.database.writing("schema") as connection:
        connection.execute(text(verb))


def test_sqlite_doesnt_replace_an_entry_either(store: Store) -> None:
    grown(store, 1)
    if not store.database.name.endswith(".db"):
        return  # PostgreSQL has no such statement
    with pytest.raises(Unavailable, match="only grows"), store.database.writing("schema") as connection:
        connection.execute(text("INSERT OR REPLACE INTO audit SELECT * FROM audit"))


@pytest.mark.parametrize(
    "edit",
    [
        "actor = 'eve'",
        "action = 'x'",
        "target = 'x'",
        "origin = 'x'",
        "result = 'refused'",
        "details = '{}'",
        "details = 'no JSON'",
        "time_ms = time_ms + 1",
        "before = ''",
        "hash = 'x'",
        "signer = 'ab'",
        "details = '[]'",
        "signature = (SELECT signature FROM audit WHERE number = 1)",
    ],
)
def test_any_edit_is_found(edit: str, store: Store) -> None:
    grown(store, 5)
    meddle(store, f"UPDATE audit SET {edit} WHERE number = 3")
    numbers = {one.number for one in store.audit.verify()[1]}
    assert 3 in numbers
    assert numbers <= {3, 4}


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (["DELETE FROM audit WHERE number IN (2, 3)"], {(4, "entries 2 to 3 are missing")}),
        (["DELETE FROM audit WHERE number = 1"], {(2, "entries 1 to 1 are missing")}),
        (["DELETE FROM audit WHERE number > 3"], {(5, "the log was cut off: it ends with 3, and went on to 5")}),
        (["DELETE FROM audit"], {(5, "the log was cut off: it ends with 0, and went on to 5")}),
        (
            [
                "UPDATE audit SET number = 9 WHERE number = 2",
                "UPDATE audit SET number = 2 WHERE number = 3",
                "UPDATE audit SET number = 3 WHERE number = 9",
            ],
            {(2, "doesn't follow the entry before"), (3, "doesn't follow the entry before"), (4, "doesn't follow the entry before")},
        ),
    ],
)
def test_gaps_reordering_and_a_cut_end_are_found(statements: list[str], told: set[tuple[int, str]], store: Store) -> None:
    grown(store, 5)
    meddle(store, *statements)
    assert told <= {(one.number, one.message) for one in store.audit.verify()[1]}


def test_who_cannot_sign_cannot_forge_a_whole_new_log(store: Store, seal: Signatures, tmp_path: Path) -> None:
    """Every hash is right, every number is there; only the key isn't."""
    grown(store, 2)
    mallory = Signatures(SigningKey(tmp_path / "mallory.key", Envelope(bytes(range(32)))))
    entry = store.audit.entries()[1]
    forged = replace(entry, event=replace(entry.event, actor="nobody"), signer=mallory.signer)
    forged = replace(forged, hash=hash_of(forged))
    signature = mallory.sign(signed_text(forged)).hex()
    binary = f"X'{signature}'" if store.database.name.endswith(".db") else f"decode('{signature}', 'hex')"
    told = f"actor = 'nobody', hash = '{forged.hash}', signer = '{forged.signer}', signature = {binary}"
    meddle(store, f"UPDATE audit SET {told} WHERE number = 2")
    (tmp_path / "audit.head").unlink()
    found = store.audit.verify()[1]
    assert (2, "wasn't signed with a key that is trusted") in {(one.number, one.message) for one in found}


def test_a_cut_is_found_by_a_head_that_was_written_down(store: Store, tmp_path: Path) -> None:
    heads = grown(store, 5)
    (tmp_path / "audit.head").unlink()
    assert [one.message for one in store.audit.verify()[1]] == [
        f"the file {tmp_path / 'audit.head'} is gone, so nothing tells whether the end was cut off"
    ]
    assert store.audit.verify(heads[2])[1] == ()
    assert [one.number for one in store.audit.verify(Head(3, heads[1].hash))[1]] == [3]
    meddle(store, "DELETE FROM audit WHERE number > 2")
    assert [one.number for one in store.audit.verify(heads[4])[1]] == [5]


def test_nothing_is_appended_behind_a_cut(store: Store) -> None:
    grown(store, 5)
    meddle(store, "DELETE FROM audit WHERE number > 2")
    with pytest.raises(Tampered, match=r"cut off or replaced: entry 5"):
        store.audit.append(EVENT)
    assert len(store.audit.entries()) == 2


def test_an_entry_that_a_crash_kept_from_the_head_is_no_finding(store: Store, tmp_path: Path) -> None:
    grown(store, 2)
    old = (tmp_path / "audit.head").read_bytes()
    grown(store, 1)
    (tmp_path / "audit.head").write_bytes(old)
    assert store.audit.verify()[1] == ()
    grown(store, 1)
    assert store.audit.kept_head() == store.audit.verify()[0]


def test_what_cant_be_kept_is_refused_alike(store: Store) -> None:
    for bad in (replace(EVENT, actor="a\0"), replace(EVENT, details={"n": 1 << 70})):
        with pytest.raises(Invalid):
            store.audit.append(bad)
    store.audit.append(replace(EVENT, details={"nul": "\0"}))
    assert store.audit.verify()[1] == ()


def test_who_opened_it_for_reading_cant_append(url: str, seal: Signatures) -> None:
    open_store(url, seal).close()
    with open_store(url) as store, pytest.raises(Unavailable, match="for reading"):
        store.audit.append(EVENT)
