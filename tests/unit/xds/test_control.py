"""The control plane's server, with nodes that speak its frames."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import grpc
import orjson
import pytest

from bartizan.lib.sockets import socket_folder
from bartizan.secrets.signing import verified
from bartizan.xds.beat import Beat, opened_beat
from bartizan.xds.control import ControlServer, Patience, additions_first
from bartizan.xds.frames import METHOD, SERVICE, Answer, Hello, Report, encoded
from bartizan.xds.release import CLUSTER, NOTE, ROUTES, Position, Release, Resource, State, Step, resource
from bartizan.xds.signed import ASK, BEAT, Order, decoded_order, opened
from tests.signing import SIGNER

A, A2, B = resource(ROUTES, "a", b"a"), resource(ROUTES, "a", b"a2"), resource(ROUTES, "b", b"b")
BAD = resource(CLUSTER, "bad", b"bad")


class Node:
    """Takes what it is sent, unless it is told to refuse or to be slow."""

    def __init__(self, path: Path, node_id: str, *held: Resource) -> None:
        self._channel = grpc.aio.insecure_channel(f"unix:{path}", options=[("grpc.use_local_subchannel_pool", 1)])
        self.state = State()
        self.state.take(Step(held))
        self.position = Position()
        self.node_id = node_id
        self.got: list[Release] = []
        self.refuses: set[str] = set()
        self.silent = self.distrusts = False
        self.kept = False
        self.asked = 0
        self.beats: list[Beat] = []
        self.heard = asyncio.Event()
        self.task = asyncio.create_task(self._run())

    def _report(self) -> Report:
        return Report(position=self.position, envoy=True, acknowledged=True, kept=self.kept)

    async def _run(self) -> None:
        call = self._call = self._channel.stream_stream(f"/{SERVICE}/{METHOD}")()
        await call.write(encoded(Hello(node_id=self.node_id, held=self.state.versions(), report=self._report())))
        async for data in call:
            order = decoded_order(data)
            if order.id & (ASK | BEAT):
                await self._asked(order)
                continue
            told, release = opened(order.signed, lambda key, signature, text: key == SIGNER.public and verified(key, signature, text))
            assert told.group == "default" and told.state == self.state.digest_after(release.steps)
            self.got.append(release)
            self.heard.set()
            self._last = order.id, release
            if not self.silent:
                await self.answer_now()

    async def _asked(self, order: Order) -> None:
        if not order.id & ASK:
            self.beats.append(
                opened_beat(order.signed, lambda key, signature, text: key == SIGNER.public and verified(key, signature, text))
            )
            return
        self.asked += 1
        names = orjson.loads(order.signed)
        notes = {one.name: b64encode(one.body).decode() for one in self.state if one.type_url == NOTE and one.name in names}
        await self._call.write(encoded(Answer(report=self._report(), id=order.id, notes=notes)))

    async def answer_now(self) -> None:
        """Takes what came last."""
        number, release = self._last
        refused = [one.name for step in release.steps for one in step.changed if one.name in self.refuses]
        if not refused and not self.distrusts:
            self.position = release.position
            for step in release.steps:
                self.state.take(step)
        error, distrust = f"bad {refused[0]}" if refused else None, "by a stranger" if self.distrusts else None
        acknowledged = not refused and not self.distrusts
        answer = Answer(report=self._report(), id=number, acknowledged=acknowledged, error=error, distrust=distrust, took_s=0.25)
        await self._call.write(encoded(answer))

    def names(self) -> dict[str, bytes]:
        return {one.name: one.body for one in self.state}

    async def leave(self) -> None:
        self.task.cancel()
        await self._channel.close()


class Counting:
    """Sequences that are easy to read: one more than what was there."""

    def next(self, above: int = 0) -> int:
        return above + 1


class Rig:
    """A control plane and its nodes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.control = ControlServer(path, SIGNER, patience=Patience(answer_s=0.5, others_s=0.2, first_s=0.3), sequences=Counting())
        self.nodes: list[Node] = []

    async def node(self, node_id: str, *held: Resource) -> Node:
        node = Node(self.path, node_id, *held)
        self.nodes.append(node)
        while not any(one.node_id == node_id and one.connected for one in self.control.nodes()):
            await self.control.changed()
        return node


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(socket_folder(tmp_path) / "control.sock")
    await rig.control.start()
    yield rig
    for node in rig.nodes:
        await node.leave()
    await rig.control.stop()


