"""Rollouts that are kicked: whatever is killed, cut off or full in the middle, they end, and nobody is ever let through by accident."""

import asyncio
import random
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.e2e.gateway import free_port
from tests.e2e.kick_rig import PATHS, Answer, Callers, Kicked, kicked, refusing
from tests.e2e.node_rig import eventually, listens

RELEASES = "{approvals: 1, stages: [{canary: {nodes: [edge-1], for: 400ms}}]}"
SEED = 20_261_122
VICTIMS: tuple[tuple[str, ...], ...] = (
    ("app",),
    ("node",),
    ("envoy",),
    ("edge node",),
    ("edge envoy",),
    ("node", "envoy"),
    ("edge node", "edge envoy"),
    ("app",),
    ("app", "edge node", "edge envoy"),
)
WAITS_S, TAKES_S = 0.35, 1.6
"""How long a change waits for its approval; within which time of its beginning somebody is killed."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kicked]:
    extra = free_port()
    async with kicked(tmp_path_factory.mktemp("kicked"), RELEASES, edge=("--listen", f"extra=127.0.0.1:{extra}")) as made:
        made.extra = extra
        yield made


@dataclass
class Turn:
    """One rollout, and who was killed in its middle."""

    active: tuple[str, str]
    """The revision before, and the path that it refuses."""
    candidate: tuple[str, str]
    began: float
    approved: float
    settled: float = 0.0
    killed: tuple[str, ...] = ()
    passed: float = field(default=float("inf"))
    """When the canary had passed."""

    @property
    def refused(self) -> dict[str, set[str]]:
        """What each revision refuses."""
        return {revision: {path, "/orders/never"} for revision, path in (self.active, self.candidate)}

    def may(self, one: Answer) -> set[int]:
        """The answers that a caller may get."""
        revisions = {self.active[0]}
        out = self.approved if one.node == "edge-1" else self.passed
        if one.received >= out:
            revisions.add(self.candidate[0])
        return {403 if one.path in self.refused[revision] else 200 for revision in revisions}


async def _kick(fleet: Kicked, chance: random.Random, victims: tuple[str, ...]) -> None:
    await asyncio.sleep(chance.uniform(0, TAKES_S))
    fleet.kill(*victims)


async def _turn(fleet: Kicked, chance: random.Random, before: tuple[str, str], victims: tuple[str, ...]) -> tuple[Turn, dict[str, Any]]:
    """A change from one refused path to the other, kicked at some point, aborted or not, until all nodes hold what came of it."""
    path = PATHS[0] if before[1] == PATHS[1] else PATHS[1]
    began = time.time()
    kicking = asyncio.create_task(_kick(fleet, chance, victims))
    candidate = await fleet.put(refusing(path))
    await asyncio.sleep(WAITS_S)
    turn = Turn(before, (candidate, path), began, time.time(), killed=victims)
    await fleet.approve()
    if chance.random() < 0.3:
        await asyncio.sleep(chance.uniform(0, TAKES_S - WAITS_S))
        await fleet.insist("POST", "/v1/rollout", 200, 409, what="abort")
    told = await fleet.ended()
    await kicking
    await fleet.all_hold(candidate if told["status"] == "done" else before[0])
    turn.passed = min((one["time"] for one in told["history"] if one["what"] == "canary passed"), default=float("inf"))
    turn.settled = time.time()
    return turn, told


def _wrong(turn: Turn, answers: Iterable[Answer]) -> list[Answer]:
    """Answers that neither revision gives there at that time. A node whose Envoy was killed may give none for a while."""
    none = {0, 503} if {"envoy", "edge envoy"} & set(turn.killed) else set()
    return [one for one in answers if one.status not in turn.may(one) | none]


async def _judged_by_record(fleet: Kicked, turn: Turn, answers: list[Answer]) -> tuple[int, int]:
    """How many answers have a record, of how many. Each record names a revision that gives that answer."""
    good = [one for one in answers if one.status in {200, 403}]
    deadline = time.monotonic() + 5
    while True:
        records = fleet.records()
        known = [one for one in good if one.request_id in records]
        if len(known) > 0.98 * len(good) or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.2)
    for one in known:
        revision = records[one.request_id]["revision"]
        assert revision in turn.refused, (one, records[one.request_id])
        assert (one.status == 403) == (one.path in turn.refused[revision]), (one, records[one.request_id])
    return len(known), len(good)


@pytest.mark.asyncio(loop_scope="module")
async def test_whoever_is_killed_the_rollout_ends_and_no_answer_is_anybody_elses(fleet: Kicked) -> None:
    chance = random.Random(SEED)
    revision = await fleet.put(refusing(PATHS[0]))
    await fleet.approve()
    assert (await fleet.ended())["status"] == "done"
    await fleet.all_hold(revision)
    before, turns, ends = (revision, PATHS[0]), [], []
    async with Callers(fleet).asking() as callers:
        for victims in chance.sample(VICTIMS, len(VICTIMS)):
            turn, told = await _turn(fleet, chance, before, victims)
            assert told["status"] in {"done", "aborted"}, (victims, told, fleet.log())
            before = turn.candidate if told["status"] == "done" else before
            turns.append(turn)
            ends.append(told["status"])
            print(f"{' and '.join(victims)}: {told['status']} in {turn.settled - turn.began:.1f} s")
    assert "done" in ends
    counted = [0, 0]
    for turn in turns:
        answers = list(callers.between(turn.began, turn.settled))
        assert {one.node for one in answers if one.status in {200, 403}} == set(fleet.ports)
        assert not (wrong := _wrong(turn, answers)), (turn, wrong[:5], len(wrong))
        found = await _judged_by_record(fleet, turn, answers)
        counted = [counted[0] + found[0], counted[1] + found[1]]
    print(f"{counted[1]} answers, {counted[0]} of them with a record")
    assert counted[0] > 0.9 * counted[1], counted
    assert not [one for one in callers.answers if one.path == "/orders/never" and one.status == 200]


async def _let_out(fleet: Kicked, policy: dict[str, Any]) -> str:
    revision = await fleet.put(policy)
    await fleet.approve()
    return revision


async def _settled(fleet: Kicked) -> tuple[str, str]:
    """A revision that all nodes hold, and the path that it refuses."""
    revision = await _let_out(fleet, refusing(PATHS[0]))
    await fleet.ended()
    await fleet.all_hold(revision)
    return revision, PATHS[0]


async def _answers(fleet: Kicked, node: str) -> list[int]:
    url = f"http://127.0.0.1:{fleet.ports[node]}"
    async with httpx.AsyncClient(base_url=url, headers={"x-api-key": fleet.key}) as client:
        return [(await client.get(path)).status_code for path in PATHS]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_node_cut_off_in_the_middle_of_a_canary_holds_up_nobody_and_catches_up(fleet: Kicked) -> None:
    await _settled(fleet)
    async with Callers(fleet).asking() as callers:
        await _let_out(fleet, refusing(PATHS[1]))
        await eventually(lambda: _is(fleet, "edge-1", [200, 403, 403]), 10)
        fleet.kill("edge node", how=signal.SIGSTOP)
        try:
            told = await fleet.ended()
            assert told["status"] == "done", told
            await eventually(lambda: _is(fleet, "local", [200, 403, 403]), 5)
            # It serves on what it holds, and the others have the next change at once.
            both = {"kind": "IpAccess", "name": "shut", **refusing(*PATHS[:2])}
            urgent = await fleet.insist("POST", "/v1/changes", 200, put=[both], emergency=True)
            await eventually(lambda: _is(fleet, "local", [403, 403, 403]), 2)
            assert await _answers(fleet, "edge-1") == [200, 403, 403]
            nodes = {node["node_id"]: node for node in (await fleet.status())["nodes"]}
            assert not nodes["edge-1"]["connected"] or nodes["edge-1"]["lag"] > 0
        finally:
            fleet.kill("edge node", how=signal.SIGCONT)
        await fleet.all_hold(urgent["revision"])
        assert await _answers(fleet, "edge-1") == [403, 403, 403]
    assert {one.status for one in callers.answers} == {200, 403}
    assert {one.status for one in callers.answers if one.path == "/orders/never"} == {403}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_canary_whose_node_is_cut_off_before_it_has_it_ends_by_itself(fleet: Kicked) -> None:
    before, _ = await _settled(fleet)
    fleet.kill("edge node", how=signal.SIGSTOP)
    try:
        await _let_out(fleet, refusing(PATHS[1]))
        told = await fleet.ended()
        assert told["status"] == "failed"
        assert "edge-1" in told["why"], told
        assert await _answers(fleet, "local") == await _answers(fleet, "edge-1") == [403, 200, 403]
    finally:
        fleet.kill("edge node", how=signal.SIGCONT)
    await fleet.all_hold(before)


@contextmanager
def _taken(port: int) -> Iterator[None]:
    with socket.socket() as taking:
        taking.bind(("127.0.0.1", port))
        taking.listen()
        yield


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("stage", "node"), [("canary", "edge-1"), ("everywhere", "local")])
async def test_a_change_that_a_nodes_envoy_refuses_fails_by_itself_and_says_where_and_why(fleet: Kicked, stage: str, node: str) -> None:
    before, _ = await _settled(fleet)
    own = (await fleet.insist("GET", "/v1/resources/Gateway/edge", 200))["document"]
    here = free_port()
    listeners = [*own["listeners"], {"name": "extra", "address": f"127.0.0.1:{here}"}]
    before_it = {name: value for name, value in own.items() if name not in {"kind", "name"}}
    changed = {**before_it, "listeners": listeners}
    port = {"edge-1": fleet.extra, "local": here}[node]
    with _taken(port):
        async with Callers(fleet).asking() as callers:
            await fleet.insist("PUT", "/v1/resources/Gateway/edge", 200, **changed)
            await fleet.approve()
            told = await fleet.ended(13)  # sooner than a node that says nothing would be given up
            await fleet.all_hold(before)
    assert (told["status"], told["stage"]) == ("failed", stage)
    assert node in told["why"] and f"127.0.0.1:{port}" in told["why"], told["why"]
    assert {(one.path, one.status) for one in callers.answers} == set(zip(PATHS, (403, 200, 403), strict=True))
    # What was in the way is gone: the same change goes its way.
    await fleet.insist("PUT", "/v1/resources/Gateway/edge", 200, **changed)
    await fleet.approve()
    assert (await fleet.ended())["status"] == "done"
    for open_ in (fleet.extra, here):
        await eventually(lambda open_=open_: listens(open_), 3)
    await fleet.insist("PUT", "/v1/resources/Gateway/edge", 200, **before_it)
    await fleet.approve()
    assert (await fleet.ended())["status"] == "done"


async def _is(fleet: Kicked, node: str, wanted: list[int]) -> bool:
    return await _answers(fleet, node) == wanted
