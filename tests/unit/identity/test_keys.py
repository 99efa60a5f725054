"""The key store: keys come, go and expire, are seen by other processes, and stay gone."""

import binascii
import multiprocessing
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from bartizan.errors import Conflict, Invalid, NotFound, Unavailable
from bartizan.identity.journal import Journal
from bartizan.identity.key_record import WantedKey
from bartizan.identity.key_text import SHARDS, is_wellformed, key_text, shard_of
from bartizan.identity.keys import KeyStore
from bartizan.secrets.envelope import Envelope, Tampered
from bartizan.secrets.sealed import Secret

ENVELOPE = Envelope(b"k" * 32)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def opened(folder: Path, clock: Clock | None = None) -> KeyStore:
    return KeyStore(folder / "keys", ENVELOPE, clock or Clock())


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return opened(tmp_path)


def test_a_new_key_is_live_and_kept(store: KeyStore, tmp_path: Path) -> None:
    made = store.new("acme", name="ci", expires=2000)
    assert is_wellformed(made.key.reveal())
    for seen in (store, opened(tmp_path)):
        (record,) = seen.records()
        assert (record.id, record.consumer, record.name, record.key, record.created, record.expires) == (
            made.id,
            "acme",
            "ci",
            made.key,
            1000.0,
            2000.0,
        )
        assert seen.generation == 1


def test_no_key_stands_in_a_text_or_in_the_file(store: KeyStore, tmp_path: Path) -> None:
    made = store.new("acme")
    shown = [repr(made), str(made), repr(store.records()), repr(store), repr(store.poll()), (tmp_path / "keys").read_text()]
    assert all(made.key.reveal() not in text for text in shown)


def test_a_revoked_key_is_gone_for_good(store: KeyStore, tmp_path: Path) -> None:
    made, kept = store.new("acme"), store.new("acme")
    assert store.revoke(made.id).id == made.id
    assert [record.id for record in store.records()] == [kept.id]
    assert store.generation == 3
    for seen in (store, opened(tmp_path)):
        with pytest.raises(NotFound, match=made.id):
            seen.revoke(made.id)
        with pytest.raises(Conflict, match="stays so"):
            seen.add(WantedKey("acme"), made.key)
        assert seen.generation == 3


def test_a_key_is_brought_along_once(store: KeyStore) -> None:
    text = Secret(key_text())
    ident = store.add(WantedKey("acme"), text).id
    with pytest.raises(Conflict, match=f"{ident} of acme") as caught:
        store.add(WantedKey("other"), text)
    assert text.reveal() not in str(caught.value)
    assert store.records()[0].key == text


@pytest.mark.parametrize(
    "text",
    ["", "short", "bz_a", key_text()[:-1], key_text() + "0", key_text().upper(), " " + key_text()],
    ids=["empty", "short", "prefix", "cut", "longer", "upper", "spaced"],
)
def test_what_is_no_key_is_not_taken_nor_shown(store: KeyStore, text: str) -> None:
    with pytest.raises(Invalid, match="mistyped") as caught:
        store.add(WantedKey("acme"), Secret(text))
    assert len(text) < 6 or text not in str(caught.value)
    assert store.generation == 0


@pytest.mark.parametrize(("consumer", "name"), [("", ""), ("a;b", ""), ("a\n", ""), ("acme", "x;y"), ("acme", "\0"), ("acme", "n" * 300)])
def test_names_that_could_be_read_as_something_else_are_refused(store: KeyStore, consumer: str, name: str) -> None:
    with pytest.raises(Invalid):
        store.new(consumer, name=name)


@pytest.mark.parametrize("expires", [1000, 999, 0, -1, float("nan"), float("inf"), 2e12])
def test_a_key_expires_in_the_future_or_never(store: KeyStore, expires: float) -> None:
    with pytest.raises(Invalid, match="expire"):
        store.new("acme", expires=expires)


def test_expired_keys_do_not_count_and_their_shards_are_known(store: KeyStore) -> None:
    forever, soon, late = store.new("acme"), store.new("acme", expires=1010), store.new("acme", expires=1020.5)
    ids = {"forever": forever.id, "soon": soon.id, "late": late.id}

    def live(now: float) -> set[str]:
        found = {record.id for record in store.live(now)}
        return {name for name, ident in ids.items() if ident in found}

    assert live(1009.9) == {"forever", "soon", "late"}
    assert live(1010) == {"forever", "late"}
    assert live(1020.5) == {"forever"}
    assert store.shards_expired(1009, 1010) == {shard_of(soon.key.reveal())}
    assert store.shards_expired(1010, 1020) == frozenset()
    assert len(store.records()) == 3
    assert store.shards_expired(1020, 1021) == {shard_of(late.key.reveal())}
    store.revoke(late.id)
    assert store.shards_expired(1020, 1021) == frozenset()


def test_scopes_are_kept_and_told(store: KeyStore, tmp_path: Path) -> None:
    made, plain = store.new("acme", scopes=("orders:read", "orders:write")), store.new("acme")
    for seen in (store, opened(tmp_path)):
        assert seen.record(made.id).scopes == ("orders:read", "orders:write")
        assert seen.record(plain.id).scopes == ()
        assert [one.id for one in seen.scoped()] == [made.id]
    with pytest.raises(Invalid, match="no scope"):
        store.new("acme", scopes=("a b",))


