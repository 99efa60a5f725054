"""Which policies the recorded requests have met, what those said, and from where the requests came: what nothing ever meets shows by it."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bartizan.model.covering import Covering
from bartizan.model.fields import network
from bartizan.telemetry.decision import decision_of

CoveringOf = Callable[[str, str, str], Sequence[Covering]]
"""The policies that cover a route, by its API, path and method."""
_MOST_KEPT = 100_000
_Asked = tuple[tuple[str, bool], ...]
"""The policies that were asked, each with whether it let through."""


@dataclass(slots=True)
class Met:
    """What records tell of policies."""

    covering: CoveringOf
    requests: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    """How often each policy was asked, or applied."""
    passed: Counter[str] = field(default_factory=Counter)
    """How often each let through."""
    sources: set[str] = field(default_factory=set)
    overflown: bool = False
    """Whether there were more sources than are kept: then of none can be said that nothing came from it."""
    _known: dict[tuple[Any, ...], _Asked] = field(default_factory=dict)
    _routes: dict[tuple[str, str, str], Sequence[Covering]] = field(default_factory=dict)

    def count(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Counts records."""
        for record in records:
            self.requests += 1
            for policy, through in self._said(record):
                self.asked[policy] += 1
                self.passed[policy] += through
            source = record.get("source")
            if isinstance(source, str) and source not in self.sources:
                if len(self.sources) < _MOST_KEPT:
                    self.sources.add(source)
                else:
                    self.overflown = True

    def _said(self, record: Mapping[str, Any]) -> _Asked:
        """Few differ, so what was read of one is kept."""
        shadows = tuple(sorted((record.get("shadows") or {}).items()))
        where = tuple(str(record.get(name) or "") for name in ("api", "route", "http_method"))
        key = (*where, record.get("details"), int(record.get("status") or 0) >= 400, record.get("policies"), shadows)
        if key not in self._known:
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            verdicts = decision_of(record, self._covering(where)).verdicts if where[0] else ()  # type: ignore[arg-type]
            self._known[key] = tuple(
                (one.policy, one.said in {"allowed", "counted", "applies"}) for one in verdicts if _was_asked(one.said)
            )
        return self._known[key]

    def _covering(self, where: tuple[str, str, str]) -> Sequence[Covering]:
        if where not in self._routes:
            self._routes[where] = self.covering(*where)
        return self._routes[where]

    def unseen(self, networks: Iterable[str]) -> list[str]:
        """Those of these networks from which no request came."""
        if self.overflown:
            return []
        seen = {version: _ranges(self.sources, version) for version in (4, 6)}
        return [text for text in networks if not _touched(text, seen)]


def _was_asked(said: str) -> bool:
    return said != "not reached"


_Ranges = tuple[list[int], list[int]]
"""The first and the last addresses of networks, in order."""


def _ranges(sources: Iterable[str], version: int) -> _Ranges:
    found = []
    for text in sources:
        try:
            one = network(text)
        except ValueError:
            continue
        if one.version == version:
            found.append((int(one.network_address), int(one.broadcast_address)))
    found.sort()
    return [first for first, _ in found], [last for _, last in found]


def _touched(text: str, seen: Mapping[int, _Ranges]) -> bool:
    wanted = network(text)
    first, last = int(wanted.network_address), int(wanted.broadcast_address)
    firsts, lasts = seen[wanted.version]
    at = bisect_left(firsts, first)
    # Records cut addresses alike, so what they tell of lies apart: only the one before can reach into it.
    return (at < len(firsts) and firsts[at] <= last) or (at > 0 and lasts[at - 1] >= first)
