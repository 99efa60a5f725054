"""What an authorization server remembers: kept on every engine, bounded, and never so full that nothing can be ended."""

import time

import pytest

from bartizan.errors import Conflict, TooMany
from bartizan.store import Authorization, Store, authorizations


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
