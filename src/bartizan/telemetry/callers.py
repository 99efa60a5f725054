"""What else a caller did of late, told by records: bounded in bytes, however many there are."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from bartizan.telemetry.search import series

Sees = Callable[[Mapping[str, Any]], bool]
"""Whether whoever asks may see a record."""
_MOST_BYTES = 16 << 20
"""So much of the newest records is looked at, of all nodes together."""
_MOST_KEPT = 20


@dataclass(frozen=True, slots=True)
class History:
    """What the newest records say of one caller."""

    by: str
    """What tells that it is the same one: `principal`, or `source` if nobody knows who it was."""
    requests: int
    refused: int
    since: str
    """The time of the oldest record that was looked at."""
    statuses: Mapping[int, int]
    latest: tuple[Mapping[str, Any], ...]
    """The newest of them, up to 20, the newest first."""


def history(folder: Path, record: Mapping[str, Any], sees: Sees) -> History:
    """What else the caller of this record did, as far as whoever asks may see it. Blocks: call it in a thread."""
    by = "principal" if record.get("principal") else "source"
    seen = _Seen()
    latest = heapq.nlargest(_MOST_KEPT, seen.of(_records(folder), by, record.get(by), sees), key=lambda one: str(one.get("time")))
    refused = sum(count for status, count in seen.statuses.items() if status in {401, 403, 429})
    return History(by, seen.statuses.total(), refused, seen.oldest, dict(sorted(seen.statuses.items())), tuple(latest))


@dataclass(slots=True)
class _Seen:
    statuses: Counter[int] = field(default_factory=Counter)
    oldest: str = ""

    def of(self, records: Iterable[dict[str, Any]], by: str, wanted: object, sees: Sees) -> Iterator[dict[str, Any]]:
        """Those of this caller, counted as they pass. Who isn't known is told by the address, and so are only others who aren't known."""
        for one in records if wanted else ():
            moment = str(one.get("time") or "")
            self.oldest = min(self.oldest or moment, moment)
            if one.get(by) == wanted and (by == "principal" or not one.get("principal")) and sees(one):
                self.statuses[_status(one)] += 1
                yield one


def _status(record: Mapping[str, Any]) -> int:
    status = record.get("status")
    return status if isinstance(status, int) else 0


def _records(folder: Path) -> Iterator[dict[str, Any]]:
    """The newest records of each node, in the order in which it wrote them."""
    newest = [path for files in series(folder) if (path := next(files, None)) is not None]
    for path in newest:
        with suppress(FileNotFoundError), path.open("rb") as opened:
            size = opened.seek(0, 2)
            start = max(0, size - _MOST_BYTES // len(newest))
            opened.seek(start)
            if start:
                opened.readline()
            for line in opened.read(size - opened.tell()).splitlines():
                with suppress(orjson.JSONDecodeError):  # a crash may have cut it
                    found = orjson.loads(line)
                    if isinstance(found, dict):
                        yield found