def test_a_version_that_knows_no_scopes_refuses_such_a_key(store: KeyStore, tmp_path: Path) -> None:
    store.new("acme", scopes=("orders:read",))
    events = [orjson.loads(one)[0] for one in Journal(tmp_path / "keys", ENVELOPE, "keys").read()]
    assert events == ["add-scoped"]  # an older version would let it do everything if it were an "add"


def test_a_rotated_key_ends_after_the_overlap_and_its_successor_is_like_it(tmp_path: Path) -> None:
    clock = Clock()
    store = opened(tmp_path, clock)
    old = store.new("acme", name="ci", expires=1500, scopes=("orders:read",))
    store.poll()
    made, ending = store.rotate(old.id, 60)
    assert (ending.id, ending.expires, ending.successor) == (old.id, 1060.0, made.id)
    changes = store.poll()
    assert changes is not None and changes.added == (made.id,) and changes.revoked == ()
    assert changes.shards == {shard_of(old.key.reveal()), shard_of(made.key.reveal())}
    for seen in (store, opened(tmp_path)):
        new = seen.record(made.id)
        assert (new.consumer, new.name, new.scopes, new.created, new.expires) == ("acme", "ci", ("orders:read",), 1000.0, 1500.0)
        assert new.key == made.key != old.key and is_wellformed(made.key.reveal())
        assert {one.id for one in seen.live(1059.9)} == {old.id, made.id}
        assert {one.id for one in seen.live(1060)} == {made.id}
        assert seen.shards_expired(1059, 1060) == {shard_of(old.key.reveal())}


def test_an_overlap_makes_no_key_last_longer_than_it_was_to(store: KeyStore) -> None:
    old = store.new("acme", expires=1010)
    _, ending = store.rotate(old.id, 3600)
    assert ending.expires == 1010.0


def test_a_key_is_rotated_once(store: KeyStore) -> None:
    old = store.new("acme")
    first, _ = store.rotate(old.id, 60)
    with pytest.raises(Conflict, match=first.id):
        store.rotate(old.id, 60)
    assert store.rotate(first.id, 60)[1].id == first.id


def test_what_cant_be_rotated_is_refused(store: KeyStore) -> None:
    made = store.new("acme")
    for overlap in (0, -1, float("nan"), float("inf")):
        with pytest.raises(Invalid, match="overlap"):
            store.rotate(made.id, overlap)
    with pytest.raises(Invalid, match="expire"):
        store.rotate(made.id, 60, 999)
    store.revoke(made.id)
    for ident in (made.id, "key_none"):
        with pytest.raises(NotFound, match=ident):
            store.rotate(ident, 60)
    assert store.generation == 2


def test_one_shard_can_be_asked_for_alone(store: KeyStore) -> None:
    made = [store.new("acme") for _ in range(40)]
    shard = shard_of(made[0].key.reveal())
    found = {record.id for record in store.live(0, [shard])}
    assert found == {key.id for key in made if shard_of(key.key.reveal()) == shard}
    assert store.shards_of({"acme"}) == {shard_of(key.key.reveal()) for key in made}
    assert store.shards_of({"other"}) == frozenset()
    assert {one.id for one in store.of({"acme"})} == {key.id for key in made} and store.of(()) == store.of({"other"}) == ()


def test_poll_tells_what_others_did_and_what_we_did(store: KeyStore, tmp_path: Path) -> None:
    other = opened(tmp_path)
    assert store.poll() is None
    theirs = other.new("acme")
    ours = store.new("acme")  # reads theirs on its way
    changes = store.poll()
    assert changes is not None
    assert (changes.generation, changes.added, changes.revoked) == (2, (theirs.id, ours.id), ())
    assert changes.shards == {shard_of(theirs.key.reveal()), shard_of(ours.key.reveal())}
    assert store.poll() is None
    other.revoke(ours.id)
    changes = store.poll()
    assert changes is not None
    assert (changes.generation, changes.shards, changes.revoked) == (3, {shard_of(ours.key.reveal())}, (ours.id,))
    assert [record.id for record in store.records()] == [theirs.id]


def test_a_key_made_and_revoked_between_two_polls_is_told_as_both(store: KeyStore, tmp_path: Path) -> None:
    other = opened(tmp_path)
    made = other.new("acme")
    other.revoke(made.id)
    changes = store.poll()
    assert changes is not None
    assert changes.added == changes.revoked == (made.id,)


def test_what_was_revoked_before_damage_counts_before_the_damage_is_told(store: KeyStore, tmp_path: Path) -> None:
    made = store.new("acme")
    store.poll()
    opened(tmp_path).revoke(made.id)
    with (tmp_path / "keys").open("ab") as file:
        file.write(b"AAAA\n")
    changes = store.poll()
    assert changes is not None
    assert changes.revoked == (made.id,)
    for _ in range(2):
        with pytest.raises(Tampered, match="keys/3"):
            store.poll()
    with pytest.raises(Tampered):
        store.new("acme")


