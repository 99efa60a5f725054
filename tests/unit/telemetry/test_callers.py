"""What else a caller did: the newest records of every node, bounded, and only what may be seen."""

import json
from pathlib import Path
from typing import Any

import pytest

from bartizan.telemetry import callers
from bartizan.telemetry.callers import history


def write(folder: Path, *records: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(one) + "\n" for one in records]
    (folder / "requests.jsonl").write_text("".join(lines) + '{"principal": "acme", "cut')


def one(second: int, **more: Any) -> dict[str, Any]:
    return {
        "time": f"2026-11-22T08:00:{second:02d}.000Z",
        "principal": "acme",
        "source": "192.0.2.1",
        "api": "orders",
        "status": 200,
        **more,
    }


def everything(_: object) -> bool:
    return True


def test_it_is_the_same_principal_on_whichever_node(tmp_path: Path) -> None:
    write(tmp_path, one(1), one(3, status=403), one(4, principal="globex"), one(5, principal=None))
    write(tmp_path / "nodes" / "edge-1", one(2, status=429, source="192.0.2.9"), one(6, status="odd"))
    found = history(tmp_path, one(1), everything)
    assert (found.by, found.requests, found.refused, found.statuses) == ("principal", 4, 2, {0: 1, 200: 1, 403: 1, 429: 1})
    assert [str(told["time"])[17:19] for told in found.latest] == ["06", "03", "02", "01"]
    assert found.since == "2026-11-22T08:00:01.000Z"


def test_who_isnt_known_is_told_by_the_address_among_those_who_arent_known(tmp_path: Path) -> None:
    write(tmp_path, one(1), one(2, principal=None), one(3, principal="", source="192.0.2.7"), one(4, principal=None))
    found = history(tmp_path, one(2, principal=None), everything)
    assert (found.by, found.requests) == ("source", 2)
    assert history(tmp_path, one(2, principal=None, source=None), everything).requests == 0


def test_only_what_may_be_seen_is_counted(tmp_path: Path) -> None:
    write(tmp_path, one(1), one(2, api="bills"))
    assert history(tmp_path, one(1), lambda record: record["api"] == "orders").requests == 1


def test_the_newest_bytes_alone_are_read_and_the_newest_requests_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, *(one(second) for second in range(60)))
    assert len(history(tmp_path, one(1), everything).latest) == 20
    size = (tmp_path / "requests.jsonl").stat().st_size
    monkeypatch.setattr(callers, "_MOST_BYTES", size // 2)
    found = history(tmp_path, one(1), everything)
    assert 25 < found.requests < 31
    assert found.since > "2026-11-22T08:00:28"