def release(sequence: int, *changed: Resource, removed: tuple[tuple[str, str], ...] = ()) -> Release:
    return Release(sequence, f"r{sequence}", 1, (Step(changed, removed),))


async def test_the_socket_is_for_its_owner(rig: Rig) -> None:
    assert rig.path.stat().st_mode & 0o777 == 0o600


async def test_a_node_is_left_alone_before_the_first_release(rig: Rig) -> None:
    node = await rig.node("n1", A)
    await asyncio.sleep(0.2)
    assert node.got == []
    assert node.names() == {"a": b"a"}


async def test_a_release_reaches_every_node_as_it_is(rig: Rig) -> None:
    await rig.control.publish(release(1, A))
    nodes = [await rig.node("n1"), await rig.node("n2")]
    for node in nodes:
        await asyncio.wait_for(node.heard.wait(), 2)
    outcomes = await rig.control.publish(release(2, A2, B))
    assert {node_id: outcome.acknowledged for node_id, outcome in outcomes.items()} == {"n1": True, "n2": True}
    assert outcomes["n1"].took_s == 0.25
    for node in nodes:
        assert node.got[-1] == release(2, A2, B)
        assert node.names() == {"a": b"a2", "b": b"b"}


async def test_a_node_that_comes_gets_what_it_lacks_and_no_more(rig: Rig) -> None:
    await rig.control.publish(release(1, A2, B))
    node = await rig.node("n1", A, B, BAD)
    await asyncio.wait_for(node.heard.wait(), 2)
    assert node.got == [Release(1, "r1", 1, (Step((A2,)), Step(removed=(BAD.key,))))]


async def test_a_node_that_has_everything_gets_the_position(rig: Rig) -> None:
    await rig.control.publish(release(1, A))
    node = await rig.node("n1", A)
    await asyncio.wait_for(node.heard.wait(), 2)
    assert node.got == [Release(1, "r1", 1, ())]


async def test_a_refusal_takes_the_release_back_everywhere(rig: Rig) -> None:
    await rig.control.publish(release(1, A))
    good, picky = await rig.node("n1"), await rig.node("n2")
    for node in (good, picky):
        await asyncio.wait_for(node.heard.wait(), 2)
    picky.refuses = {"bad"}
    outcomes = await rig.control.publish(release(2, A2, BAD))
    assert outcomes["n2"].error == "bad bad"
    assert outcomes["n1"].error == "taken back, because n2 refuses it"
    assert good.names() == picky.names() == {"a": b"a"}
    assert good.position == rig.control.position == Position(3, "r1", 1), "a way back is a new sequence"
    assert len(picky.got) == 2, "it has undone it by itself"
    assert [one.lag for one in rig.control.nodes()] == [0, 0]
    outcomes = await rig.control.publish(release(4, B))
    assert all(outcome.acknowledged for outcome in outcomes.values())
    assert picky.got[-1] == good.got[-1] == release(4, B)
    late = await rig.node("n3")
    await asyncio.wait_for(late.heard.wait(), 2)
    assert late.names() == {"a": b"a", "b": b"b"}


async def test_a_node_that_refused_what_it_lacked_gets_the_whole_difference_next(rig: Rig) -> None:
    await rig.control.publish(release(1, A, BAD))
    node = Node(rig.path, "n1")
    node.refuses = {"bad"}
    rig.nodes.append(node)
    await asyncio.wait_for(node.heard.wait(), 2)
    assert node.names() == {}
    outcomes = await rig.control.publish(release(2, B, removed=(BAD.key,)))
    assert outcomes["n1"].acknowledged
    assert node.names() == {"a": b"a", "b": b"b"}


async def test_a_silent_node_is_late_and_says_anew_what_it_holds(rig: Rig) -> None:
    await rig.control.publish(release(1, A))
    node = await rig.node("n1")
    await asyncio.wait_for(node.heard.wait(), 2)
    node.silent = True
    outcomes = await rig.control.publish(release(2, B))
    assert (outcomes["n1"].acknowledged, outcomes["n1"].error) == (False, None)
    assert not rig.control.nodes()[0].connected
    again = await rig.node("n1", A)
    await asyncio.wait_for(again.heard.wait(), 2)
    assert again.names() == {"a": b"a", "b": b"b"}


