"""Documents of what was revoked: signed, only growing, put together in any order."""

import hashlib
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pytest

from bartizan.errors import Conflict
from bartizan.identity.brake import Brake, Brakes, What
from bartizan.identity.key_record import WantedKey
from bartizan.identity.key_text import key_text
from bartizan.identity.keys import KeyStore
from bartizan.identity.revoked import BRAKES, KEYS, Documents, blocks, forgets, taken_over
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.sealed import Secret
from bartizan.secrets.signing import verified
from tests.signing import SIGNER, STRANGER

ENVELOPE = Envelope(b"k" * 32)


def genuine(key: bytes, signature: bytes, data: bytes) -> bool:
    return key == SIGNER.public and verified(key, signature, data)


class Plane:
    """The journals of a control plane."""

    def __init__(self, folder: Path, now: float = 1000.0) -> None:
        self.now = now
        self.folder = folder
        self.keys = KeyStore(folder / "keys", ENVELOPE, lambda: self.now)
        self.brakes = Brakes(folder / "brakes", ENVELOPE, lambda: self.now)
        self.documents = Documents(SIGNER)

    def told(self) -> dict[str, bytes]:
        return self.documents.of(self.keys, self.brakes, self.now)

    def block(self, value: str, what: What = "consumer", *, waits: bool = False) -> Brake:
        return self.brakes.brake(Brake("", what, value, "stolen", "ann", 0, self.now + 500), waits=waits)

    def copy(self, folder: Path) -> "Plane":
        """A backup."""
        folder.mkdir()
        for name in ("keys", "brakes"):
            (folder / name).write_bytes((self.folder / name).read_bytes())
        return Plane(folder, self.now)


@pytest.fixture
def plane(tmp_path: Path) -> Plane:
    (tmp_path / "a").mkdir()
    return Plane(tmp_path / "a")


@pytest.fixture
def backup(plane: Plane, tmp_path: Path) -> Callable[[], Plane]:
    return lambda: plane.copy(tmp_path / "b")


def test_what_was_revoked_after_a_backup_comes_back_from_the_documents(plane: Plane, backup: Callable[[], Plane]) -> None:
    old, other = plane.keys.new("acme"), plane.keys.new("globex")
    restored = backup()
    plane.keys.revoke(old.id)
    late = plane.keys.new("acme")
    plane.keys.revoke(late.id)
    brake = plane.block("acme")
    assert taken_over(plane.told(), genuine, (restored.keys, restored.brakes)) == (2, 1)
    assert {one.id for one in restored.keys.records()} == {other.id}
    assert restored.brakes.active(1001) == (brake,)
    for key in (old.key, late.key):
        with pytest.raises(Conflict, match="revoked"):
            restored.keys.add(WantedKey("acme"), key)
    changes = restored.keys.poll()
    assert changes and changes.revoked == (old.id,) and len(changes.shards) == 1
    again = Plane(restored.folder)
    assert {one.id for one in again.keys.records()} == {other.id}, "it is in the journal"
    assert again.told() == plane.told()
    assert taken_over(plane.told(), genuine, (again.keys, again.brakes)) == (0, 0)


def test_no_key_text_stands_in_a_document(plane: Plane) -> None:
    made = [plane.keys.new("acme") for _ in range(20)]
    for one in made:
        plane.keys.revoke(one.id)
    whole = b"".join(plane.told().values())
    assert all(one.id.encode() in whole and one.key.reveal().encode() not in whole for one in made)
    assert all(name.startswith(KEYS) for name in plane.told())


def test_a_document_changes_only_with_what_it_says(plane: Plane) -> None:
    for _ in range(40):
        plane.keys.revoke(plane.keys.new("acme").id)
    before = plane.told()
    assert len(before) > 8
    plane.keys.new("acme")
    assert plane.told() == before == Documents(SIGNER).of(plane.keys, plane.brakes, 1000)
    plane.keys.revoke(plane.keys.new("acme").id)
    after = plane.told()
    assert sum(before.get(name) != body for name, body in after.items()) == 1


