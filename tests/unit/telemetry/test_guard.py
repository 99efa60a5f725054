"""Guards of a rollout: what trips them, and that no stranger can."""

from typing import Any

import pytest

from bartizan.model.releases import Guards
from bartizan.telemetry.guard import Measure

LIMITS = Guards()
REFUSED = {"status": 403, "details": "rbac_access_denied_matched_policy[Authorize/x]"}


def record(revision: str, principal: str | None = "acme", **more: Any) -> dict[str, Any]:
    whole = {"revision": revision, "principal": principal, "http_method": "GET", "api": "orders", "route": "/orders", "status": 200}
    return {**whole, "duration_ms": 10, "upstream_ms": 9, **more}


def counted(*records: dict[str, Any]) -> Measure:
    made = Measure()
    made.count(records, "new")
    return made


def callers(revision: str, count: int, **more: Any) -> list[dict[str, Any]]:
    return [record(revision, f"c{i}", **more) for i in range(count)]


@pytest.mark.parametrize(("lost", "trips"), [(0, False), (2, False), (3, True), (10, True)])
def test_so_many_distinct_callers_that_were_let_through_before(lost: int, trips: bool) -> None:
    made = counted(*callers("old", 20), *callers("new", lost, **REFUSED))
    assert bool(list(made.tripped(LIMITS))) is trips
    assert made.figures()["refused_callers"] == lost


@pytest.mark.parametrize(("lost", "trips"), [(9, False), (10, True)])
def test_and_a_tenth_of_all_that_are_seen(lost: int, trips: bool) -> None:
    rest = [record("new", f"c{i}") for i in range(lost, 100)]
    made = counted(*callers("old", 100), *callers("new", lost, **REFUSED), *rest)
    assert bool(list(made.tripped(LIMITS))) is trips


def test_strangers_trip_nothing_however_many_they_are() -> None:
    made = counted(*callers("old", 5), *[record("new", None, **REFUSED) for _ in range(1000)])
    assert not list(made.tripped(LIMITS))
    fresh = [record("new", f"stranger{i}", **REFUSED) for i in range(1000)]  # known, but never let through before
    made = counted(*callers("old", 5), *fresh)
    assert not list(made.tripped(LIMITS))


def test_one_caller_counts_once_however_often_it_is_refused() -> None:
    made = counted(record("old"), *[record("new", **REFUSED) for _ in range(1000)])
    assert not list(made.tripped(LIMITS))
    assert made.figures()["refused_callers"] == 1


def test_it_counts_where_a_caller_was_let_through_and_nowhere_else() -> None:
    before = callers("old", 10, route="/a")
    assert not list(counted(*before, *callers("new", 10, route="/b", **REFUSED)).tripped(LIMITS))
    assert list(counted(*before, *callers("new", 10, route="/a", **REFUSED)).tripped(LIMITS))


def test_a_limit_that_is_used_up_is_the_callers_own_matter() -> None:
    made = counted(*callers("old", 10), *callers("new", 10, status=429, details="local_rate_limited"))
    assert not list(made.tripped(LIMITS))


@pytest.mark.parametrize(
    ("before", "after", "trips"), [(0, 4, False), (0, 6, True), (50, 54, False), (50, 56, True), (100, 100, False), (10, 0, False)]
)
def test_more_errors_than_before(before: int, after: int, trips: bool) -> None:
    old = [record("old", status=503 if i < before else 200) for i in range(100)]
    new = [record("new", status=503 if i < after else 200) for i in range(100)]
    assert any("5xx" in told for told in counted(*old, *new).tripped(LIMITS)) is trips


def test_calling_what_fails_anyway_trips_nothing() -> None:
    broken = {"api": "legacy", "route": "/legacy", "status": 503}
    old = [*[record("old") for _ in range(990)], *[record("old", None, **broken) for _ in range(10)]]
    new = [*[record("new") for _ in range(100)], *[record("new", None, **broken) for _ in range(900)]]
    assert not list(counted(*old, *new).tripped(LIMITS))
    worse = [*[record("new", status=503 if i < 80 else 200) for i in range(100)], *[record("new", None, **broken) for _ in range(900)]]
    assert list(counted(*old, *worse).tripped(LIMITS))


def test_a_few_requests_tell_nothing_of_errors() -> None:
    assert not list(counted(*[record("new", status=500) for _ in range(49)]).tripped(LIMITS))
    assert list(counted(*[record("new", status=500) for _ in range(50)]).tripped(LIMITS))


@pytest.mark.parametrize(("own_ms", "trips"), [(1, False), (5, False), (8, True), (100, True)])
def test_the_gateways_own_latency_counts_and_not_the_upstreams(own_ms: int, trips: bool) -> None:
    old = [record("old", duration_ms=901, upstream_ms=900) for _ in range(100)]
    new = [record("new", duration_ms=own_ms + 5, upstream_ms=5) for _ in range(100)]
    assert any("latency" in told for told in counted(*old, *new).tripped(LIMITS)) is trips
    slow_upstream = [record("new", duration_ms=5001, upstream_ms=5000) for _ in range(100)]
    assert not list(counted(*old, *slow_upstream).tripped(LIMITS))


def failing(callers: int, share: float, requests: int = 40) -> list[dict[str, Any]]:
    """Some callers, each with this share of 5xx; beside many others who get none."""
    bad = [record("new", f"c{i}", status=500 if j < share * requests else 200) for i in range(callers) for j in range(requests)]
    return [*bad, *[record("new", f"other{i % 50}") for i in range(5000)]]


@pytest.mark.parametrize(("callers", "share", "trips"), [(2, 1.0, False), (3, 1.0, True), (3, 0.05, False), (3, 0.1, True)])
def test_errors_of_few_callers_arent_lost_among_those_of_all(callers: int, share: float, trips: bool) -> None:
    before = [record("old", f"c{i}") for i in range(callers) for _ in range(40)]
    told = list(counted(*before, *failing(callers, share)).tripped(LIMITS))
    assert bool(told) is trips
    assert not told or told == [f"5xx for single callers: {callers} of {callers + 50} get more of them than before"]


def test_of_who_failed_before_as_often_or_wasnt_there_nothing_is_told() -> None:
    before = [record("old", f"c{i}", status=500) for i in range(5) for _ in range(40)]
    before += [record("old", f"other{i % 50}") for i in range(5000)]
    assert not [one for one in counted(*before, *failing(5, 1.0)).tripped(LIMITS) if "single" in one]
    assert not [one for one in counted(*failing(5, 1.0)).tripped(LIMITS) if "single" in one]
    few = [record("old", f"c{i}") for i in range(5) for _ in range(19)]
    assert not [one for one in counted(*few, *failing(5, 1.0)).tripped(LIMITS) if "single" in one]
