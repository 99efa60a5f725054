"""The door over real TLS: who may ship records, under which name, and that a removed node is gone wherever it was served."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bartizan.fleet.authority import Authority
from bartizan.fleet.door import Door
from bartizan.fleet.intake import Intake
from bartizan.fleet.registry import Registry
from bartizan.node.membership import connecting, join
from bartizan.secrets.keyring import load_or_create
from bartizan.telemetry.shipping import At, Batch, Kept, Opening, decoded, encoded_batch
from bartizan.telemetry.shipping import encoded as told
from bartizan.xds.asking import token_text
from bartizan.xds.control import ControlServer
from bartizan.xds.frames import Hello, Report, encoded
from bartizan.xds.link import NODE_PROTOCOL, RECORDS_PROTOCOL, Lost, by_tls
from bartizan.xds.release import Position, Release, Step
from tests.signing import SIGNER
from tests.unit.fleet.shipped import record


class Fleet:
    """A control plane with a door, and a node that has joined but isn't run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        envelope = load_or_create(folder / "control.key")
        self.registry = Registry(folder / "fleet.journal", envelope)
        self.authority = Authority(folder / "fleet.authority", envelope)
        self.control = ControlServer(folder / "control.sock", SIGNER)
        self.intake = Intake(folder / "records", lambda: (1 << 20, 1 << 30))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.door = Door(("127.0.0.1", self.port), self.control, self.registry, self.authority, self.intake)

    async def joined(self, name: str) -> Path:
        token = token_text(bytes.fromhex(self.registry.token("default", 60).reveal()), self.authority.fingerprint)
        await join(self.folder / name, ("127.0.0.1", self.port), token, name)
        return self.folder / name


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    made = Fleet(tmp_path)
    await made.door.start()
    watch = asyncio.create_task(made.door.watch())
    try:
        yield made
    finally:
        watch.cancel()
        await made.door.stop()
        made.intake.close()


async def _until(holds: object) -> None:
    async with asyncio.timeout(5):
        while not holds():  # type: ignore[operator]
            await asyncio.sleep(0.01)


async def test_a_node_ships_under_the_name_of_its_certificate_until_it_is_removed(fleet: Fleet) -> None:
    connect = connecting(await fleet.joined("edge"), RECORDS_PROTOCOL)[1]
    async with connect() as call:
        answers = aiter(call)
        await call.write(told(Opening(stream="requests")))
        assert decoded(Kept, await anext(answers)).at == At()
        await call.write(encoded_batch(Batch(after=At(), at=At(file="0" * 16, offset=5), sent=time.time()), record(1).encode()))
        assert decoded(Kept, await anext(answers)).at.offset == 5
        assert b'"node":"edge"' in (fleet.folder / "records" / "nodes" / "edge" / "requests.jsonl").read_bytes()
        fleet.registry.remove("edge")
        async with asyncio.timeout(2):
            assert await anext(answers, None) is None
    with pytest.raises((Lost, StopAsyncIteration)):
        async with connect() as call:
            await call.write(told(Opening(stream="requests")))
            await anext(aiter(call))


async def test_without_a_certificate_nothing_is_shipped(fleet: Fleet) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=fleet.authority.pem.decode())
    context.set_alpn_protocols([RECORDS_PROTOCOL])
    async with by_tls("127.0.0.1", fleet.port, lambda: context)() as call:
        await call.write(told(Opening(stream="requests")))
        with contextlib.suppress(Lost):
            assert await asyncio.wait_for(anext(aiter(call), None), 3) is None
    assert not (fleet.folder / "records").exists()


async def test_a_removed_node_is_gone_also_where_a_canary_is_served(fleet: Fleet) -> None:
    canary = fleet.control.beside()
    fleet.control.lane = lambda name: canary if name == "edge" else fleet.control
    for server in (fleet.control, canary):
        await server.publish(Release(server.next_sequence(), "r1", 1, (Step(),)))
    states = [await fleet.joined(name) for name in ("edge", "other")]
    hello = Hello(node_id="", held={}, report=Report(position=Position(), envoy=True, acknowledged=True))
    async with connecting(states[0], NODE_PROTOCOL)[1]() as one, connecting(states[1], NODE_PROTOCOL)[1]() as two:
        for call in (one, two):
            await call.write(encoded(hello))
        await _until(lambda: [node.node_id for node in canary.nodes()] == ["edge"])
        await _until(lambda: [node.node_id for node in fleet.control.nodes()] == ["other"])
        fleet.registry.remove("edge")
        await _until(lambda: not canary.nodes())
        assert [node.connected for node in fleet.control.nodes()] == [True]
