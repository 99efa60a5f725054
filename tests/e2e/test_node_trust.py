"""What a node with a real Envoy refuses: releases that were tampered with, replayed, meant for others, late, or signed by strangers."""

import asyncio
import os
import resource as limits
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bartizan.node.options import control_socket
from bartizan.xds.control import ControlServer, Patience
from bartizan.xds.release import Position, Release, Step
from bartizan.xds.signed import Address, signed
from tests.e2e.node_rig import Rig, eventually, listener, routes
from tests.signing import SIGNER, STRANGER

Twist = Callable[[bytes], bytes]


class Crooked(ControlServer):
    """A control plane between which and its node someone sits: `twist` is what becomes of a release on its way."""

    twist: Twist | None = None

    def __init__(self, path: Path, patience: Patience | None = None) -> None:
        super().__init__(path, SIGNER, patience=patience)
        self.sent: list[bytes] = []

    def _sign(self, release: Release, group: str) -> bytes:
        data = super()._sign(release, group)
        self.sent.append(data)
        return self.twist(data) if self.twist else data


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path / "state")
    rig.control = Crooked(control_socket(rig.state))
    await rig.control.start()
    try:
        await rig.publish(listener(rig.port), routes("one"))
        await rig.up()
        await eventually(lambda: rig.serves("one"))
        await eventually(lambda: rig.node().acknowledged and rig.node().kept and (rig.state / "last-good" / "journal").exists())
        yield rig
    finally:
        await rig.down()


