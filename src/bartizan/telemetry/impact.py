"""How much of the recent traffic something would have met: told before a brake is pulled."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Any

import orjson

from bartizan.model.fields import network
from bartizan.telemetry.search import series

Meets = Callable[[Mapping[str, Any]], bool]
_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class Impact:
    """What the records say."""

    requests: int
    matched: int
    consumers: tuple[str, ...]
    """Those it would have met most."""

    @property
    def share(self) -> float:
        """Of all requests."""
        return self.matched / self.requests if self.requests else 0.0


def impact(folder: Path, since: str, meets: Meets) -> Impact:
    """Looks at the records in `folder` from `since` on, a time as records tell it. Blocks: call it in a thread."""
    requests, met = 0, Counter[str]()
    for record in _records(folder, since):
        requests += 1
        if meets(record):
            met[str(record.get("principal") or "nobody")] += 1
    return Impact(requests, met.total(), tuple(name for name, _ in met.most_common(_MOST_NAMED)))


def _records(folder: Path, since: str) -> Iterator[dict[str, Any]]:
    for files in series(folder):
        yield from _of_one(files, since)


def _of_one(files: Iterator[Path], since: str) -> Iterator[dict[str, Any]]:
    """The records of one node."""
    for path in files:
        newer = False
        try:
            with path.open("rb") as opened:
                for line in opened:
                    try:
                        record = orjson.loads(line)
                    except orjson.JSONDecodeError:
                        continue  # a crash may have cut it
                    if isinstance(record, dict) and str(record.get("time", "")) >= since:
                        newer = True
                        yield record
        except FileNotFoundError:  # rotated away meanwhile
            continue
        if not newer:
            return  # files come newest first


def met_by(what: str, value: str) -> Meets:
    """Which records a brake of this would have refused."""
    if what == "ip":
        whole = network(value)
        return lambda record: _lies_in(str(record.get("source", "")), whole)
    if what == "path":
        low = value.rstrip("/").lower()
        return lambda record: _is_below(str(record.get("path", "")).lower(), low)
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