def test_a_record_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "keys", ENVELOPE, "keys")
    with journal.locked():
        journal.append(orjson.dumps(["rename", "key_a"]))
    with pytest.raises(Unavailable, match="doesn't know"):
        opened(tmp_path)


def write(path: Path, start: float) -> list[str]:
    store = KeyStore(path, ENVELOPE)
    time.sleep(max(0.0, start - time.time()))  # so that all write at the same time
    made = [store.new("acme").id for _ in range(100)]
    for ident in made[:5]:
        store.revoke(ident)
    return made[5:]


def test_many_processes_write_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        start = time.time() + 1.5
        kept = [ident for idents in pool.starmap(write, [(tmp_path / "keys", start)] * 4, chunksize=1) for ident in idents]
    store = opened(tmp_path)
    assert {record.id for record in store.records()} == set(kept)
    assert len(kept) == 4 * 95
    assert store.generation == 4 * 105


KILLED = """
import sys, pathlib
from bartizan.identity.key_record import WantedKey
from bartizan.identity.keys import KeyStore
from bartizan.secrets.envelope import Envelope
store = KeyStore(pathlib.Path(sys.argv[1]), Envelope(b"k" * 32))
while True:
    print(store.new("acme").id, flush=True)
"""


def test_a_writer_that_is_killed_loses_no_key_it_told_of(tmp_path: Path) -> None:
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", KILLED, tmp_path / "keys"], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            told = [writer.stdout.readline().strip() for _ in range(20)]
            writer.kill()
            told += [line.strip() for line in writer.stdout if line.endswith("\n")]
        store = opened(tmp_path)
        assert set(told) <= {record.id for record in store.records()}
        store.new("acme")


LOADING = """
import pathlib, sys, time
from bartizan.identity.key_record import WantedKey
from bartizan.identity.keys import KeyStore
from bartizan.secrets.envelope import Envelope

def resident() -> int:
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096

before, began = resident(), time.process_time()
store = KeyStore(pathlib.Path(sys.argv[1]), Envelope(b"k" * 32))
print(time.process_time() - began, resident() - before, len(store.records()))
"""


def test_a_hundred_thousand_keys_load_within_a_second_and_in_little_memory(tmp_path: Path) -> None:
    with (tmp_path / "keys").open("wb") as file:  # as the journal writes it, without its fsync for each
        for n in range(100_000):
            record = ["add", f"key_{n:012}", f"consumer-{n % 10_000}", "ci", f"bz_{SHARDS[n % 32]}{n:036}", 1000.0, None]
            file.write(binascii.b2a_base64(ENVELOPE.seal(orjson.dumps(record), f"keys/{n + 1}")))
    runs = [subprocess.check_output([sys.executable, "-c", LOADING, tmp_path / "keys"], text=True).split() for _ in range(3)]
    assert {count for _, _, count in runs} == {"100000"}
    assert min(float(took) for took, _, _ in runs) <= 1.0
    assert max(int(grown) for _, grown, _ in runs) <= 64 << 20


FOREIGN = [(WantedKey("acme", "ci", 2000.0, ("a",)), Secret(f"sk-live-{n:016}")) for n in range(5000)]


def test_keys_of_another_form_come_all_or_not_at_all(store: KeyStore, tmp_path: Path) -> None:
    revoked = store.new("acme")
    store.revoke(revoked.id)
    there = store.new("beta")
    wrong = store.bring(
        [*FOREIGN[:2], (WantedKey("acme"), revoked.key), (WantedKey("acme"), there.key), (WantedKey("acme"), Secret("short"))]
    )
    assert set(wrong) == {2, 3, 4} and "revoked" in wrong[2] and there.id in wrong[3]
    assert store.bring(FOREIGN, dry=True) == {}
    assert [one.id for one in store.records()] == [there.id] and store.generation == 3
    assert store.bring(FOREIGN) == {}
    for seen in (store, opened(tmp_path)):
        brought = [one for one in seen.records() if one.id != there.id]
        assert len({one.id for one in brought}) == 5000
        assert {(one.consumer, one.name, one.expires, one.scopes) for one in brought} == {("acme", "ci", 2000.0, ("a",))}
        assert len({shard_of(one.key.reveal()) for one in brought}) == 16
    assert len(store.bring(FOREIGN)) == 5000
    gone = store.records()[0] if store.records()[0].id != there.id else store.records()[1]
    store.revoke(gone.id)
    assert gone.id not in {one.id for one in opened(tmp_path).records()}
    assert b"sk-live" not in (tmp_path / "keys").read_bytes()


def test_a_crash_while_keys_are_brought_along_leaves_none_of_them(store: KeyStore, tmp_path: Path) -> None:
    assert store.bring(FOREIGN) == {}
    lines = (tmp_path / "keys").read_bytes().splitlines(keepends=True)
    assert len(lines) > 1
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "keys").write_bytes(b"".join(lines[:-1]))
    cut = opened(tmp_path / "cut")
    assert cut.records() == ()
    assert cut.bring(FOREIGN[:3]) == {}
    assert len(cut.records()) == len(opened(tmp_path / "cut").records()) == 3
