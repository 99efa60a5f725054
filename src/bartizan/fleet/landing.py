"""Where the records of a node land: one stream of it on the control plane's disk, each batch once, whatever ends in between.

A batch is written and brought to the disk; then, in a file of its own, up to where the node's stream was taken and up to where our file
holds it. What is behind that when the control plane starts was never acknowledged: it is cut off, and comes again.
"""

import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import orjson

from bartizan.telemetry.rotation import pruned, rotated
from bartizan.telemetry.search import files
from bartizan.telemetry.shipping import At

_SLOT = 1024
_CHECK = 16
_LONGEST_FIRST = 256 << 10


class OutOfStep(ValueError):
    """A batch that doesn't follow the one before."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What came, ever."""

    records: int = 0
    refused: int = 0
    """Lines that were no records."""
    lost: int = 0
    """Records that the node had to delete before they were taken."""

    def and_also(self, records: int, refused: int, lost: int) -> "Totals":
        """With these."""
        return Totals(self.records + records, self.refused + refused, self.lost + lost)


@dataclass(frozen=True, slots=True)
class _Held:
    """What is on the disk for sure."""

    number: int = 0
    at: At = field(default_factory=At)
    first: str = ""
    """Our file, by a hash of its first line."""
    size: int = 0
    totals: Totals = field(default_factory=Totals)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A batch that was looked at. `after` and `at`: where it begins and ends in the node's stream."""

    after: At
    at: At
    lines: bytes
    records: int
    refused: int
    lost: int


class Landing:
    """The stream `stem` in `folder`. Methods block, and may be called from any thread."""

    def __init__(self, folder: Path, stem: str, bounds: Callable[[], tuple[int, int]]) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path, self._place = folder / f"{stem}.jsonl", folder / f".{stem}.position"
        self._bounds = bounds
        self._lock = threading.Lock()
        self._held = _read(self._place)
        self._unsure = False
        """Something may stand in our file behind what is held."""
        self._recover()

    @property
    def at(self) -> At:
        """Up to where the stream was taken."""
        with self._lock:
            return self._held.at

    @property
    def totals(self) -> Totals:
        """What came, ever."""
        return self._held.totals

    def take(self, arrival: Arrival) -> At:
        """Returns when it is on the disk. OutOfStep if it doesn't follow; OSError if it can't be kept: then nothing is taken."""
        with self._lock:
            held = self._held
            if arrival.after != held.at:
                raise OutOfStep("a batch doesn't follow the one before")
            first, size = self._write(arrival.lines) if arrival.lines else (held.first, held.size)
            totals = held.totals.and_also(arrival.records, arrival.refused, arrival.lost)
            now = _Held(held.number + 1, arrival.at, first, size, totals)
            _write(self._place, now)
            self._held, self._unsure = now, False
            return now.at

    def _write(self, lines: bytes) -> tuple[str, int]:
        """Our file's first line, as a hash, and its size."""
        rotate, keep = self._bounds()
        if self._held.size >= rotate or not self._path.exists():
            if self._path.exists():
                rotated(self._path)
            self._held = replace(self._held, first="", size=0)
            pruned(self._path, keep)
        size = self._held.size
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if self._unsure:
                os.ftruncate(descriptor, size)
            self._unsure = True
            _all_written(descriptor, lines, size)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        return self._held.first or _hash(lines), size + len(lines)

    def _recover(self) -> None:
        """Cuts off what was never acknowledged."""
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return
        held = self._held
        if _first_of(self._path) == held.first:
            if size > held.size:
                os.truncate(self._path, held.size)
        elif held.first and any(_first_of(one) == held.first for one in files(self._path.parent, self._path.stem)):
            os.truncate(self._path, 0)  # begun after the last that was acknowledged
            self._held = replace(held, first="", size=0)
        else:  # nobody knows: what is there stays
            rotated(self._path)


def _hash(lines: bytes) -> str:
    return hashlib.sha256(lines.partition(b"\n")[0]).hexdigest()[:16]


def _first_of(path: Path) -> str:
    """Empty if there is none."""
    try:
        with path.open("rb") as file:
            line = file.readline(_LONGEST_FIRST)
    except FileNotFoundError:
        return ""
    return _hash(line) if line else ""


def _all_written(descriptor: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, at)
        view, at = view[count:], at + count


def _read(path: Path) -> _Held:
    """The newer of two slots: a crash may have damaged the one that was being written."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return _Held()
    found = [slot for start in (0, _SLOT) if (slot := _slot(data[start : start + _SLOT])) is not None]
    return max(found, key=lambda one: one.number, default=_Held())


def _slot(data: bytes) -> _Held | None:
    body = data[_CHECK:].rstrip(b"\0")
    if hashlib.sha256(body).digest()[:_CHECK] != data[:_CHECK]:
        return None
    told = orjson.loads(body)
    return _Held(told["number"], At(**told["at"]), told["first"], told["size"], Totals(**told["totals"]))


def _write(path: Path, held: _Held) -> None:
    body = orjson.dumps({**asdict(held), "at": held.at.model_dump()})
    slot = (hashlib.sha256(body).digest()[:_CHECK] + body).ljust(_SLOT, b"\0")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _all_written(descriptor, slot, held.number % 2 * _SLOT)
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
