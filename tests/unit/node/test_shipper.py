"""What a node's Envoy wrote is on the control plane's disk in order, each record once, whatever breaks; what is lost is counted."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bartizan.node import shipper as module
from bartizan.node.shipper import Shipper
from bartizan.telemetry.rotation import pruned, rotated
from bartizan.telemetry.shipping import At
from tests.unit.fleet.shipped import Line, append


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_FIRST_S": 0.02, "_LONGEST_S": 0.05, "_LOOK_S": 0.05, "_POLL_S": 0.02}.items():
        monkeypatch.setattr(module, name, value)


@asynccontextmanager
async def shipping(folder: Path, line: Line) -> AsyncIterator[Shipper]:
    made = Shipper(folder, "requests", line.connect)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_records_come_in_order_and_follow_rotations(tmp_path: Path) -> None:
    node = tmp_path / "node"
    append(node, 0, 5000, 100)
    async with Line(tmp_path / "records") as line, shipping(node, line):
        await line.until(5000)
        rotated(node / "requests.jsonl")
        append(node, 5000, 5010)
        await line.until(5010)
        assert line.kept() == list(range(5010))
        told = line.intake.told("edge")
        assert told and told["requests"] == {"records": 5010, "refused": 0, "lost": 0, "behind_bytes": 0} and told["ships"] == ["requests"]


async def test_breaks_at_any_point_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    node, chance, written = tmp_path / "node", random.Random(7), 0
    async with Line(tmp_path / "records", (200_000, 1 << 30)) as line:
        for turn in range(25):
            async with shipping(node, line):
                for _ in range(3):
                    append(node, written, written + 1000, 200)
                    written += 1000
                    if chance.random() < 0.3:
                        rotated(node / "requests.jsonl")
                    await asyncio.sleep(chance.random() * 0.05)
                    await (line.restart() if turn % 2 else line.cut())
        async with shipping(node, line):
            await line.until(written)
            assert line.kept() == list(range(written))
            assert (line.intake.told("edge") or {})["requests"]["lost"] == 0


async def test_what_a_cut_off_node_must_delete_is_counted_and_the_rest_comes(tmp_path: Path) -> None:
    node = tmp_path / "node"
    async with Line(tmp_path / "records") as line, shipping(node, line):
        append(node, 0, 100)
        await line.until(100)
        line.open = False
        await line.cut()
        for start in range(100, 1100, 100):
            append(node, start, start + 100)
            rotated(node / "requests.jsonl")
            await asyncio.sleep(0.1)
        size = sum(path.stat().st_size for path in node.iterdir())
        gone = len(pruned(node / "requests.jsonl", size // 2))
        append(node, 1100, 1110)
        await asyncio.sleep(0.2)
        line.open = True
        await line.until(1110 - 100 * (gone - 1))  # the first of them was open, and is read to its end
        found = line.kept()
        lost = (line.intake.told("edge") or {})["requests"]["lost"]
        assert gone >= 5 and found[-1] == 1109 and found == sorted(set(found))
        assert len(found) + lost == 1110 and lost


async def test_lost_ones_are_told_once_also_over_breaks(tmp_path: Path) -> None:
    node = tmp_path / "node"
    async with Line(tmp_path / "records") as line:
        async with shipping(node, line) as made:
            append(node, 0, 10)
            await line.until(10)
            line.open = False
            await line.cut()
            made._lost = 7
            append(node, 10, 20)
            await asyncio.sleep(0.1)
            line.open = True
            await line.until(20)
            for _ in range(5):
                await line.cut()
                await asyncio.sleep(0.05)
            append(node, 20, 30)
            await line.until(30)
        assert (line.intake.told("edge") or {})["requests"]["lost"] == 7


async def test_a_control_plane_that_acknowledges_nonsense_is_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    node = tmp_path / "node"
    append(node, 0, 10)
    async with Line(tmp_path / "records") as line:
        talk = line.intake.talk

        async def nonsense(name: str, link: object) -> None:
            await line_write(link)

        async def line_write(link: object) -> None:
            await link.read()  # type: ignore[attr-defined]
            await link.write(b'{"at":{}}')  # type: ignore[attr-defined]
            await link.read()  # type: ignore[attr-defined]
            await link.write(b'{"at":{"file":"0123456789abcdef"}}')  # type: ignore[attr-defined]

        line.intake.talk = nonsense  # type: ignore[method-assign]
        async with shipping(node, line):
            await asyncio.sleep(0.2)
            assert "wasn't sent" in caplog.text
            line.intake.talk = talk  # type: ignore[method-assign]
            await line.until(10)
            assert line.kept() == list(range(10))


def test_what_was_under_way_when_a_connection_broke_is_told_again_unless_it_was_taken(tmp_path: Path) -> None:
    places = [At(file="0" * 16, offset=i) for i in range(4)]
    for taken, again in ((0, 70), (1, 60), (3, 0)):
        made = Shipper(tmp_path, "requests", Line(tmp_path).connect)
        made._under_way.extend((places[i], 10 * i) for i in (1, 2))
        made._under_way.append((places[3], 40))
        made._settle(places[taken])
        assert made._lost == again and not made._under_way
