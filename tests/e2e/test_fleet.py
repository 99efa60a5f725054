"""Nodes on other machines: three real Envoys that joined over TLS, cut off, removed, replaced by strangers."""

import asyncio
import contextlib
import os
import signal
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from bartizan.errors import BartizanError
from bartizan.fleet.authority import Authority
from bartizan.lib.tls import load_pair
from bartizan.node.membership import context_of, join, read_membership
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.keyring import load_or_create
from bartizan.xds.asking import read_token, token_text
from bartizan.xds.frames import Hello, Report, encoded
from bartizan.xds.link import NODE_PROTOCOL, Lost, by_tls
from bartizan.xds.release import Position
from bartizan.xds.signed import decoded_order
from tests.e2e.fleet_rig import FleetRig
from tests.e2e.node_rig import eventually, free_port, listener, routes


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[FleetRig]:
    rig = FleetRig(tmp_path)
    await rig.start()
    try:
        yield rig
    finally:
        await rig.leave()


async def test_three_nodes_join_each_with_its_own_address_and_follow_edits(fleet: FleetRig) -> None:
    await fleet.publish(listener(free_port()), routes("one"))
    nodes = [fleet.node(f"edge-{i}") for i in range(3)]
    await asyncio.gather(*(node.up(token=fleet.token()) for node in nodes))
    for node in nodes:
        await eventually(lambda node=node: node.serves("one"))
    began = time.perf_counter()
    outcomes = await fleet.publish(routes("two"))
    print(f"acknowledged by three in {(time.perf_counter() - began) * 1000:.0f} ms")
    assert {name: outcome.acknowledged for name, outcome in outcomes.items()} == dict.fromkeys(("edge-0", "edge-1", "edge-2"), True)
    for node in nodes:
        assert await node.serves("two")
        assert node.status().proven and node.status().lag == 0
    await fleet.publish(listener(free_port()), routes("three"))  # a listener that the policies move stays where this machine has it
    for node in nodes:
        await eventually(lambda node=node: node.serves("three"))
        assert node.status().error is None
    last = fleet.control.propagation.to_json()["last"]
    assert set(last[-1]["ms"]) == {"edge-0", "edge-1", "edge-2"}  # type: ignore[index]


async def test_a_node_cut_off_serves_on_delays_nobody_and_catches_up(fleet: FleetRig) -> None:
    await fleet.publish(listener(free_port()), routes("one"))
    near, far = fleet.node("near"), fleet.node("far")
    await asyncio.gather(*(node.up(token=fleet.token()) for node in (near, far)))
    for node in (near, far):
        await eventually(lambda node=node: node.serves("one"))
        await eventually(lambda node=node: node.status().lag == 0 and node.status().acknowledged)  # the word of it is back, too
    far.pipe.swallows = True  # no word of it: the connection stands, and nothing comes through
    await fleet.publish(routes("two"))
    took = []
    for text in ("three", "four", "five"):
        began = time.perf_counter()
        outcomes = await fleet.publish(routes(text))
        took.append(time.perf_counter() - began)
        assert outcomes["near"].acknowledged and await near.serves(text)
    assert max(took) < 0.5, took
    assert await far.serves("one")
    assert far.status().lag == 4
    far.pipe.swallows = False
    await eventually(lambda: far.serves("five"))
    await eventually(lambda: far.status().lag == 0 and far.status().acknowledged)
    await far.pipe.cut()
    await eventually(lambda: not far.status().connected)
    await fleet.publish(routes("six"))
    assert await far.serves("five")
    await far.pipe.start()
    await eventually(lambda: far.serves("six"))


async def test_with_no_control_plane_in_sight_a_restarted_node_serves_the_last_good(fleet: FleetRig) -> None:
    await fleet.publish(listener(free_port()), routes("one"))
    node = fleet.node("edge")
    token = fleet.token()
    await node.up(token=token)
    await eventually(lambda: node.serves("one"))
    await eventually(lambda: node.status().kept)
    await node.pipe.cut()
    await node.down()
    assert not await node.serves("one")
    await node.up("--control", f"127.0.0.1:{node.pipe.port}", "--join", token, wait=False)  # the token that it joined by is passed over
    await eventually(lambda: node.serves("one"), 12)
    for which in ("bartizan.node", "envoy.json"):
        os.kill(node.pid(which), signal.SIGKILL)
    await eventually(lambda: node.serves("one"), 12)


