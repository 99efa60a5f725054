"""How much of the traffic of all nodes something would have met."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bartizan.telemetry.impact import _records, impact, met_by


def write(folder: Path, name: str, *times: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"time": time, "principal": "acme", "source": "192.0.2.1"}) for time in times]
    (folder / name).write_text("".join(line + "\n" for line in lines))


DAY = 86400.0
MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC).timestamp()


def test_each_node_is_looked_at_as_far_back_as_it_goes(tmp_path: Path) -> None:
    write(tmp_path, "requests.jsonl", "2026-11-21T08:00:00.000Z", "2026-11-22T08:00:00.000Z")
    write(tmp_path, "requests-1.jsonl", "2026-11-22T07:00:00.000Z")
    os.utime(tmp_path / "requests-1.jsonl", (MIDNIGHT - DAY, MIDNIGHT - DAY))  # last written before the time: not looked at
    write(tmp_path / "nodes" / "edge-1", "requests.jsonl", "2026-11-22T08:00:00.000Z", "2026-11-22T08:00:01.000Z")
    write(tmp_path / "nodes" / "edge-2", "requests-1.jsonl", "2026-11-22T08:00:00.000Z")
    found = impact(tmp_path, MIDNIGHT, met_by("ip", "192.0.2.0/24"))
    assert (found.requests, found.matched, found.consumers, found.looked_at) == (4, 4, ("acme",), 1)


def test_of_very_many_a_sample_from_all_over_is_enough(tmp_path: Path) -> None:
    tmp_path.mkdir(exist_ok=True)
    for number in range(3):
        told = [
            {"time": "2026-11-22T08:00:00Z", "principal": "acme" if i % 4 == 0 else "globex", "pad": "x" * (i % 97), "at": i}
            for i in range(20_000)
        ]
        (tmp_path / f"requests-{number}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in told))
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    found = impact(tmp_path, MIDNIGHT, met_by("consumer", "acme"), most=1 << 20)
    assert found.looked_at == pytest.approx((1 << 20) / size)
    assert 2_000 < found.requests < 20_000
    assert found.share == pytest.approx(0.25, abs=0.01)
    whole = impact(tmp_path, MIDNIGHT, met_by("consumer", "acme"), most=size)
    assert (whole.requests, whole.matched) == (60_000, 15_000)


def test_pieces_hold_each_line_once(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text("".join(f'{{"at": {i}}}\n' for i in range(1000)))
    size = path.stat().st_size
    for step in (1, 7, 100, 4096):
        seen = [one["at"] for start in range(0, size, step) for one in _records(path, start, min(start + step, size))]
        assert seen == list(range(1000)), step


def test_half_a_line_and_what_is_no_record_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "requests.jsonl", "2026-11-22T08:00:00.000Z")
    with (tmp_path / "requests.jsonl").open("a") as opened:
        opened.write('[1]\n{"time": "2026-11-22T08:00:0')
    found = impact(tmp_path, MIDNIGHT, met_by("consumer", "acme"))
    assert (found.requests, found.matched) == (1, 1)
