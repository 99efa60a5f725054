"""What a node ships is looked at line by line, marked as its own, and not believed further."""

import time

import orjson
import pytest

from bartizan.telemetry.places import FAILURES, REQUESTS
from bartizan.telemetry.shipping import MOST_LINE
from bartizan.telemetry.sifting import Sieve, Sifted

GOOD = {"time": "2026-11-22T08:00:00.000Z", "request_id": "a", "status": 200, "principal": "acme", "attributes": {"n": 1}}


def sifted(stream: str, *lines: bytes, sent: float | None = None) -> Sifted:
    pieces = list(Sieve("edge-1", stream, time.time() if sent is None else sent).pieces(b"".join(line + b"\n" for line in lines)))
    return Sifted(b"".join(one.lines for one in pieces), sum(one.records for one in pieces), sum(one.refused for one in pieces))


def test_a_record_is_kept_as_it_is_with_the_node_that_sent_it() -> None:
    found = sifted(REQUESTS, orjson.dumps(GOOD))
    assert (found.records, found.refused) == (1, 0)
    assert orjson.loads(found.lines) == {"node": "edge-1", **GOOD}


@pytest.mark.parametrize(
    "line",
    [
        b"garbage",
        b"[1]",
        b"{}",
        b'"text"',
        b'{"time":"2026-11-22T08:00:00.000Z"',
        b'{"time":"2026-11-22T08:00:00.000Z"}{"b":1}',
        b' {"time":"2026-11-22T08:00:00.000Z"}',
        b'{"time":"2026-11-22T08:00:00.000Z","a":"\xff"}',
        b'{"time":"2026-11-22T08:00:00.000Z","a":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"time":"2026-11-22T08:00:00.000Z","a":"' + b"x" * MOST_LINE + b'"}',
        *(orjson.dumps({**GOOD, **wrong}) for wrong in ({"node": "edge-2"}, {"at": 1.0}, {"limits": [1]}, {"status": "200"})),
        *(orjson.dumps({**GOOD, **wrong}) for wrong in ({"duration_ms": 1e300}, {"principal": {"a": 1}}, {"time": "now"}, {"time": None})),
        orjson.dumps({"request_id": "without a time"}),
        b'{"time":"2026-11-22T08:00:00.000Z","n\\u006fde":"edge-2"}',
        b'{"time":"2026-11-22T08:00:00.000Z","status":1e999}',
        b'{"time":"2026-11-22T08:00:00.000Z","status":99999999999999999999999}',
    ],
    ids=lambda line: line[:60].decode(errors="replace"),
)
def test_what_is_no_record_is_left_out_and_counted(line: bytes) -> None:
    found = sifted(REQUESTS, orjson.dumps(GOOD), line, orjson.dumps(GOOD))
    assert (found.records, found.refused) == (2, 1)
    assert b"edge-2" not in found.lines and found.lines.count(b"\n") == 2


def test_failed_attempts_are_dated_by_the_clock_of_here() -> None:
    now = time.time()
    line = orjson.dumps({"time": str(int(now) - 3600 - 20), "details": "x", "source": "192.0.2.1"})
    found = sifted(FAILURES, line, sent=now - 3600)  # its clock is an hour behind, and this was 20 s ago
    assert abs(orjson.loads(found.lines)["at"] - (now - 20)) < 2
    ahead = sifted(FAILURES, orjson.dumps({"time": str(int(now) + 9000), "source": "192.0.2.1"}))
    assert orjson.loads(ahead.lines)["at"] <= time.time() + 0.1, "none is of the future"
    assert sifted(FAILURES, b'{"time":"soon","source":"192.0.2.1"}', b'{"source":"192.0.2.1"}').refused == 2


def test_a_batch_comes_in_pieces_so_that_other_work_comes_in_between() -> None:
    line = orjson.dumps({**GOOD, "user_agent": "x" * 700}) + b"\n"
    pieces = list(Sieve("edge-1", REQUESTS, 0.0).pieces(line * 1000))
    assert len(pieces) > 10 and sum(one.records for one in pieces) == 1000
    assert b"".join(one.lines for one in pieces).count(b"\n") == 1000