async def test_a_node_that_never_heard_anything_opens_no_listener(fleet: FleetRig) -> None:
    node = fleet.node("edge")
    await node.up(token=fleet.token(), wait=False)
    await eventually(lambda: "nothing to serve yet" in node.said(), 12)
    await eventually(lambda: node.status().envoy)
    with pytest.raises(httpx.ConnectError):
        await node.client.get("/")


async def test_a_removed_node_is_cut_off_at_once_and_may_not_come_back_by_its_certificate(fleet: FleetRig) -> None:
    await fleet.publish(listener(free_port()), routes("one"))
    node = fleet.node("edge")
    await node.up(token=fleet.token())
    await eventually(lambda: node.serves("one"))
    fleet.registry.remove("edge")
    await eventually(lambda: not fleet.control.nodes(), 1)
    await eventually(lambda: "its certificate doesn't count there" in node.said())
    await fleet.publish(routes("two"))
    await asyncio.sleep(0.5)
    assert await node.serves("one") and not fleet.control.nodes()
    await node.down()
    await node.up(token=fleet.token())  # by a new token it may
    await eventually(lambda: node.serves("two"))


async def test_certificates_are_renewed_before_they_end(fleet: FleetRig) -> None:
    fleet.door.lifetime_s = 6.0
    await fleet.publish(listener(free_port()), routes("one"))
    node = fleet.node("edge")
    await node.up(token=fleet.token())
    await eventually(lambda: node.serves("one"))
    first = fleet.registry.nodes()[0].certificates
    await eventually(lambda: len(fleet.registry.nodes()[0].certificates) == 3, 14)
    assert first[0][1] < time.time(), "the first has ended"
    await fleet.publish(routes("two"))
    await eventually(lambda: node.serves("two"))
    assert "couldn't be renewed" not in node.said()


@pytest.mark.parametrize("how", ["wrong", "used", "expired", "cut", "of another control plane"])
async def test_a_token_that_doesnt_count_lets_nobody_in(fleet: FleetRig, tmp_path: Path, how: str) -> None:
    token = fleet.token(seconds=-1 if how == "expired" else 60)
    told = {"wrong": "isn't known here", "used": "used already", "expired": "has expired", "cut": "mistyped or cut"}
    if how == "used":
        await join(tmp_path / "first", ("127.0.0.1", fleet.port), token, "first")
    elif how == "wrong":
        token = token_text(bytes(24), read_token(token)[1])
    elif how == "cut":
        token = token[:-4]
    elif how == "of another control plane":
        token = token_text(read_token(token)[0], bytes(32))
    node = fleet.node("edge")
    await node.up(token=token, wait=False)
    assert node.process and await asyncio.wait_for(node.process.wait(), 10) == 1
    assert told.get(how, "isn't the control plane that made this token") in node.said()
    assert "edge" not in {one.name for one in fleet.registry.nodes()}
    assert read_membership(node.state) is None
    if how == "of another control plane":  # and the secret wasn't told to it
        good = token_text(read_token(token)[0], fleet.authority.fingerprint)
        await join(tmp_path / "second", ("127.0.0.1", fleet.port), good, "second")


async def test_wrong_tokens_are_few_from_one_address(fleet: FleetRig, tmp_path: Path) -> None:
    wrong, good = token_text(bytes(24), fleet.authority.fingerprint), fleet.token()
    said = []
    for _ in range(7):
        with pytest.raises(BartizanError) as refused:
            await join(tmp_path / "edge", ("127.0.0.1", fleet.port), wrong, "edge")
        said.append(refused.value.code)
    assert said == ["token-unknown"] * 5 + ["too-many-wrong-tokens"] * 2
    with pytest.raises(BartizanError, match="too many"):
        await join(tmp_path / "edge", ("127.0.0.1", fleet.port), good, "edge")


async def _hello(fleet: FleetRig, context: ssl.SSLContext, name: str = "edge") -> bytes | None:
    """What comes to someone who says to be that node; None if it is sent away without a word."""
    async with by_tls("127.0.0.1", fleet.port, lambda: context)() as call:
        report = Report(position=Position(), envoy=True, acknowledged=True)
        await call.write(encoded(Hello(node_id=name, held={}, report=report)))
        async with asyncio.timeout(3):
            return await anext(aiter(call), None)


