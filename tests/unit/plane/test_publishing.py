"""In which order nodes are told of a canary by caller, and what becomes of one that an Envoy refuses. The nodes speak their frames."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from bartizan.compile import Compiled
from bartizan.compile.riding import riding
from bartizan.compile.split import Callers, Split
from bartizan.envoy import names
from bartizan.lib.sockets import socket_folder
from bartizan.plane.publishing import Publisher
from bartizan.rollout.standing import Standing
from bartizan.rollout.state import Live, state_of
from bartizan.telemetry.changes import CHANGES
from bartizan.xds.control import ControlServer, Patience
from bartizan.xds.plan import in_order
from tests.signing import SIGNER
from tests.unit.compile.test_riding import DENY, REST, made
from tests.unit.xds.test_control import Node

ACTIVE, CANDIDATE = made(), made(REST + DENY)
OTHER = made(REST + DENY.replace("10.0.0.0", "11.0.0.0"))
ROUTE = "*/orders"


@dataclass
class Bench:
    """A publisher and one node."""

    publisher: Publisher
    node: Node
    folder: Path

    async def bring(self, compiled: Compiled, split: Split | None, generation: int = 1) -> bool:
        """Brings the node there."""
        self.publisher.split = split
        return await self.publisher.bring(compiled, Live(generation, principal=b"principal"), 0.0)

    def told(self) -> list[dict[str, str]]:
        """Each release: what it does to the route and to the marks."""
        found = []
        for release in self.node.got:
            bodies = {one.name: one.body for step in release.steps for one in step.changed if one.type_url != names.SCOPE}
            found.append({name: _names(bodies[name]) for name in (ROUTE, names.BRAKES) if name in bodies})
        self.node.got.clear()
        return found

    def holds(self) -> tuple[str, str]:
        """What the node's route and marks speak of."""
        bodies = {one.name: one.body for one in self.node.state if one.type_url != names.SCOPE}
        return _names(bodies[ROUTE]), _names(bodies[names.BRAKES])


def _names(body: bytes) -> str:
    revisions = {"active": ACTIVE, "candidate": CANDIDATE, "other": OTHER}
    return " ".join(name for name, one in revisions.items() if one.snapshot.revision.encode() in body)


ACME = Callers(("acme",))


def split(callers: Callers = ACME, active: Compiled = ACTIVE) -> Split:
    return Split(callers, active.snapshot.revision, CANDIDATE.snapshot.revision, riding(active, CANDIDATE))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    (tmp_path / "records").mkdir()
    path = socket_folder(tmp_path) / "control.sock"
    control = ControlServer(path, SIGNER, plan=in_order, patience=Patience(answer_s=2, others_s=0.2, first_s=2))
    await control.start()
    node = Node(path, "n1")
    while not any(one.connected for one in control.nodes()):
        await control.changed()
    made = Bench(Publisher(control, state_of, Standing(), tmp_path), node, tmp_path)
    assert await made.bring(ACTIVE, None)
    made.node.got.clear()
    yield made
    await node.leave()
    await control.stop()


async def test_it_begins_in_one_release_and_nobody_is_marked_any_more_before_its_routes_go(bench: Bench) -> None:
    assert await bench.bring(ACTIVE, one := split())
    assert bench.told() == [{ROUTE: "active candidate", names.BRAKES: "candidate"}]
    assert await bench.bring(ACTIVE, one, generation=2)
    assert bench.holds() == ("active candidate", "candidate")
    bench.told()
    assert await bench.bring(ACTIVE, None, generation=2)
    assert bench.told() == [{names.BRAKES: ""}, {ROUTE: "active"}]
    notes = [orjson.loads(line) for line in (bench.folder / CHANGES).read_bytes().splitlines()]
    assert [(one["revision"], one.get("on"), one.get("for")) for one in notes] == [
        (ACTIVE.snapshot.revision, None, None),
        (CANDIDATE.snapshot.revision, "canary", "acme"),
    ]


async def test_let_out_everywhere_its_callers_never_meet_the_revision_before_again(bench: Bench) -> None:
    await bench.bring(ACTIVE, one := split())
    bench.told()
    assert await bench.bring(CANDIDATE, one)
    assert bench.told() == [{ROUTE: "candidate"}]
    assert await bench.bring(CANDIDATE, None)
    assert bench.told() == [{names.BRAKES: ""}]


async def test_a_way_back_to_a_third_revision_ends_it_first(bench: Bench) -> None:
    await bench.bring(ACTIVE, one := split())
    bench.told()
    assert await bench.bring(OTHER, one)
    assert bench.told() == [{names.BRAKES: ""}, {ROUTE: "other"}]


async def test_other_callers_are_marked_in_its_place(bench: Bench) -> None:
    await bench.bring(ACTIVE, split())
    bench.told()
    assert await bench.bring(ACTIVE, split(Callers(percent=5)))
    assert bench.told() == [{names.BRAKES: "candidate"}]


@pytest.mark.parametrize("refused", [ROUTE, names.BRAKES])
async def test_what_an_envoy_refuses_is_told_and_live_data_has_come_all_the_same(bench: Bench, refused: str) -> None:
    bench.node.refuses = {refused}
    assert await bench.bring(ACTIVE, split(), generation=7), "the policies weren't refused"
    assert bench.publisher.split_error == f"n1: bad {refused}"
    assert bench.publisher.standing.error == ""
    assert bench.holds() == ("active", "")
    assert bench.publisher.state is not None
    assert (bench.publisher.state.split, bench.publisher.state.live.generation) == (None, 7)


async def test_live_data_goes_first_when_both_revisions_are_compiled_anew(bench: Bench) -> None:
    await bench.bring(ACTIVE, split())
    bench.told()
    again = made()
    assert await bench.bring(again, split(active=again), generation=2)
    assert bench.holds() == ("active candidate", "candidate")
    assert bench.publisher.state is not None
    assert bench.publisher.state.live.generation == 2
