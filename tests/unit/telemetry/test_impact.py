"""How much of the traffic of all nodes something would have met."""

import json
from pathlib import Path

from bartizan.telemetry.impact import impact, met_by


def write(folder: Path, name: str, *times: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"time": time, "principal": "acme", "source": "192.0.2.1"}) for time in times]
    (folder / name).write_text("".join(line + "\n" for line in lines))


def test_each_node_is_looked_at_as_far_back_as_it_goes(tmp_path: Path) -> None:
    write(tmp_path, "requests.jsonl", "2026-11-22T08:00:00.000Z")
    write(tmp_path, "requests-1.jsonl", "2026-11-20T08:00:00.000Z")
    write(tmp_path, "requests-0.jsonl", "2026-11-22T09:00:00.000Z")  # behind one that is older than asked: not looked at
    write(tmp_path / "nodes" / "edge-1", "requests.jsonl", "2026-11-22T08:00:00.000Z", "2026-11-22T08:00:01.000Z")
    write(tmp_path / "nodes" / "edge-2", "requests-1.jsonl", "2026-11-22T08:00:00.000Z")
    found = impact(tmp_path, "2026-11-22T00:00:00", met_by("ip", "192.0.2.0/24"))
    assert (found.requests, found.matched, found.consumers) == (4, 4, ("acme",))