async def test_a_node_that_leaves_is_told_as_gone(rig: Rig) -> None:
    await rig.control.publish(release(1, A))
    node = await rig.node("n1")
    await asyncio.wait_for(node.heard.wait(), 2)
    while rig.control.nodes()[0].position.sequence != 1:
        await rig.control.changed()
    status = rig.control.nodes()[0]
    assert (status.connected, status.envoy, status.acknowledged, status.took_s) == (True, True, True, 0.25)
    assert not status.kept
    node.kept = True
    await rig.control.publish(release(2, A2))
    assert rig.control.nodes()[0].kept
    await node.leave()
    while rig.control.nodes()[0].connected:
        await rig.control.changed()
    assert not rig.control.nodes()[0].acknowledged
    assert rig.control.nodes()[0].kept, "its disk is still there"
    assert (await rig.control.publish(release(3, B))) == {}


def test_additions_come_first() -> None:
    assert additions_first(Step((A,), (B.key,))) == (Step((A,)), Step(removed=(B.key,)))
    assert additions_first(Step()) == ()


# Nodes that are slow, and nodes that refuse for themselves


async def test_a_slow_node_delays_no_other_and_no_next_release(rig: Rig) -> None:
    rig.control._patience = Patience(answer_s=5, others_s=0.2, first_s=0.4)
    await rig.control.publish(release(1, A))
    quick, slow = await rig.node("quick"), await rig.node("slow")
    for node in (quick, slow):
        await asyncio.wait_for(node.heard.wait(), 2)
    await _settled(rig, 1)
    slow.silent = True
    clock = asyncio.get_running_loop().time
    took = []
    for number in range(2, 7):
        began = clock()
        outcomes = await rig.control.publish(release(number, resource(ROUTES, "a", str(number).encode())))
        took.append(clock() - began)
        assert outcomes["quick"].acknowledged
    assert took[0] < 0.4 and max(took[1:]) < 0.1, took
    assert [(one.node_id, one.lag) for one in rig.control.nodes()] == [("quick", 0), ("slow", 5)]
    slow.silent = False
    await slow.answer_now()
    await _settled(rig, 6)
    assert slow.names() == quick.names() == {"a": b"6"}
    assert len(slow.got) == 3, "what it missed comes as one"
    await asyncio.sleep(0.05)
    outcomes = await rig.control.publish(release(7, B))
    assert set(outcomes) == {"quick", "slow"}, "it is waited for again"


async def _settled(rig: Rig, sequence: int) -> None:
    async with asyncio.timeout(3):
        while {one.position.sequence for one in rig.control.nodes()} != {sequence} or any(one.lag for one in rig.control.nodes()):
            await rig.control.changed()


async def test_a_node_that_catches_up_hears_of_what_is_gone(rig: Rig) -> None:
    rig.control._patience = Patience(answer_s=5, others_s=0.1, first_s=0.2)
    await rig.control.publish(release(1, A, B))
    quick, slow = await rig.node("quick"), await rig.node("slow")
    await _settled(rig, 1)
    slow.silent = True
    await rig.control.publish(release(2, A2))
    await rig.control.publish(release(3, BAD, removed=(B.key,)))
    await rig.control.publish(release(4, removed=(BAD.key,)))
    slow.silent = False
    await slow.answer_now()
    await _settled(rig, 4)
    assert slow.names() == quick.names() == {"a": b"a2"}


async def test_one_nodes_mistrust_takes_nothing_back_from_others(rig: Rig) -> None:
    await rig.control.publish(release(1, A))
    good, wary = await rig.node("good"), await rig.node("wary")
    await _settled(rig, 1)
    wary.distrusts = True
    outcomes = await rig.control.publish(release(2, A2))
    assert {name: (one.acknowledged, one.error) for name, one in outcomes.items()} == {"good": (True, None), "wary": (False, None)}
    assert good.names() == {"a": b"a2"} and wary.names() == {"a": b"a"}
    wary.distrusts = False
    outcomes = await rig.control.publish(release(3, B))
    assert outcomes["wary"].acknowledged
    assert wary.names() == {"a": b"a2", "b": b"b"}


async def test_a_release_has_a_number_above_all_before(rig: Rig) -> None:
    await rig.control.publish(release(5, A))
    await rig.control.publish(release(5, A2))
    assert rig.control.position == Position(6, "r5", 1)


async def test_a_control_plane_that_forgot_its_numbers_goes_on_above_its_nodes(rig: Rig) -> None:
    await rig.control.publish(release(1, A2))
    node = Node(rig.path, "n1", A)
    node.position = Position(40, "before", 1)
    rig.nodes.append(node)
    await asyncio.wait_for(node.heard.wait(), 2)
    assert node.got[0].sequence == 41
    await rig.control.publish(release(2, B))
    assert node.got[-1].sequence == 42 and node.names() == {"a": b"a2", "b": b"b"}


