"""Counts, and what is kept of them."""

import pytest

from bartizan.replay import tally as module
from bartizan.replay.judging import Judged
from bartizan.replay.tally import SAMPLES, Tally, Where

WHERE = Where("acme", "orders", "/orders", "GET")
REFUSED = Judged("newly refused", "Authorize/x")


def test_it_counts_by_who_where_and_which_policy() -> None:
    tally = Tally()
    for i in range(9):
        tally.add(REFUSED, WHERE, f"r{i}")
    tally.add(REFUSED, Where("globex", "orders", "/orders", "GET"), "g")
    tally.add(Judged("same"), WHERE, "s")
    tally.add(Judged("untold", "Authorize/y", ("principal.plan",)), WHERE, "u")
    tally.no_decision["a reason"] += 2
    (first, seen), (second, _) = tally.of("newly refused")
    assert (first.where.who, seen.count, len(seen.samples)) == ("acme", 9, SAMPLES)
    assert second.where.who == "globex"
    assert tally.untold() == [("Authorize/y", ("principal.plan",), 1)]
    assert (tally.records, tally.judged, tally.changed) == (14, 11, 10)
    assert tally.callers == {"acme": 10, "globex": 1}  # of whom nothing can be told isn't covered by that request


def test_what_it_keeps_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_GROUPS", 10)
    tally = Tally()
    for i in range(1000):
        tally.add(REFUSED, Where(f"user-{i}", "orders", "/orders", "GET"), str(i))
    assert len(tally.groups) == 11
    assert len(tally.callers) == 10
    assert tally.of("newly refused")[0][0].where.who == "(others)"
    assert sum(seen.count for _, seen in tally.of("newly refused")) == tally.counts["newly refused"] == 1000
