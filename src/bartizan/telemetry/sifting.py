"""Lines that a node says are records: those that are, marked with the node that sent them. Nothing else of them is believed."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from bartizan.telemetry.places import FAILURES
from bartizan.telemetry.shipping import MOST_LINE

_TEXT = (
    *("time", "request_id", "revision", "api", "route", "principal", "auth_method", "issuer", "key", "groups", "http_method", "host"),
    *("path", "details", "flags", "policies", "source", "user_agent", "protocol", "traceparent", "ja4", "certificate", "tls"),
    *("device_id", "device_trusted", "bound"),
)
_WHOLE = ("status", "bytes_in", "bytes_out", "duration_ms", "upstream_ms")
_OURS = ("node", "at")
"""What is written here, and never taken from a node."""
_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(_TEXT, (str, type(None))),
    **dict.fromkeys(_WHOLE, (int, type(None))),
    "generation": (str, int, type(None)),
    **dict.fromkeys(("attributes", "place", "shadows"), (dict, type(None))),
    **dict.fromkeys((*_OURS, "limits"), ()),
}
_MOMENT = len("2026-11-22T08:00:00.000Z")
_PIECE = 64 << 10
_MOST_SHAPES = 100


@dataclass(frozen=True, slots=True)
class Sifted:
    """What came through."""

    lines: bytes
    records: int
    refused: int


class Sieve:
    """For one batch of a node. `sent`: the node's clock as it sent it, to tell when failed attempts were by the clock of here."""

    def __init__(self, node: str, stream: str, sent: float) -> None:
        self._mark = b'{"node":' + orjson.dumps(node) + b","
        self._fails = stream == FAILURES
        self._ahead = sent - time.time()
        self._shapes: dict[tuple[tuple[str, ...], tuple[type, ...]], bool] = {}

    def pieces(self, data: bytes) -> Iterator[Sifted]:
        """Piece by piece, so that other work may come in between."""
        at = 0
        while at < len(data):
            end = data.rfind(b"\n", at, at + _PIECE) + 1 or data.find(b"\n", at) + 1 or len(data)
            yield self._sifted(data[at:end])
            at = end

    def _sifted(self, data: bytes) -> Sifted:
        found, refused = [], 0
        for line in data.split(b"\n"):
            if not line:
                continue
            made = self._marked(line)
            if made is None:
                refused += 1
            else:
                found.append(made)
        return Sifted(b"".join(found), len(found), refused)

    def _marked(self, line: bytes) -> bytes | None:
        """The line as it is kept; None if it is no record."""
        if len(line) > MOST_LINE or line[:1] != b"{":
            return None
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(record, dict) or not self._fits(record):
            return None
        if self._fails:
            return self._dated(line, record)
        return self._mark + line[1:] + b"\n" if len(record.get("time") or "") == _MOMENT else None

    def _fits(self, record: dict[str, Any]) -> bool:
        """Whether each field is of its kind. Few shapes are looked at, because most records have the same."""
        shape = tuple(record), tuple(map(type, record.values()))
        known = self._shapes.get(shape)
        if known is None:
            if len(self._shapes) >= _MOST_SHAPES:
                self._shapes.clear()
            known = self._shapes[shape] = bool(record) and all(
                issubclass(kind, _KINDS[name]) for name, kind in zip(*shape, strict=True) if name in _KINDS
            )
        return known

    def _dated(self, line: bytes, record: dict[str, Any]) -> bytes | None:
        told = str(record.get("time"))
        if not told.isdecimal() or len(told) > 12:
            return None
        # A node's attempts count from when they were: what was held up by a broken connection may be long over.
        return self._mark + b'"at":%.1f,' % min(int(told) - self._ahead, time.time()) + line[1:] + b"\n"