async def test_nodes_that_should_be_there_are_shown_and_others_forgotten(rig: Rig) -> None:
    rig.control.roster = lambda: {"far": "edges", "n1": "default"}
    await rig.control.publish(release(1, A))
    await rig.node("n1")
    told = {one.node_id: (one.group, one.connected, one.lag) for one in rig.control.nodes()}
    assert told == {"far": ("edges", False, 1), "n1": ("default", True, told["n1"][2])}
    rig.control.roster = dict
    rig.control.forget("n1")
    assert rig.control.nodes() == ()


async def test_how_long_it_took_is_kept_for_each_node(rig: Rig) -> None:
    await rig.control.publish(release(1, A))
    for name in ("n1", "n2"):
        await rig.node(name)
    await _settled(rig, 1)
    await rig.control.publish(release(2, A2))
    last = rig.control.propagation.to_json()["last"]
    assert last[-1]["revision"] == "r2" and set(last[-1]["ms"]) == {"n1", "n2"}  # type: ignore[index]
    assert all(0 < ms < 1000 for ms in last[-1]["ms"].values())  # type: ignore[index]


async def test_blank_nodes_share_what_they_get_and_each_gets_all(rig: Rig) -> None:
    await rig.control.publish(release(1, A, B))
    signed: list[bytes] = []
    sign = rig.control._sign
    rig.control._sign = lambda one, group: signed.append(sign(one, group)) or signed[-1]  # type: ignore[method-assign, func-returns-value]
    nodes = [await rig.node(f"n{i}") for i in range(4)]
    await _settled(rig, 1)
    assert all(node.names() == {"a": b"a", "b": b"b"} for node in nodes)
    assert len(signed) == 1
    await rig.control.publish(release(2, A2))
    assert len(signed) == 2, "and one for all again"
    late = await rig.node("late")
    await _settled(rig, 2)
    assert late.names() == {"a": b"a2", "b": b"b"}, "not what a blank node got before"


OLD, MORE = resource(NOTE, "revoked/brakes", b"old"), resource(NOTE, "revoked/brakes", b"more")


class Revocations:
    """Takes over what nodes hold; it is in live data of generation 5."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, dict[str, bytes]]] = []
        self.generation = 5

    def lacking(self, held: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(name for name, version in held.items() if version != OLD.version and not self.taken)

    def take(self, node: str, notes: Mapping[str, bytes]) -> int:
        self.taken.append((node, dict(notes)))
        return self.generation


async def test_a_node_that_knows_better_is_heard_and_gets_nothing_older(rig: Rig) -> None:
    revocations = rig.control.revocations = Revocations()
    wise, plain = await rig.node("wise", A, MORE), await rig.node("plain", A, OLD)
    async with asyncio.timeout(2):
        outcomes = await rig.control.publish(Release(1, "r1", 4, (Step((B, OLD)),)))
    assert outcomes["plain"].acknowledged
    assert "wise" not in outcomes, "nobody waits for it"
    async with asyncio.timeout(2):
        while not revocations.taken:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    assert revocations.taken == [("wise", {"revoked/brakes": b"more"})]
    assert (wise.asked, plain.asked, wise.got) == (1, 0, [])
    await rig.control.publish(Release(2, "r2", 5, (Step((A2, MORE)),)))
    async with asyncio.timeout(2):
        while wise.names().get("a") != b"a2":
            await asyncio.sleep(0.01)
    assert wise.names()["revoked/brakes"] == plain.names()["revoked/brakes"] == b"more"
    assert [one.generation for one in wise.got] == [5]


async def test_a_node_that_isnt_believed_is_served_as_all_others(rig: Rig) -> None:
    revocations = rig.control.revocations = Revocations()
    revocations.generation = 0
    node = await rig.node("odd", MORE)
    await rig.control.publish(Release(1, "r1", 4, (Step((B,)),)))
    async with asyncio.timeout(2):
        while "b" not in node.names():
            await asyncio.sleep(0.01)


async def test_only_a_node_that_holds_the_newest_is_told_that_it_does(rig: Rig) -> None:
    good, odd = await rig.node("good"), await rig.node("odd")
    odd.distrusts = True
    await rig.control.publish(release(1, A))
    async with asyncio.timeout(4):
        while len(good.beats) < 2:
            await asyncio.sleep(0.05)
    assert {(one.group, one.sequence) for one in good.beats} == {("default", rig.control.position.sequence)}
    assert good.beats[0].at < good.beats[1].at
    assert odd.beats == []
