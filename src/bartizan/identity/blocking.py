"""Sources with many failed attempts to authenticate: counted from the records, blocked for a while."""

import ipaddress
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from bartizan.model.fields import network
from bartizan.model.gateway import Blocking

_MOST_SOURCES = 100_000
_MOST_BY_A_NODE = 5_000
"""So many blocks may rest on the word of one node of another machine: it may be taken over, and everybody's Envoy holds them."""


class FailedAttempts:
    """Counts failures per source (IPv6 by /64) and says who is blocked. Times are seconds since the epoch.

    Blocks are kept in `file`, so that neither a restart nor other rules free anyone; only exempting does.
    """

    def __init__(self, rules: Blocking, file: Path | None = None) -> None:
        self.rules = rules
        self._exempt = [network(one) for one in rules.exempt]
        self._file = file
        self._attempts: dict[str, deque[float]] = {}
        self._by: dict[str, str] = {}
        """Which node of another machine told what blocked a source."""
        self._blocked_by: Counter[str] = Counter()
        self._until = {source: until for source, until in _kept(file).items() if not self._is_exempt(source)}

    def count(self, records: Iterable[Mapping[str, Any]], now: float) -> bool:
        """Counts failures, those that were shipped from the time when they were. True if someone is blocked who wasn't."""
        before = len(self._until)
        window, limit = self.rules.window.total_seconds(), self.rules.attempts
        for record in records:
            source = _source(record.get("source"))
            at, node = record.get("at", now), str(record.get("node", ""))
            if source is None or source in self._until or self._is_exempt(source) or at <= now - window:
                continue
            if node and self._blocked_by[node] >= _MOST_BY_A_NODE:
                continue
            if len(self._attempts) >= _MOST_SOURCES:
                self._forget(now - window)
            times = self._attempts.setdefault(source, deque(maxlen=limit))
            times.append(at)
            if len(times) == limit and times[0] > now - window:
                self._until[source] = now + self.rules.duration.total_seconds()
                del self._attempts[source]
                if node:
                    self._by[source] = node
                    self._blocked_by[node] += 1
        if len(self._until) > before:
            self._keep()
        return len(self._until) > before

    def _is_exempt(self, source: str) -> bool:
        return any(source_in(source, one) for one in self._exempt)

    def _keep(self) -> None:
        if self._file is not None:
            partial = self._file.with_suffix(".new")
            with suppress(OSError):
                partial.write_bytes(orjson.dumps(self._until))
                partial.replace(self._file)

    def blocked(self, now: float) -> frozenset[str]:
        """The networks that are blocked now."""
        for source in [source for source, until in self._until.items() if until <= now]:
            del self._until[source]
            if (node := self._by.pop(source, None)) is not None:
                self._blocked_by[node] -= 1
        return frozenset(self._until)

    def warnings(self) -> list[str]:
        """What needs somebody's attention."""
        told = "{}: {} sources are blocked by its records alone; it blocks no more. Is it itself?"
        return [told.format(f"node {node}", count) for node, count in self._blocked_by.items() if count >= _MOST_BY_A_NODE]

    def _forget(self, before: float) -> None:
        self._attempts = {source: times for source, times in self._attempts.items() if times[-1] > before}
        if len(self._attempts) >= _MOST_SOURCES:
            self._attempts.clear()


def _kept(file: Path | None) -> dict[str, float]:
    """What was kept; nothing if it can't be read."""
    try:
        found = orjson.loads(file.read_bytes()) if file is not None else {}
        return {str(network(source)): float(until) for source, until in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def source_in(source: str, whole: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Whether the source's network lies in `whole`."""
    one = network(source)
    if isinstance(one, ipaddress.IPv4Network):
        return isinstance(whole, ipaddress.IPv4Network) and one.subnet_of(whole)
    return isinstance(whole, ipaddress.IPv6Network) and one.subnet_of(whole)


def _source(text: object) -> str | None:
    try:
        address = ipaddress.ip_address(str(text))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return f"{address.ipv4_mapped}/32"
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    return f"{address}/32"
