"""A node seals what it keeps anew when its keys are rotated, and nothing that can't be trusted."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest

from bartizan.errors import Unavailable
from bartizan.node import membership, resealing
from bartizan.node.hearing import Clocks, Hearing
from bartizan.node.last_good import LastGood
from bartizan.node.resealing import Resealing
from bartizan.secrets import turning
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.keyring import Keyring, load_or_create
from bartizan.secrets.places import NODE, ids_in, sealed_with
from bartizan.xds.release import ROUTES, Release, Step, resource
from bartizan.xds.server import AdsServer

CLOCKS = Clocks(lambda: 1000.0, lambda: 5.0)


class Node:
    """What a node keeps, and who keeps it."""

    def __init__(self, state: Path) -> None:
        self.state, self.envelope = state, load_or_create(state / "node.key")
        self.store = LastGood(state / "last-good", self.envelope)
        (state / "heard").write_bytes(self.envelope.seal(b"900.0", "heard"))
        sealed = self.envelope.seal(b"the key", "node certificate key").hex()
        fields = {"host": "h", "port": 1, "name": "n", "group": "g", "ca": "", "certificate": "", "token": "", "renew_at": 0.0}
        known = membership.Membership.model_validate({**fields, "key": sealed})
        membership.membership_file(state).write_bytes(known.model_dump_json().encode())
        self.hearing = Hearing(state / "heard", self.envelope, cast(AdsServer, None), CLOCKS)
        self.resealing = Resealing(state, self.envelope, self.store, self.hearing)

    def keep(self) -> None:
        self.store.keep(Release(1, "r", 1, (Step((resource(ROUTES, "a", b"body"),)),)))

    def turn(self) -> str:
        """Another key becomes the current one."""
        return turning.add(Keyring(self.state / "node.key"))


@pytest.fixture
def node(tmp_path: Path) -> Node:
    made = Node(tmp_path)
    made.keep()
    return made


def opened(node: Node) -> tuple[object, ...]:
    envelope = load_or_create(node.state / "node.key")
    known = membership.read_membership(node.state)
    assert known is not None
    kept = LastGood(node.state / "last-good", envelope).load()
    return (
        kept,
        envelope.open((node.state / "heard").read_bytes(), "heard"),
        envelope.open(bytes.fromhex(known.key), "node certificate key"),
    )


async def test_it_follows_the_keyring(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resealing, "_EVERY_S", 0.01)
    was = opened(node)
    running = asyncio.create_task(node.resealing.run())
    for _ in range(2):
        key = node.turn()
        async with asyncio.timeout(5):
            while sealed_with(node.state / "node.key") != {key}:
                await asyncio.sleep(0.01)
        assert opened(node) == was
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    node.keep()
    assert set(ids_in(node.state, NODE[0])) == {key}


async def test_what_is_sealed_with_the_current_key_is_left_alone(node: Node) -> None:
    before = {one.file: (node.state / one.file).read_bytes() for one in NODE}
    await node.resealing.reseal()
    assert {one.file: (node.state / one.file).read_bytes() for one in NODE} == before


async def test_what_cant_be_trusted_stays_as_it_is(node: Node) -> None:
    path = node.state / "last-good" / "journal"
    path.write_bytes(path.read_bytes()[:-5])
    node.store = LastGood(node.state / "last-good", node.envelope)
    with pytest.raises(Unavailable):
        node.store.load()
    again, cut = Resealing(node.state, node.envelope, node.store, node.hearing), path.read_bytes()
    node.turn()
    await again.reseal()
    assert path.read_bytes() == cut


async def test_a_disk_that_is_full_is_told(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    node.turn()
    node.envelope.look()
    monkeypatch.setattr("bartizan.node.hearing.replaced", full)
    with pytest.raises(Unavailable, match=r"heard can't be sealed with the new key: No space left"):
        await node.resealing.reseal()


def test_a_certificate_that_is_renewed_meanwhile_isnt_lost(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    known = membership.read_membership(node.state)
    assert known is not None
    real, renewed = Envelope.open, known.model_copy(update={"certificate": "another"})

    def meanwhile(envelope: Envelope, sealed: bytes, context: str) -> bytes:
        if context == "node certificate key":
            membership.membership_file(node.state).write_bytes(renewed.model_dump_json().encode())
        return real(envelope, sealed, context)

    monkeypatch.setattr(Envelope, "open", meanwhile)
    node.turn()
    membership.reseal(node.state)
    assert membership.read_membership(node.state) == renewed
