"""The watch over open streams: what it has ended, from what a node holds and what Envoy tells."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import orjson
import pytest

from bartizan.envoy import names
from bartizan.identity.brake import Brake, Brakes
from bartizan.identity.keys import KeyStore
from bartizan.identity.revoked import BRAKES, Documents
from bartizan.identity.table import table_of
from bartizan.lib.connections import Ends
from bartizan.lib.sockets import socket_folder
from bartizan.node.ending import Ender
from bartizan.node.watch import Watch
from bartizan.secrets.envelope import Envelope
from bartizan.xds.release import Position, Release, Resource, Step, resource
from bartizan.xds.server import AdsServer
from tests.signing import SIGNER

ENVELOPE = Envelope(b"k" * 32)


class Noted(Ender):
    """Ends nothing, and tells what it was to end."""

    def __init__(self) -> None:
        super().__init__(None)
        self.ended: list[str] = []

    async def end(self, connections: Sequence[Ends]) -> int:
        self.ended += [one.peer for one in connections]
        return len(connections)


class Rig:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = AdsServer(socket_folder(folder) / "ads.sock")
        self.ender = Noted()
        self.told: list[str | None] = []
        self.path = folder / "open.jsonl"
        self.path.touch()
        self.task = asyncio.create_task(Watch(self.server, self.ender, self.path, self.told.append).run())
        self.sequence = 0

    async def open(self, peer: str, **more: str) -> None:
        with self.path.open("ab") as file:
            file.write(orjson.dumps({"id": peer, "peer": peer, "local": "l", "source": "192.0.2.1", "path": "/x", **more}) + b"\n")
        await asyncio.sleep(0.25)

    async def give(self, *changed: Resource) -> None:
        self.sequence += 1
        await self.server.apply(Release(self.sequence, "r", self.sequence, (Step(changed),)))
        await asyncio.sleep(0.02)


def table(shard: str, *holders: tuple[str, str]) -> Resource:
    clients = {f"bz_{shard}{i}": f"00000000{consumer};{key};;gold" for i, (consumer, key) in enumerate(holders)}
    return resource(names.ECDS, f"keys/{shard}", table_of(shard, clients))


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(tmp_path)
    await asyncio.sleep(0.02)
    yield made
    made.task.cancel()
    await asyncio.gather(made.task, return_exceptions=True)


async def test_who_loses_a_key_loses_its_streams(rig: Rig) -> None:
    await rig.give(table("a", ("acme", "key_1"), ("globex", "key_2")), table("b", ("acme", "key_3")))
    for peer, principal, key in (("p1", "acme", "key_1"), ("p2", "globex", "key_2"), ("p3", "acme", "key_3"), ("p4", "", "")):
        await rig.open(peer, principal=principal, key=key)
    assert rig.ender.ended == []
    await rig.give(table("a", ("globex", "key_2")))
    assert rig.ender.ended == ["p1"]
    await rig.open("p5", principal="acme", key="key_1")
    assert rig.ender.ended == ["p1", "p5"], "one that is told of afterwards ends too"
    await rig.open("p5", principal="acme", key="key_1")
    assert rig.ender.ended == ["p1", "p5", "p5"], "and again, if it goes on"


async def test_a_node_that_knows_nothing_yet_ends_nothing(rig: Rig) -> None:
    await rig.open("p1", principal="acme", key="key_1")
    rig.server.load(Position(1, "r", 1), [table("a", ("globex", "key_2"))])
    await rig.open("p2", principal="acme", key="key_1")
    assert rig.ender.ended == []
    rig.server.open()
    await asyncio.sleep(0.02)
    assert sorted(rig.ender.ended) == ["p1", "p2"]


async def test_a_block_of_the_signed_document_ends_streams(rig: Rig, tmp_path: Path) -> None:
    brakes = Brakes(tmp_path / "brakes", ENVELOPE)
    keys = KeyStore(tmp_path / "keys", ENVELOPE)
    brakes.brake(Brake("", "path", "/x", "stolen", "ann", 0, time.time() + 60), waits=True)
    waiting = Documents(SIGNER).of(keys, brakes, time.time())[BRAKES]
    await rig.give(table("a", ("acme", "key_1")), resource(names.NOTE, BRAKES, waiting))
    await rig.open("p1", principal="acme", key="key_1")
    await rig.open("p2", path="/other")
    assert rig.ender.ended == []
    brakes.approve(brakes.held(time.time())[0].id, "bob")
    await rig.give(resource(names.NOTE, BRAKES, Documents(SIGNER).of(keys, brakes, time.time())[BRAKES]))
    assert rig.ender.ended == ["p1"]


async def test_what_is_told_isnt_kept_and_rubbish_is_passed_over(rig: Rig) -> None:
    await rig.give(table("a", ("acme", "key_1")))
    with rig.path.open("ab") as file:
        file.write(b"rubbish\n[1]\n" + b"x" * 400_000 + b"\n")
    await asyncio.sleep(0.3)
    assert rig.path.stat().st_size == 0
    await rig.open("p1", principal="acme", key="key_gone")
    assert rig.ender.ended == ["p1"]


async def test_why_it_cant_be_done_is_told(rig: Rig) -> None:
    await asyncio.sleep(0.05)
    assert rig.told and "supervisor" in str(rig.told[0])


async def test_news_that_is_met_by_chance_counts_for_all_streams(rig: Rig) -> None:
    await rig.give(table("a", ("acme", "key_1"), ("globex", "key_2")))
    await rig.open("p1", principal="acme", key="key_1")
    rig.server.state.take(Step((table("a", ("globex", "key_2")),)))  # nobody has been told yet
    await rig.open("p2", principal="globex", key="key_2")
    assert rig.ender.ended == ["p1"]
