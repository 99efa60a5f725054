"""Notes: who writes must have seen the last version."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from bartizan.errors import Conflict, Invalid
from bartizan.secrets.seal import Signatures
from bartizan.store import Note, Store, open_store


def test_a_note_outlasts_whoever_wrote_it(store: Store, url: str, seal: Signatures) -> None:
    value = {"stage": 2, "ü": [None, 1.5, "\0"]}
    assert store.notes.put("rollout/1", value) == Note("rollout/1", value, 1)
    with open_store(url, seal) as other:
        assert other.notes.get("rollout/1") == Note("rollout/1", value, 1)
        assert other.notes.put("rollout/1", None, 1).version == 2
    assert store.notes.get("rollout/1") == Note("rollout/1", None, 2)
    assert store.notes.get("rollout/2") is None


def test_who_has_seen_another_version_is_refused(store: Store) -> None:
    store.notes.put("a", 1)
    for seen in (0, 2):
        with pytest.raises(Conflict, match="version 1"):
            store.notes.put("a", 2, seen)
    with pytest.raises(Conflict, match="version 0"):
        store.notes.put("b", 2, 1)
    assert store.notes.get("a") == Note("a", 1, 1)


def test_notes_are_listed_by_their_beginning(store: Store) -> None:
    for key in ("rollout/2", "rollout/1", "Rollout/3", "rollout", "roll_ut/4"):
        store.notes.put(key, key)
    assert [one.key for one in store.notes.under("rollout/")] == ["rollout/1", "rollout/2"]
    assert [one.key for one in store.notes.under("roll_ut/")] == ["roll_ut/4"]


def test_no_update_is_lost(url: str, seal: Signatures) -> None:
    with open_store(url, seal) as store:
        store.notes.put("count", 0)

        def add(_: int) -> None:
            while True:
                note = store.notes.get("count")
                assert note is not None and isinstance(note.value, int)
                try:
                    store.notes.put("count", note.value + 1, note.version)
                    return
                except Conflict:
                    continue

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(add, range(24)))
        assert store.notes.get("count") == Note("count", 24, 25)


def test_what_cant_be_kept_is_refused(store: Store) -> None:
    for key, value in (("a\0", 1), ("a", 1 << 64)):
        with pytest.raises(Invalid):
            store.notes.put(key, value)
