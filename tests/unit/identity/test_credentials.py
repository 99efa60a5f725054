"""The tables of keys after a change: rebuilt where something changed, and as a rebuild of everything would make them."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bartizan.compile.read import assemble, read
from bartizan.identity.credentials import ALL, Tables
from bartizan.identity.key_text import OTHER, SHARDS
from bartizan.identity.keys import KeyStore
from bartizan.model.snapshot import Snapshot
from bartizan.secrets.envelope import Envelope

FRAME = "kind: Gateway\nname: edge\nlisteners: [{name: web, address: '127.0.0.1:1'}]\nattributes: {plan: string, job: string}\n---\n"
ACME = "kind: Consumer\nname: acme\nattributes: {plan: gold}\n---\n"
BETA = "kind: Consumer\nname: beta\nattributes: {plan: silver}\ngroups: [ops]\n---\n"


def _snapshot(*texts: str) -> Snapshot:
    found = assemble([read("".join(texts), "x.yaml")], {})
    assert isinstance(found, Snapshot), found
    return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KeyStore]:
    made = KeyStore(tmp_path / "keys", Envelope(b"k" * 32))
    for name in ("acme", "beta", "acme", "gone") * 3:
        made.new(name)
    yield made
    made.close()


def _anew(store: KeyStore, folder: Path, snapshot: Snapshot) -> dict[str, bytes]:
    tables = Tables(store, folder)
    tables.rebuild(snapshot, time.time())
    return tables.bodies


@pytest.mark.parametrize(
    "after",
    [
        (FRAME, ACME, BETA),
        (FRAME, ACME.replace("gold", "iron"), BETA),
        (FRAME, ACME, BETA + "kind: Consumer\nname: gone\n"),
        (FRAME, ACME),
        (FRAME, ACME.replace("attributes", "disabled: true\nattributes"), BETA),
        (FRAME, ACME, BETA.replace("[ops]", "[ops, dev]\ncredentials: [{fingerprint: FF}]").replace("FF", "a" * 64)),
    ],
)
def test_what_a_change_touches_is_made_anew(store: KeyStore, tmp_path: Path, after: tuple[str, ...]) -> None:
    before, now = _snapshot(FRAME, ACME, BETA), _snapshot(*after)
    tables = Tables(store, tmp_path)
    tables.rebuild(before, time.time())
    assert set(tables.bodies) == {*SHARDS, OTHER} == ALL
    touched = tables.touched(before.consumers, now.consumers)
    tables.rebuild(now, time.time(), touched)
    assert tables.bodies == _anew(store, tmp_path, now)
    assert bool(touched) == (before.consumers != now.consumers)


def test_what_isnt_touched_keeps_its_very_bytes(store: KeyStore, tmp_path: Path) -> None:
    now = _snapshot(FRAME, ACME, BETA)
    tables = Tables(store, tmp_path)
    tables.rebuild(now, time.time())
    held = dict(tables.bodies)
    record = store.revoke(store.records()[0].id)
    changes = store.poll()
    assert changes is not None and len(changes.shards) >= 1
    tables.rebuild(now, time.time(), frozenset(record.key.reveal()[3]))
    assert [shard for shard in held if tables.bodies[shard] is not held[shard]] == [record.key.reveal()[3]]


def test_other_attributes_or_another_order_of_them_tell_all_identities_anew(store: KeyStore, tmp_path: Path) -> None:
    first = _snapshot(FRAME, ACME, BETA)
    tables = Tables(store, tmp_path)
    tables.rebuild(first, time.time())
    for attributes in ("{job: string, plan: string}", "{plan: string}"):
        now = _snapshot(FRAME.replace("{plan: string, job: string}", attributes), ACME, BETA)
        tables.rebuild(now, time.time())
        assert tables.bodies == _anew(store, tmp_path, now)
