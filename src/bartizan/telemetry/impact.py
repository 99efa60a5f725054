"""How much of the recent traffic something would have met: told before a brake is pulled."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Any

import orjson

from bartizan.model.fields import network
from bartizan.telemetry.search import series

Meets = Callable[[Mapping[str, Any]], bool]
_MOST_NAMED = 10
MOST_BYTES = 32 << 20
"""So much is looked at, in some tenths of a second."""
_PIECE = 256 << 10


@dataclass(frozen=True, slots=True)
class Impact:
    """What the records say."""

    requests: int
    matched: int
    consumers: tuple[str, ...]
    """Those it would have met most."""
    looked_at: float = 1.0
    """The share of the records that was looked at."""

    @property
    def share(self) -> float:
        """Of all requests."""
        return self.matched / self.requests if self.requests else 0.0


def impact(folder: Path, since: float, meets: Meets, most: int = MOST_BYTES) -> Impact:
    """Looks at the records in `folder` from `since` on, in seconds since the epoch. Of more than `most` bytes it looks at pieces from all
    over the time, because whoever pulls a brake is in a hurry. Blocks: call it in a thread."""
    requests, met = 0, Counter[str]()
    files = {path: size for path, size, changed in _files(folder) if changed >= since}
    total = sum(files.values())
    oldest = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since))
    for piece in _pieces(files, most):
        for record in _records(*piece):
            if str(record.get("time", "")) >= oldest:
                requests += 1
                if meets(record):
                    met[str(record.get("principal") or "nobody")] += 1
    looked_at = min(1.0, most / total) if total else 1.0
    return Impact(requests, met.total(), tuple(name for name, _ in met.most_common(_MOST_NAMED)), looked_at)


def _files(folder: Path) -> Iterator[tuple[Path, int, float]]:
    """Each file of records with its size, and when it was last written."""
    for files in series(folder):
        for path in files:
            with suppress(FileNotFoundError):  # rotated away meanwhile
                stat = path.stat()
                yield path, stat.st_size, stat.st_mtime


def _pieces(files: Mapping[Path, int], most: int) -> Iterator[tuple[Path, int, int]]:
    """What to look at: files from where to where. All of them, or one piece of each of as many equal parts; where in its part is chance, so
    that nobody can keep out of the way of it."""
    total = sum(files.values())
    if total <= most:
        yield from ((path, 0, size) for path, size in files.items())
        return
    count = max(1, most // _PIECE)
    wanted = [int((i + random.random()) * total / count) for i in range(count)]  # noqa: S311  no secret hangs on it
    before = 0
    for path, size in files.items():
        yield from ((path, at - before, min(at - before + _PIECE, size)) for at in wanted if before <= at < before + size)
        before += size


def _records(path: Path, start: int, end: int) -> Iterator[dict[str, Any]]:
    """The records that begin in this part of the file."""
    with suppress(FileNotFoundError), path.open("rb") as opened:
        at = start
        if start:
            opened.seek(start - 1)
            at += len(opened.readline()) - 1
        while at < end and (line := opened.readline()):
            at += len(line)
            with suppress(orjson.JSONDecodeError):  # a crash may have cut it
                record = orjson.loads(line)
                if isinstance(record, dict):
                    yield record


def met_by(what: str, value: str) -> Meets:
    """Which records a brake of this would have refused."""
    if what == "ip":
        whole = network(value)
        return lambda record: _lies_in(str(record.get("source", "")), whole)
    if what == "path":
        low = value.rstrip("/").lower()
        return lambda record: _is_below(str(record.get("path", "")).lower(), low)
    if what in {"token", "session"}:
        return lambda _: False  # one token's: no record tells which one it was
    field = {"consumer": "principal", "key": "key"}[what]
    return lambda record: record.get(field) == value


def _is_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix + "/")


def _lies_in(text: str, whole: IPv4Network | IPv6Network) -> bool:
    try:
        address: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        return False  # pseudonymised, or none
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address in whole
