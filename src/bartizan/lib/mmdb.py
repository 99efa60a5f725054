"""Databases in MaxMind's format (version 2): whether a file is one, which keys it holds, and small ones that tell nothing.

A file is a search tree, sixteen zero bytes, the data that its leaves point to, and behind a marker what describes all of it.
"""

import mmap
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

_MARKER = b"\xab\xcd\xefMaxMind.com"
_FARTHEST = 128 * 1024
"""How far before its end a file's marker may be."""
_GAP = 16
_SIZES = frozenset({24, 28, 32})
_MOST_PARTS = 1000

Value: TypeAlias = "str | int | float | bytes | bool | list[Value] | dict[str, Value]"


@dataclass(frozen=True, slots=True)
class Description:
    """What a file says of itself."""

    kind: str
    """Its type, such as `GeoLite2-City`."""
    built: int
    """When it was built, in seconds since the epoch."""
    keys: frozenset[str]
    """Those that were asked for and that it holds."""


def described(path: Path, keys: Iterable[str] = ()) -> Description:
    """Reads a file's description, and looks for `keys` in its data. ValueError for what isn't such a file, OSError if it can't be read."""
    with _mapped(path) as held:
        end = held.rfind(_MARKER, max(0, len(held) - _FARTHEST))
        if end < 0:
            raise ValueError("it isn't a database in MaxMind's format, or its end is missing")
        told = _metadata(held[end + len(_MARKER) :])
        tree = _tree_bytes(told)
        if tree + _GAP > end or held[tree : tree + _GAP] != bytes(_GAP):
            raise ValueError("it is damaged: its parts don't fit together")
        found = frozenset(key for key in keys if held.find(_text(key), tree, end) >= 0)
    return Description(str(told["database_type"]), int(str(told["build_epoch"])), found)


@contextmanager
def _mapped(path: Path) -> "Iterator[mmap.mmap]":
    with path.open("rb") as file:
        try:
            held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise ValueError("it is empty") from None
        with held:
            yield held


def _metadata(data: bytes) -> dict[str, Value]:
    try:
        told, _ = _Reader(data).value(0)
    except (IndexError, struct.error, UnicodeDecodeError, RecursionError) as error:
        raise ValueError("it is damaged: its description can't be read") from error
    wanted = ("node_count", "record_size", "binary_format_major_version", "build_epoch")
    if not isinstance(told, dict) or not all(isinstance(told.get(name), int) for name in wanted) or "database_type" not in told:
        raise ValueError("it is damaged: its description lacks what every database says")
    if told["binary_format_major_version"] != 2:
        raise ValueError(f"it has version {told['binary_format_major_version']!r} of MaxMind's format; only version 2 is known")
    return told


def _tree_bytes(told: Mapping[str, Value]) -> int:
    nodes, size = int(str(told["node_count"])), int(str(told["record_size"]))
    if size not in _SIZES or nodes < 1:
        raise ValueError("it is damaged: its tree has no such size")
    return nodes * size // 4


class _Reader:
    """Reads values that hold no pointers, as descriptions are."""

    def __init__(self, data: bytes) -> None:
        self._data, self._parts = data, 0

    def value(self, at: int) -> tuple[Value, int]:
        """The value that begins there, and where the next one does."""
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise IndexError("too many parts")
        kind, size, at = self._control(at)
        if kind == 7:
            return self._map(size, at)
        if kind == 11:
            return self._list(size, at)
        if kind == 14:
            return bool(size), at
        raw = self._data[at : at + size]
        if len(raw) < size:
            raise IndexError("it ends too early")
        return _scalar(kind, raw), at + size

    def _control(self, at: int) -> tuple[int, int, int]:
        control = self._data[at]
        kind, size, at = control >> 5, control & 31, at + 1
        if kind == 0:
            kind, at = 7 + self._data[at], at + 1
        more = max(0, size - 28)
        if more:
            size = (29, 285, 65821)[more - 1] + int.from_bytes(self._data[at : at + more])
        return kind, size, at + more

    def _map(self, size: int, at: int) -> tuple[Value, int]:
        found: dict[str, Value] = {}
        for _ in range(size):
            key, at = self.value(at)
            found[str(key)], at = self.value(at)
        return found, at

    def _list(self, size: int, at: int) -> tuple[Value, int]:
        found: list[Value] = []
        for _ in range(size):
            one, at = self.value(at)
            found.append(one)
        return found, at


def _scalar(kind: int, raw: bytes) -> Value:
    if kind == 2:
        return raw.decode()
    if kind in (3, 15):
        return float(struct.unpack(">d" if kind == 3 else ">f", raw)[0])
    if kind in (5, 6, 8, 9, 10):
        return int.from_bytes(raw)
    return raw


def _text(text: str) -> bytes:
    """A short text as the format writes it."""
    raw = text.encode()
    return bytes([0x40 | len(raw)]) + raw if len(raw) < 29 else bytes([0x5D, len(raw) - 29]) + raw


def telling(everywhere: Mapping[str, str]) -> bytes:
    """A database that tells the same of every address; with nothing to tell it knows none."""
    record = (1 + _GAP if everywhere else 1).to_bytes(3)
    data = bytes([0xE0 | len(everywhere)]) + b"".join(map(_text, (part for pair in everywhere.items() for part in pair)))
    said: dict[str, bytes] = {
        "node_count": _number(6, 1),
        "record_size": _number(5, 24),
        "ip_version": _number(5, 6),
        "database_type": _text("bartizan"),
        "languages": bytes([0x00, 11 - 7]),
        "binary_format_major_version": _number(5, 2),
        "binary_format_minor_version": _number(5, 0),
        "build_epoch": bytes([0x01, 9 - 7, 1]),
        "description": bytes([0xE0]),
    }
    description = bytes([0xE0 | len(said)]) + b"".join(_text(name) + value for name, value in said.items())
    return record * 2 + bytes(_GAP) + data + _MARKER + description


def _number(kind: int, value: int) -> bytes:
    return bytes([kind << 5 | (1 if value else 0)]) + (bytes([value]) if value else b"")