def test_in_whatever_order_documents_come_a_lifted_block_stays_lifted_and_an_approved_one_holds(plane: Plane, tmp_path: Path) -> None:
    lifted, approved = plane.block("acme"), plane.block("globex", waits=True)
    waits = plane.block("initech", waits=True)
    told = [plane.told()]
    plane.brakes.approve(approved.id, "bob")
    told.append(plane.told())
    plane.brakes.lift(lifted.id, "bob")
    told.append(plane.told())
    for i, order in enumerate(permutations(told)):
        (tmp_path / f"p{i}").mkdir()
        other = Plane(tmp_path / f"p{i}")
        for documents in order:
            taken_over(documents, genuine, (other.keys, other.brakes))
        assert [(one.id, one.approved_by) for one in other.brakes.active(1001)] == [(approved.id, "bob")]
        assert {one.id for one in other.brakes.held(1001)} == {approved.id, waits.id}
        assert other.told() == plane.told()


def test_only_blocks_that_hold_are_enforced(plane: Plane) -> None:
    holds, lifted = plane.block("acme"), plane.block("globex")
    plane.block("initech", waits=True)
    plane.brakes.lift(lifted.id, "bob")
    assert blocks(plane.told()[BRAKES]) == (holds,)


def test_a_block_whose_time_has_come_is_gone(plane: Plane) -> None:
    plane.block("acme")
    told = plane.told()
    plane.now = 1500
    assert plane.told() == {}
    assert taken_over(told, genuine, (plane.keys, plane.brakes)) == (0, 0)


@pytest.mark.parametrize("how", ["stranger", "content", "name", "cut"])
def test_what_isnt_genuine_changes_nothing(plane: Plane, backup: Callable[[], Plane], how: str) -> None:
    made = plane.keys.new("acme")
    restored = backup()
    plane.keys.revoke(made.id)
    plane.block("acme")
    told = plane.told()
    (name,) = (one for one in told if one != BRAKES)
    if how == "stranger":
        told[name] = Documents(STRANGER).of(plane.keys, plane.brakes, 1000)[name]
    elif how == "content":
        told[name] = told[name].replace(made.id.encode(), b"key_aaaaaaaaaaaa")
    elif how == "name":
        told["revoked/keys/x"] = told.pop(name)
    else:
        told[name] = told[name][:40]
    with pytest.raises(ValueError, match="valid" if how == "cut" else "isn't signed"):
        taken_over(told, genuine, (restored.keys, restored.brakes))
    assert [one.id for one in restored.keys.records()] == [made.id]
    assert restored.brakes.held(1000) == ()


def test_thousands_are_taken_over_at_once(plane: Plane, backup: Callable[[], Plane]) -> None:
    texts = [key_text() for _ in range(300)]
    made = [plane.keys.add(WantedKey("acme"), Secret(text)) for text in texts]
    restored = backup()
    for one in made[:200]:
        plane.keys.revoke(one.id)
    before = restored.keys.generation
    assert taken_over(plane.told(), genuine, (restored.keys, restored.brakes)) == (200, 0)
    assert restored.keys.generation == before + 1, "in one record"
    assert len(restored.keys.records()) == 100


def test_documents_of_a_former_key_that_say_nothing_new_are_no_trouble(plane: Plane) -> None:
    plane.keys.revoke(plane.keys.new("acme").id)
    plane.block("acme")
    former = Documents(STRANGER).of(plane.keys, plane.brakes, 1000)
    assert taken_over(former, genuine, (plane.keys, plane.brakes)) == (0, 0)


def test_a_document_that_says_less_is_told(plane: Plane, tmp_path: Path) -> None:
    first = plane.keys.new("acme")
    made = next(made for made in iter(lambda: plane.keys.new("acme"), None) if _shard(made.key) == _shard(first.key))
    plane.keys.revoke(first.id)
    lifted, held = plane.block("acme"), plane.block("globex")
    before = plane.told()
    plane.keys.revoke(made.id)
    plane.brakes.lift(lifted.id, "bob")
    after = plane.told()
    for name in before:
        assert not forgets(before[name], after[name], 1000)
        assert forgets(before[name], None, 1000)
    assert forgets(after[KEYS + _shard(first.key)], before[KEYS + _shard(first.key)], 1000)
    plane.brakes.lift(held.id, "bob")
    (tmp_path / "c").mkdir()
    other = Plane(tmp_path / "c")
    other.block("initech")
    assert forgets(before[BRAKES], other.told()[BRAKES], 1000)
    assert not forgets(before[BRAKES], other.told()[BRAKES], 1500)


def _shard(key: Secret) -> str:
    return hashlib.sha256(key.reveal().encode()).hexdigest()[0]
