"""The bytes that are hashed and signed: they are a promise to every later version."""

import hashlib

import pytest

from bartizan.errors import Invalid
from bartizan.store import Commit, Entry, Event, canonical
from bartizan.store.model import canonical_form, hash_of, keepable, signed_text


def test_the_canonical_form_of_a_commit_stays() -> None:
    commit = Commit(2, "default", "ab", "cd", "ada", "why ü", 5, "api", ("GET /a",), "ef", "00", b"not part of it")
    assert canonical_form(commit) == (
        b'bartizan commit 1\0{"author":"ada","before":"ef","digest":"cd","door":"api","loosens":["GET /a"],"message":"why \xc3\xbc",'
        b'"number":2,"revision":"ab","signer":"00","team":"default","time_ms":5}'
    )
    assert (commit.parent, commit.time) == (1, 0.005)


def test_the_hash_of_an_entry_stays() -> None:
    entry = Entry(1, 5, Event("ada", "a.b", "t", "o", "done", {"b": 1, "a": None}), "", "", "00", b"")
    text = (
        b'bartizan audit 1\0{"action":"a.b","actor":"ada","before":"","details":{"a":null,"b":1},"number":1,"origin":"o",'
        b'"result":"done","signer":"00","target":"t","time_ms":5}'
    )
    assert hash_of(entry) == hashlib.sha256(text).hexdigest()
    assert signed_text(entry) == b"bartizan audit 1\0"


def test_canonical_form_knows_no_order_and_no_layout() -> None:
    assert canonical({"b": 1.0, "a": ["ü", None]}) == b'{"a":["\xc3\xbc",null],"b":1.0}' == canonical({"a": ["ü", None], "b": 1.0})
    for bad in (1 << 64, "\ud800", {1: 2}):
        with pytest.raises(Invalid, match="can't be kept"):
            canonical(bad)


def test_only_text_that_every_engine_keeps_is_taken() -> None:
    keepable("ok ü 😀", "\x01")
    for bad in ("\0", "\udfff"):
        with pytest.raises(Invalid):
            keepable("ok", bad)
