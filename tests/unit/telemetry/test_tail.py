"""Following a file: from its end, over rotations, over lines that are no records."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from bartizan.telemetry import tail
from bartizan.telemetry.tail import followed, followed_everywhere


async def _next(stream: Any, seconds: float = 3) -> list[dict[str, Any]]:
    async with asyncio.timeout(seconds):
        return list(await anext(stream))


async def test_it_begins_at_the_end_and_follows_rotations(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"old": 1}\n')
    stream = followed(path)
    waiting = asyncio.create_task(_next(stream))
    await asyncio.sleep(0.3)
    with path.open("a") as file:
        file.write('{"n": 1}\nnonsense\n[1]\n{"n": 2}\n{"n":')
    assert await waiting == [{"n": 1}, {"n": 2}]
    with path.open("a") as file:
        file.write(" 3}\n")
    assert await _next(stream) == [{"n": 3}]
    path.rename(tmp_path / "b.jsonl")
    path.write_text(json.dumps({"n": 4}) + "\n")
    assert await _next(stream) == [{"n": 4}]
    await stream.aclose()


async def test_the_files_of_all_nodes_are_followed_also_of_those_that_come_later(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"old": 1}\n')
    edge, late = (tmp_path / "nodes" / name for name in ("edge", "late"))
    edge.mkdir(parents=True)
    (edge / "a.jsonl").write_text('{"old": 2}\n')
    stream = followed_everywhere(tmp_path, "a")
    waiting = asyncio.create_task(_next(stream))
    await asyncio.sleep(0.3)
    with (edge / "a.jsonl").open("a") as file:
        file.write('{"n": 1}\n')
    assert await waiting == [{"n": 1}]
    late.mkdir()
    (late / "a.jsonl").write_text('{"n": 2}\n')
    assert await _next(stream) == [{"n": 2}]
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write('{"n": 3}\n')
    assert await _next(stream) == [{"n": 3}]
    (edge / "a.jsonl").rename(edge / "a-1.jsonl")
    with (edge / "a-1.jsonl").open("a") as file:
        file.write('{"n": 4}\n')
    (edge / "a.jsonl").write_text('{"n": 5}\n')
    assert [await _next(stream), await _next(stream)] == [[{"n": 4}], [{"n": 5}]]
    await stream.aclose()


async def test_what_is_written_between_the_last_look_and_the_new_file_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, closed = tmp_path / "a.jsonl", tmp_path / "a-1.jsonl"
    path.touch()
    stream, replaced, late = followed(path), tail._replaced, iter(['{"n": 1}\n'])

    def meanwhile(*given: Any) -> bool:
        if closed.exists():
            with closed.open("a") as file:
                file.write(next(late, ""))
        return replaced(*given)

    monkeypatch.setattr(tail, "_replaced", meanwhile)
    waiting = asyncio.create_task(_next(stream))
    await asyncio.sleep(0.2)
    path.rename(closed)
    path.write_text('{"n": 2}\n')
    assert [await waiting, await _next(stream)] == [[{"n": 1}], [{"n": 2}]]
    await stream.aclose()


async def test_what_nobody_wants_is_passed_over_and_a_line_in_two_pieces_is_none(tmp_path: Path) -> None:
    path, wanted = tmp_path / "a.jsonl", [False]
    path.write_text("")
    stream = followed_everywhere(tmp_path, "a", lambda: wanted[0])
    waiting = asyncio.create_task(_next(stream))
    await asyncio.sleep(0.3)
    with path.open("a") as file:
        file.write('{"n": 1}\n{"n": 2}\n{"n":')
        file.flush()
        await asyncio.sleep(0.3)
        assert not waiting.done()
        wanted[0] = True
        file.write(' 3}\n{"n": 4}\n')
    assert await waiting == [{"n": 3}, {"n": 4}]
    await stream.aclose()
