"""The tables of keys after a change: rebuilt where something changed, and as a rebuild of everything would make them."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bartizan.compile.read import assemble, read
from bartizan.envoy import message_type
from bartizan.identity.credentials import ALL, Tables, changed, count_alike, have_gone
from bartizan.identity.key_text import ALL_SHARDS
from bartizan.identity.keys import KeyStore
from bartizan.identity.table import holders
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
    assert set(tables.bodies) == set(ALL_SHARDS) == ALL
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


def _ahead(store: KeyStore, folder: Path, *after: str) -> tuple[Tables, bool]:
    """Tables, and whether a change of what is told of acme and beta was told ahead of them."""
    before, now = _snapshot(FRAME, ACME, BETA), _snapshot(*after)
    tables = Tables(store, folder)
    tables.rebuild(before, time.time())
    names = changed(before.consumers, now.consumers)
    told = count_alike(before.consumers, now.consumers, names) and tables.tell_ahead(now.consumers, names)
    return tables, told


def test_a_change_of_what_is_told_needs_no_table(store: KeyStore, tmp_path: Path) -> None:
    key = store.of({"acme"})[0]
    tables, told = _ahead(store, tmp_path, FRAME, ACME.replace("gold", "iron"), BETA)
    assert told and len(tables.ahead) == 6, "each of its keys, and no other's"
    assert f"acme;{key.id};[];iron".encode() in tables.ahead.body()
    now = _snapshot(FRAME, ACME.replace("gold", "iron"), BETA)
    for shard in ALL:
        tables.rebuild(now, time.time(), (shard,))
    assert len(tables.ahead) == 0 and tables.bodies == _anew(store, tmp_path, now)


def test_credentials_that_a_consumer_brings_along_are_told_too(store: KeyStore, tmp_path: Path) -> None:
    before, now = (_snapshot(FRAME, ACME.replace("---\n", PRINT + "---\n").replace("gold", plan), BETA) for plan in ("gold", "iron"))
    tables = Tables(store, tmp_path)
    tables.rebuild(before, time.time())
    assert tables.tell_ahead(now.consumers, {"acme"}) and b"acme;declared-0;[];iron" in tables.ahead.body()


def test_scopes_of_a_key_stay_its_own(store: KeyStore, tmp_path: Path) -> None:
    frame = FRAME.replace("job: string", "scopes: words")
    made = store.new("acme", scopes=("read",))
    before, now = _snapshot(frame, ACME, BETA), _snapshot(frame, ACME.replace("gold", "iron"), BETA)
    tables = Tables(store, tmp_path)
    tables.rebuild(before, time.time())
    assert tables.tell_ahead(now.consumers, {"acme"})
    assert f'acme;{made.id};[];iron;["read"]'.encode() in tables.ahead.body()


@pytest.mark.parametrize(
    "after",
    [
        (FRAME, ACME),
        (FRAME, ACME.replace("attributes", "disabled: true\nattributes"), BETA),
        (FRAME, ACME.replace("attributes", "expires: 2020-01-01T00:00:00Z\nattributes"), BETA),
        (FRAME, ACME, BETA.replace("---\n", "credentials: [{fingerprint: FF}]\n---\n").replace("FF", "a" * 64)),
        (FRAME, ACME.replace("gold", "iron"), BETA + "kind: Consumer\nname: gone\n"),
    ],
)
def test_a_change_of_who_counts_needs_its_tables(store: KeyStore, tmp_path: Path, after: tuple[str, ...]) -> None:
    tables, told = _ahead(store, tmp_path, *after)
    assert not told and len(tables.ahead) == 0


@pytest.mark.parametrize("after", [(FRAME, BETA), (FRAME, ACME.replace("attributes", "disabled: true\nattributes"), BETA)])
def test_who_counts_no_more_is_refused_before_the_tables_are_made(store: KeyStore, tmp_path: Path, after: tuple[str, ...]) -> None:
    before = _snapshot(FRAME, ACME.replace("---\n", PRINT + "---\n"), BETA)
    now = _snapshot(*after)
    tables = Tables(store, tmp_path)
    tables.rebuild(before, time.time())
    names = changed(before.consumers, now.consumers)
    assert names == {"acme"} and have_gone(now.consumers, names) and not have_gone(before.consumers, names)
    assert tables.tell_gone(before.consumers, names) and len(tables.ahead) == 7, "its six keys and its certificate"
    touched = tables.touched(before.consumers, now.consumers)
    tables.rebuild(now, time.time(), touched)
    assert len(tables.ahead) == 0 and "acme" not in _holders(tables)


def test_of_consumers_who_dont_count_nothing_is_told(store: KeyStore, tmp_path: Path) -> None:
    frame = FRAME.replace("---", "---\nkind: Consumer\nname: gone\ndisabled: true\n---", 1)
    before, now = _snapshot(frame, ACME, BETA), _snapshot(frame.replace("disabled", "groups: [a]\ndisabled"), ACME, BETA)
    tables = Tables(store, tmp_path)
    tables.rebuild(before, time.time())
    assert tables.tell_ahead(now.consumers, {"gone", "nobody"}) and len(tables.ahead) == 0


def test_other_attributes_or_another_order_of_them_tell_all_identities_anew(store: KeyStore, tmp_path: Path) -> None:
    first = _snapshot(FRAME, ACME, BETA)
    tables = Tables(store, tmp_path)
    tables.rebuild(first, time.time())
    for attributes in ("{job: string, plan: string}", "{plan: string}"):
        now = _snapshot(FRAME.replace("{plan: string, job: string}", attributes), ACME, BETA)
        tables.rebuild(now, time.time())
        assert tables.bodies == _anew(store, tmp_path, now)


def _holders(tables: Tables) -> set[str]:
    return {consumer for body in tables.bodies.values() for consumer, _ in holders(body)}


def _day(offset: float) -> str:
    return datetime.fromtimestamp(NOON + offset, UTC).isoformat()


NOON = 1_800_000_000.0
PRINT = "credentials: [{fingerprint: FF}]\n".replace("FF", "b" * 64)


def _timed(starts: float | None, expires: float | None, more: str = "") -> str:
    ends = "".join(f"{name}: '{_day(at)}'\n" for name, at in (("starts", starts), ("expires", expires)) if at is not None)
    return ACME.replace("---\n", "") + ends + more + "---\n"


@pytest.mark.parametrize("more", ["", PRINT])
def test_a_consumer_counts_from_its_start_to_its_end_whichever_way_the_clock_goes(store: KeyStore, tmp_path: Path, more: str) -> None:
    now = _snapshot(FRAME, _timed(100, 200, more), BETA)
    tables = Tables(store, tmp_path)
    tables.rebuild(now, NOON)
    assert _holders(tables) == {"beta"}
    own = ALL if more else store.shards_of({"acme"})
    for at, counts in ((99.9, False), (100, True), (199.9, True), (200, False), (1e6, False), (150, True), (50, False)):
        before = "acme" in _holders(tables)
        touched = tables.turned(NOON + at)
        assert touched == (own if before is not counts else frozenset()), at
        tables.rebuild(now, NOON + at, touched)
        assert ("acme" in _holders(tables)) is counts, at
        assert tables.bodies == _at(store, tmp_path, now, NOON + at)


def _at(store: KeyStore, folder: Path, snapshot: Snapshot, now: float) -> dict[str, bytes]:
    tables = Tables(store, folder)
    tables.rebuild(snapshot, now)
    return tables.bodies


def test_all_tables_say_the_same_of_a_consumer_though_its_end_comes_between_two(store: KeyStore, tmp_path: Path) -> None:
    now = _snapshot(FRAME, _timed(None, 10), BETA)
    tables = Tables(store, tmp_path)
    tables.rebuild(now, NOON)
    shards = sorted(store.shards_of({"acme"}))
    tables.rebuild(now, NOON + 11, shards[:1])  # another key of this shard changed, and the clock hasn't been looked at
    assert tables.turned(NOON + 11) == set(shards)
    tables.rebuild(now, NOON + 11, shards)
    assert "acme" not in _holders(tables)


def test_an_edit_of_its_time_holds_at_once(store: KeyStore, tmp_path: Path) -> None:
    before, after = _snapshot(FRAME, _timed(None, -10), BETA), _snapshot(FRAME, _timed(None, 10), BETA)
    tables = Tables(store, tmp_path)
    tables.rebuild(before, NOON)
    assert "acme" not in _holders(tables)
    tables.rebuild(after, NOON, tables.touched(before.consumers, after.consumers))
    assert "acme" in _holders(tables)
    assert tables.turned(NOON) == frozenset()
    assert [one for one in tables.timed_warnings(NOON) if "Consumer/acme: it expires at" in one]


SCOPED = FRAME.replace("job: string", "scopes: words, job: string")


def test_the_scopes_of_a_key_stand_for_its_consumers(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys", Envelope(b"k" * 32))
    wide, narrow, none = store.new("acme"), store.new("acme", scopes=("orders:read",)), store.new("beta", scopes=("a",))
    acme = ACME.replace("plan: gold", "plan: gold, scopes: [everything]")
    tables = Tables(store, tmp_path)
    tables.rebuild(_snapshot(SCOPED, acme, BETA), time.time())
    clients = {one.id: client for one in store.records() for client in [_client(tables, one.key.reveal())]}
    assert clients[wide.id].endswith(';[];gold;["everything"];')
    assert clients[narrow.id].endswith(';[];gold;["orders:read"];')
    assert clients[none.id].endswith(';["ops"];silver;["a"];')
    # Where nothing can ask for them, such a key is refused: it was to do less than its consumer.
    for frame in (FRAME, SCOPED.replace("scopes: words", "scopes: list")):
        tables.rebuild(_snapshot(frame, ACME, BETA), time.time())
        assert {key for body in tables.bodies.values() for _, key in holders(body)} == {wide.id}
    store.close()


def _client(tables: Tables, text: str) -> str:
    config = message_type("envoy.config.core.v3.TypedExtensionConfig").FromString(tables.bodies[text[3]])
    auth = message_type("envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth").FromString(config.typed_config.value)
    (found,) = (one.client for one in auth.credentials if one.key == text)
    return str(found)
