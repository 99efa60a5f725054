"""A node's relay between the real control server and the real ADS server, without an Envoy."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bartizan.lib.sockets import socket_folder
from bartizan.node.relay import Relay
from bartizan.xds.beside import by_socket
from bartizan.xds.control import ControlServer
from bartizan.xds.release import ROUTES, Position, Release, Step, resource
from bartizan.xds.server import AdsServer
from tests.signing import SIGNER, believing

A, B = resource(ROUTES, "a", b"a"), resource(ROUTES, "b", b"b")


class Rig:
    """Both servers, and the relay between them."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "control.sock"
        self.control = ControlServer(self.path, SIGNER)
        self.server = AdsServer(folder / "ads.sock")
        self.relay = Relay(by_socket(self.path), "n1", self.server, believing(folder), connect_s=0)
        self.running: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self.running = asyncio.create_task(self.relay.run())

    async def holds(self, *names: str) -> None:
        async with asyncio.timeout(6):
            while set(self.server.state.of(ROUTES)) != set(names):
                await self.server.changed()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(socket_folder(tmp_path))
    yield rig
    if rig.running:
        rig.running.cancel()
        await asyncio.gather(rig.running, return_exceptions=True)
    await rig.control.stop()


async def test_without_a_control_plane_the_first_contact_is_short(rig: Rig) -> None:
    rig.begin()
    async with asyncio.timeout(1):
        await rig.relay.first_contact(30)
    assert rig.running and not rig.running.done()


async def test_a_control_plane_without_a_state_is_waited_for_no_longer_than_said(rig: Rig) -> None:
    await rig.control.start()
    rig.server.load(Position(1, "kept", 1), [A])
    rig.begin()
    await asyncio.wait_for(rig.relay.first_contact(0.3), 1)
    await rig.holds("a")


async def test_what_the_control_plane_has_replaces_what_was_kept(rig: Rig) -> None:
    rig.server.load(Position(1, "kept", 1), [A])
    rig.begin()
    await rig.control.start()
    await rig.control.publish(Release(2, "new", 1, (Step((B,)),)))
    await rig.holds("b")
    assert rig.server.position.revision == "new"


async def test_finds_a_control_plane_that_comes_again(rig: Rig) -> None:
    rig.begin()
    await rig.control.start()
    await rig.control.publish(Release(1, "r1", 1, (Step((A,)),)))
    await rig.holds("a")
    await rig.control.stop()
    rig.control = ControlServer(rig.path, SIGNER)
    await rig.control.start()
    await rig.control.publish(Release(2, "r2", 1, (Step((A, B)),)))
    await rig.holds("a", "b")


async def test_reports_how_it_stands(rig: Rig) -> None:
    rig.relay.problem = "the disk is odd"
    rig.begin()
    await rig.control.start()
    async with asyncio.timeout(3):
        while not rig.control.nodes():
            await rig.control.changed()
    status = rig.control.nodes()[0]
    assert (status.node_id, status.connected, status.envoy, status.error) == ("n1", True, False, "the disk is odd")


async def test_reports_whether_what_it_holds_is_kept(rig: Rig) -> None:
    rig.server.load(Position(1, "kept", 1), [A])
    rig.begin()
    await rig.control.start()

    async def told(sequence: int, kept: bool) -> None:
        async with asyncio.timeout(3):
            while [(one.position.sequence, one.kept) for one in rig.control.nodes()] != [(sequence, kept)]:
                await rig.control.changed()

    await told(1, True)
    await rig.control.publish(Release(2, "new", 1, (Step((B,)),)))
    await told(2, False)