def _flipped(part: str) -> Twist:
    def twist(data: bytes) -> bytes:
        end = 4 + int.from_bytes(data[:4], "big")
        at = {"length": 3, "header": end // 2, "key": end + 5, "signature": end + 40, "body": end + 100, "end": len(data) - 1}[part]
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    return twist


def _again(control: ControlServer, release: Release, to: Address, by: object = SIGNER) -> bytes:
    state = control._state.digest_after(release.steps)
    return signed(release, state, to, by)  # type: ignore[arg-type]


async def refused(rig: Rig, twist: Twist, why: str) -> None:
    """That what is twisted isn't taken, is told, and harms nothing; and that what is right again is taken."""
    assert isinstance(rig.control, Crooked)
    before = rig.node().position
    journal = (rig.state / "last-good" / "journal").read_bytes()
    rig.control.twist = twist
    outcome = await rig.publish(routes("two"))
    assert not outcome.acknowledged and outcome.error is None, "one node's mistrust takes nothing back from others"
    await eventually(lambda: why in (rig.node().error or ""))
    assert await rig.text() == "one"
    assert rig.node().position == before
    assert (rig.state / "last-good" / "journal").read_bytes() == journal
    rig.control.twist = None
    await eventually(lambda: rig.serves("two"))
    await eventually(lambda: rig.node().error is None and rig.node().acknowledged)


@pytest.mark.parametrize("part", ["header", "key", "signature", "body", "end", "length"])
async def test_a_flipped_bit_is_noticed_wherever_it_is(rig: Rig, part: str) -> None:
    why = "isn't what its hash says" if part in ("body", "end") else "isn't signed by a key that is trusted here, or was changed"
    await refused(rig, _flipped(part), why)


async def test_a_replay_of_an_older_release_is_refused_also_after_a_restart(rig: Rig) -> None:
    assert isinstance(rig.control, Crooked)
    first = rig.control.sent[0]
    assert (await rig.publish(routes("one"))).acknowledged
    await eventually(lambda: rig.node().kept)
    await refused(rig, lambda _: first, "it was sent before")
    await eventually(lambda: rig.node().kept)
    assert rig.supervisor
    rig.supervisor.terminate()
    await rig.supervisor.wait()
    rig.control.twist = lambda _: first
    await rig.up()
    await eventually(lambda: rig.serves("two"))
    await eventually(lambda: "it was sent before" in (rig.node().error or ""))
    assert await rig.text() == "two"


async def test_a_release_by_a_stranger_is_refused(rig: Rig) -> None:
    release = Release(2**40, "evil", 1, (Step((routes("evil"),)),))
    await refused(rig, lambda _: _again(rig.control, release, Address("default", time.time() + 60), STRANGER), "isn't signed by a key")


async def test_a_release_for_another_group_is_refused(rig: Rig) -> None:
    release = Release(2**40, "r", 1, (Step((routes("two"),)),))
    await refused(rig, lambda _: _again(rig.control, release, Address("other", time.time() + 60)), "for the nodes of group 'other'")


async def test_a_release_past_its_time_is_refused(rig: Rig) -> None:
    release = Release(2**40, "r", 1, (Step((routes("two"),)),))
    await refused(rig, lambda _: _again(rig.control, release, Address("default", time.time() - 400)), "set this machine's clock")


async def test_live_data_of_a_lower_generation_is_refused(rig: Rig) -> None:
    release = Release(2**40, "r", 0, (Step((routes("two"),)),))
    await refused(rig, lambda _: _again(rig.control, release, Address("default", time.time() + 60)), "what was revoked since would count")


async def test_a_release_that_would_lead_elsewhere_is_refused(rig: Rig) -> None:
    release = Release(2**40, "r", 1, (Step((routes("two"),)),))
    to = Address("default", time.time() + 60)
    await refused(rig, lambda _: signed(release, "0" * 64, to, SIGNER), "isn't what was signed")


async def test_a_control_plane_whose_clock_went_back_is_followed(rig: Rig) -> None:
    """Its numbers go on above what its node holds; and what it signs is late, but not so late that it wouldn't be taken."""
    for text in ("two", "three", "two"):
        await rig.publish(routes(text))
    held = rig.node().position
    await rig.control.stop()

    class Behind:
        """Numbers of long ago."""

        def next(self, above: int = 0) -> int:
            return max(1, above + 1)

    rig.control = ControlServer(control_socket(rig.state), SIGNER, sequences=Behind(), patience=Patience(clock=lambda: time.time() - 800))
    await rig.control.start()
    await rig.control.publish(Release(rig.control.next_sequence(), "after", 1, (Step((listener(rig.port), routes("four"))),)))
    await eventually(lambda: rig.serves("four"))
    await eventually(lambda: rig.node().position == Position(held.sequence + 1, "after", 1))


async def test_a_node_whose_disk_is_full_serves_on_and_says_so(tmp_path: Path) -> None:
    """The disk takes no file that is longer than what the first states need."""
    rig = Rig(tmp_path / "state")
    await rig.control.start()
    try:
        await rig.publish(listener(rig.port), routes("one"))
        await rig.up()
        await eventually(lambda: rig.serves("one"))
        await eventually(lambda: rig.node().kept)
        node = rig.pid("bartizan.node")
        size = (rig.state / "last-good" / "journal").stat().st_size
        limits.prlimit(node, limits.RLIMIT_FSIZE, (size, size * 1000))
        assert (await rig.publish(routes("two"))).acknowledged
        assert await rig.text() == "two"
        await eventually(lambda: "can't be kept on this node's disk" in (rig.node().error or ""))
        assert not rig.node().kept and rig.node().acknowledged
        assert (await rig.publish(routes("three"))).acknowledged
        assert await rig.text() == "three"
        limits.prlimit(node, limits.RLIMIT_FSIZE, (size * 1000, size * 1000))
        await eventually(lambda: rig.node().kept and rig.node().error is None)
        await rig.control.stop()
        for which in ("bartizan.node", "envoy.json"):
            os.kill(rig.pid(which), 9)
        await eventually(lambda: rig.serves("three"))
    finally:
        await rig.down()


async def test_mistrust_ends_when_its_reason_does(rig: Rig) -> None:
    """A key that is trusted only now counts without a restart."""
    assert isinstance(rig.control, Crooked)
    trust = (rig.state / "trust.json").read_bytes()
    (rig.state / "trust.json").write_text('{"group": "default", "keys": []}')
    await rig.publish(routes("two"))
    await eventually(lambda: "isn't signed by a key" in (rig.node().error or ""))
    await asyncio.sleep(0.3)
    assert await rig.text() == "one"
    (rig.state / "trust.json").write_bytes(trust)
    await eventually(lambda: rig.serves("two"))