async def test_a_certificate_of_another_authority_lets_nobody_in(fleet: FleetRig, tmp_path: Path) -> None:
    await fleet.publish(listener(free_port()), routes("one"))
    known = await join(tmp_path / "edge", ("127.0.0.1", fleet.port), fleet.token(), "edge")
    good = await _hello(fleet, context_of(tmp_path / "edge", known, NODE_PROTOCOL))
    assert good and decoded_order(good).id == 1
    other = FleetRig(tmp_path / "other")
    await other.start()
    try:
        forged = await join(tmp_path / "forged", ("127.0.0.1", other.port), other.token(), "edge")
    finally:
        await other.stop()
    context = context_of(tmp_path / "forged", forged.model_copy(update={"ca": known.ca + forged.ca}), NODE_PROTOCOL)
    with contextlib.suppress(Lost):
        assert await _hello(fleet, context) is None, "TLS ends the connection, with a word or without"
    assert len(fleet.control.nodes()) == 1
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.load_verify_locations(cadata=known.ca)
    bare.set_alpn_protocols([NODE_PROTOCOL])
    sent = await _hello(fleet, bare)
    assert sent and decoded_order(sent).id == 0, "without a certificate there is a sentence, and no release"


async def test_a_nodes_name_is_in_its_certificate_and_not_in_what_it_says(fleet: FleetRig, tmp_path: Path) -> None:
    await fleet.publish(listener(free_port()), routes("one"))
    known = await join(tmp_path / "edge", ("127.0.0.1", fleet.port), fleet.token(), "edge")
    assert await _hello(fleet, context_of(tmp_path / "edge", known, NODE_PROTOCOL), name="somebody-else")
    assert [node.node_id for node in fleet.control.nodes()] == ["edge"]


async def test_a_nodes_certificate_makes_no_control_plane(fleet: FleetRig, tmp_path: Path) -> None:
    """A machine that was taken over may not give releases, or even listen, to others."""
    thief = await join(tmp_path / "thief", ("127.0.0.1", fleet.port), fleet.token(), "thief")
    honest = await join(tmp_path / "honest", ("127.0.0.1", fleet.port), fleet.token(), "honest")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    key = load_or_create(tmp_path / "thief" / "node.key").open(bytes.fromhex(thief.key), "node certificate key")
    load_pair(server, thief.certificate.encode(), key)
    port = free_port()
    fake = await asyncio.start_server(lambda _r, writer: writer.close(), "127.0.0.1", port, ssl=server)
    async with fake:
        for check_name in (True, False):
            context = context_of(tmp_path / "honest", honest, NODE_PROTOCOL)
            context.check_hostname = check_name
            with pytest.raises(Lost, match="certificate isn't good"):
                async with by_tls("127.0.0.1", port, lambda context=context: context)():
                    pass


async def test_a_token_makes_one_node_even_if_two_use_it_at_once(fleet: FleetRig, tmp_path: Path) -> None:
    token = fleet.token()
    tries = (join(tmp_path / name, ("127.0.0.1", fleet.port), token, name) for name in ("one", "two", "three"))
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(not isinstance(one, BaseException) for one in done) == 1
    assert len(fleet.registry.nodes()) == 1


def test_another_authority_has_another_fingerprint(tmp_path: Path) -> None:
    envelope = Envelope(bytes(32))
    one, two = (Authority(tmp_path / name, envelope) for name in ("one", "two"))
    assert one.fingerprint != two.fingerprint
    assert Authority(tmp_path / "one", envelope).fingerprint == one.fingerprint


async def test_who_talks_on_when_its_certificate_has_ended_is_cut_off(fleet: FleetRig, tmp_path: Path) -> None:
    fleet.door.lifetime_s = 2.0
    await fleet.publish(listener(free_port()), routes("one"))
    known = await join(tmp_path / "edge", ("127.0.0.1", fleet.port), fleet.token(), "edge")
    context = context_of(tmp_path / "edge", known, NODE_PROTOCOL)
    async with by_tls("127.0.0.1", fleet.port, lambda: context)() as call:
        await call.write(encoded(Hello(node_id="edge", held={}, report=Report(position=Position(), envoy=True, acknowledged=True))))
        frames = aiter(call)
        assert decoded_order(await anext(frames)).id == 1
        began = time.monotonic()
        async with asyncio.timeout(5):
            assert await anext(frames, None) is None
        assert time.monotonic() - began < 3
    with contextlib.suppress(Lost):
        sent = await _hello(fleet, context)
        assert sent is None or decoded_order(sent).id == 0
