"""The control plane takes what nodes ship, bounded, whatever they send."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from bartizan.fleet import intake as module
from bartizan.telemetry.shipping import MOST_BYTES, MOST_FRAME, At, Batch, Kept, Opening, decoded, encoded, encoded_batch
from bartizan.xds.link import Lost
from tests.unit.fleet.shipped import Line, record


def batch(number: int, lines: bytes) -> bytes:
    after, at = (At(file="0" * 16, offset=i) if i else At() for i in (number, number + 1))
    return encoded_batch(Batch(after=after, at=at, sent=time.time()), lines)


async def said(line: Line, *frames: bytes) -> list[bytes | None]:
    """What comes back to a node that sends these."""
    async with line.connect() as call:
        answers = aiter(call)
        found: list[bytes | None] = []
        for frame in (encoded(Opening(stream="requests")), *frames):
            await call.write(frame)
            try:
                found.append(await asyncio.wait_for(anext(answers, None), 8))
            except Lost:
                found.append(None)
        return found


@pytest.mark.parametrize(
    "frame",
    [b"garbage", b"", b"\0\0\0\x02{}", b"x" * (MOST_FRAME + 1), batch(5, record(1).encode()), batch(0, b"cut off"), b"\xff" * MOST_BYTES],
    ids=["garbage", "empty", "no fields", "too long", "out of step", "cut", "binary"],
)
async def test_a_frame_that_is_none_ends_the_connection_and_is_told(tmp_path: Path, frame: bytes) -> None:
    async with Line(tmp_path) as line:
        answers = await said(line, frame)
        assert answers[1] is None and answers[0] is not None
        told = line.intake.told("edge")
        assert told and "can't be read" in told["problem"] and not line.kept()
        good = await said(line, batch(0, record(1).encode()))  # and the next one may be good
        assert good[1] and decoded(Kept, good[1]).at.offset == 1
        assert line.kept() == [1] and not (line.intake.told("edge") or {})["problem"]


async def test_lines_that_are_no_records_are_left_out_counted_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with Line(tmp_path) as line:
        forged = record(2).replace("{", '{"node": "other", ', 1)
        await said(line, batch(0, f"{record(1)}garbage\n{forged}{record(3)}".encode()))
        assert line.kept() == [1, 3]
        assert (line.intake.told("edge") or {})["requests"]["refused"] == 2
        assert "2 lines are no records" in caplog.text
        assert sorted(path.name for path in (tmp_path / "nodes").iterdir()) == ["edge"]


async def test_a_later_connection_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    async with Line(tmp_path) as line, line.connect() as first:
        await first.write(encoded(Opening(stream="requests")))
        answers = aiter(first)
        assert await anext(answers)
        assert len(await said(line)) == 1
        assert await asyncio.wait_for(anext(answers, None), 3) is None
        assert len(line.tasks) <= 1


async def test_a_flood_leaves_time_for_all_else_and_is_bounded_on_disk(tmp_path: Path) -> None:
    lines = record(1, 700).encode()
    lines *= MOST_BYTES // len(lines)
    late: list[float] = []

    async def beats() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            late.append(time.perf_counter() - began - 0.005)

    async with Line(tmp_path, (1 << 20, 4 << 20)) as line:
        task = asyncio.create_task(beats())
        began = time.perf_counter()
        await said(line, *(batch(i, lines) for i in range(100)))
        took = time.perf_counter() - began
        task.cancel()
        assert sum(path.stat().st_size for path in (tmp_path / "nodes" / "edge").iterdir()) < 7 << 20
        assert line.taken() == 100 * lines.count(b"\n")
    late.sort()
    half, most = (late[int(len(late) * share)] * 1e3 for share in (0.5, 0.99))
    print(f"{line.taken() / took:.0f} records a second; others wait {half:.1f} ms, p99 {most:.1f} ms")
    assert half < 20


async def test_a_full_disk_is_told_and_nothing_is_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN_S", 0.05)
    async with Line(tmp_path) as line:
        await said(line, batch(0, record(1).encode()))
        with monkeypatch.context() as context:

            def full(*_: object) -> int:
                raise OSError(28, "No space left on device")

            context.setattr(os, "pwrite", full)
            assert (await said(line, batch(1, record(2).encode())))[1] is None
            assert "No space left" in (line.intake.told("edge") or {})["problem"]
        assert (await said(line, batch(1, record(2).encode())))[1] is not None
        assert line.kept() == [1, 2] and not (line.intake.told("edge") or {})["problem"]


async def test_who_opens_no_stream_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_OPENING_S", 0.1)
    async with Line(tmp_path) as line:
        async with line.connect() as silent:
            assert await asyncio.wait_for(anext(aiter(silent), None), 3) is None
        async with line.connect() as wrong:
            await wrong.write(b'{"stream":"../../requests"}')
            assert await asyncio.wait_for(anext(aiter(wrong), None), 3) is None
        assert not (tmp_path / "nodes").exists()
        assert line.intake.told("edge") is None
