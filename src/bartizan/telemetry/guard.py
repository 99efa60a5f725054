"""What a new revision does to live traffic, measured against the one before: refused callers, 5xx answers, the gateway's own latency."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

_MOST_CALLERS = 100_000
_MOST_PLACES = 20_000
_LEAST = 50
"""So few requests tell nothing."""
_LEAST_OF_ONE = 20
"""So few requests of one caller tell nothing of them."""
_FLOOR_MS = 5.0
"""By so little latency may always grow: clocks are whole milliseconds."""
_BUCKETS_MS = (1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200, 500, 1000, 5000, 60_000)


class Limits(Protocol):
    """When a guard trips."""

    @property
    def refused_callers(self) -> int: ...
    @property
    def errors(self) -> float: ...
    @property
    def latency(self) -> float: ...


@dataclass(slots=True)
class Side:
    """One revision's traffic."""

    requests: int = 0
    errors: int = 0
    latency: list[int] = field(default_factory=lambda: [0] * (len(_BUCKETS_MS) + 1))
    callers: set[str] = field(default_factory=set)
    """Distinct callers that it let through: they are what a guard counts, so that no stranger can trip it."""
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Requests and errors by API and route."""
    people: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The same by caller."""

    def add(self, record: Mapping[str, Any]) -> None:
        """Counts a request."""
        self.requests += 1
        failed = int(record.get("status") or 0) >= 500
        self.errors += failed
        _add(self.places, f"{record.get('api')} {record.get('route')}", failed)
        if principal := record.get("principal"):
            _add(self.people, str(principal), failed)
        own = float(record.get("duration_ms") or 0) - float(record.get("upstream_ms") or 0)
        self.latency[next((at for at, most in enumerate(_BUCKETS_MS) if own <= most), len(_BUCKETS_MS))] += 1

    @property
    def error_share(self) -> float:
        """Of all requests."""
        return self.errors / self.requests if self.requests else 0.0

    @property
    def p99_ms(self) -> float:
        """Of the gateway's own time, to the next bucket."""
        left = self.requests * 0.99
        for at, count in enumerate(self.latency):
            left -= count
            if left <= 0:
                return float(_BUCKETS_MS[min(at, len(_BUCKETS_MS) - 1)])
        return 0.0


@dataclass(slots=True)
class Measure:
    """Both sides of a rollout."""

    before: Side = field(default_factory=Side)
    after: Side = field(default_factory=Side)
    lost: set[str] = field(default_factory=set)
    """Callers that were let through somewhere before, and are refused there now."""

    def count(self, records: Iterable[Mapping[str, Any]], revision: str) -> None:
        """Counts records; those of `revision` are after, all others before."""
        for record in records:
            is_new = record.get("revision") == revision
            side = self.after if is_new else self.before
            side.add(record)
            caller = f"{record.get('principal')}\0{record.get('http_method')} {record.get('api')} {record.get('route')}"
            if not record.get("principal") or len(side.callers) >= _MOST_CALLERS:
                continue
            if not _is_refused(record):
                side.callers.add(caller)
            elif is_new and caller in self.before.callers:
                self.lost.add(caller)

    @property
    def expected_errors(self) -> float:
        """The share of errors if each route failed as often as before: whoever calls more of what fails anyway changes nothing."""
        total = 0.0
        for place, (now, _) in self.after.places.items():
            requests, errors = self.before.places.get(place, (0, 0))
            total += now * (errors / requests if requests else self.before.error_share)
        counted = sum(now for now, _ in self.after.places.values())
        return total / counted if counted else 0.0

    def failing(self, grows: float) -> set[str]:
        """Callers whose share of errors has grown by more than this. Of few requests nothing is told."""
        found = set()
        for caller, (now, errors) in self.after.people.items():
            requests, before = self.before.people.get(caller, (0, 0))
            if now >= _LEAST_OF_ONE and requests >= _LEAST_OF_ONE and errors / now > before / requests + grows:
                found.add(caller)
        return found

    def tripped(self, limits: Limits) -> Iterator[str]:
        """The guards that trip, with their figures."""
        seen = len({one.partition("\0")[0] for one in self.after.callers | self.lost})
        lost = len({one.partition("\0")[0] for one in self.lost})
        if lost >= max(limits.refused_callers, seen / 10):
            yield f"refused callers: {lost} of {seen} that were let through before are refused now"
        if len(failing := self.failing(limits.errors)) >= limits.refused_callers:
            yield f"5xx for single callers: {len(failing)} of {len(self.after.people)} get more of them than before"
        if self.after.requests < _LEAST:
            return
        if self.after.error_share > self.expected_errors + limits.errors:
            yield f"5xx: {self.after.error_share:.1%} of the answers, {self.expected_errors:.1%} before on the same routes"
        if self.before.requests >= _LEAST and self.after.p99_ms > self.before.p99_ms * limits.latency + _FLOOR_MS:
            yield f"latency: p99 of the gateway's own is {self.after.p99_ms:.0f} ms, {self.before.p99_ms:.0f} ms before"

    def figures(self) -> dict[str, float | int | str]:
        """What was measured."""
        return {
            "requests": self.after.requests,
            "refused_callers": len({one.partition("\0")[0] for one in self.lost}),
            "errors": round(self.after.error_share, 4),
            "errors_before": round(self.expected_errors, 4),
            "p99_ms": self.after.p99_ms,
            "p99_ms_before": self.before.p99_ms,
        }


def _add(counts: dict[str, tuple[int, int]], key: str, failed: bool) -> None:
    if key in counts or len(counts) < _MOST_PLACES:
        requests, errors = counts.get(key, (0, 0))
        counts[key] = requests + 1, errors + failed


def _is_refused(record: Mapping[str, Any]) -> bool:
    """Whether a policy refused it. A limit that is used up is the caller's own matter."""
    return str(record.get("details") or "").startswith("rbac_access_denied_matched_policy[")
