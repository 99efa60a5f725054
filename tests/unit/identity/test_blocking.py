"""Failed attempts: counted per source within a window, blocked for a while, exempt networks never."""

from datetime import timedelta
from pathlib import Path

import pytest

from bartizan.identity import blocking
from bartizan.identity.blocking import FailedAttempts
from bartizan.model.gateway import Blocking

RULES = Blocking(attempts=3, window=timedelta(seconds=10), duration=timedelta(seconds=60), exempt=("198.51.100.0/24",))


def _failures(source: str, count: int) -> list[dict[str, str]]:
    return [{"source": source}] * count


def test_many_failures_block_and_time_frees() -> None:
    attempts = FailedAttempts(RULES)
    assert not attempts.count(_failures("192.0.2.1", 2), 0)
    assert attempts.blocked(0) == frozenset()
    assert attempts.count(_failures("192.0.2.1", 1), 5)
    assert attempts.blocked(5) == {"192.0.2.1/32"}
    assert attempts.blocked(64.9) == {"192.0.2.1/32"}
    assert attempts.blocked(65.1) == frozenset()


def test_neither_a_restart_nor_other_rules_free_anyone(tmp_path: Path) -> None:
    file = tmp_path / "blocks.json"
    attempts = FailedAttempts(RULES, file)
    attempts.count(_failures("192.0.2.1", 3) + _failures("2001:db8::1", 3), 100)
    again = FailedAttempts(RULES.model_copy(update={"attempts": 50}), file)
    assert again.blocked(159) == {"192.0.2.1/32", "2001:db8::/64"}
    assert again.blocked(161) == frozenset()
    assert FailedAttempts(RULES.model_copy(update={"exempt": ("192.0.2.0/24",)}), file).blocked(101) == {"2001:db8::/64"}
    for damaged in ("", "[]", '{"x": 1}', '{"192.0.2.1/32": null}', "{"):
        file.write_text(damaged)
        assert FailedAttempts(RULES, file).blocked(0) == frozenset()


def test_slow_failures_dont_block() -> None:
    attempts = FailedAttempts(RULES)
    assert not any(attempts.count(_failures("192.0.2.1", 1), 6 * i) for i in range(20))


def test_sources_are_counted_apart_and_ipv6_by_network() -> None:
    attempts = FailedAttempts(RULES)
    attempts.count(_failures("192.0.2.1", 2) + _failures("192.0.2.2", 2), 0)
    assert attempts.blocked(0) == frozenset()
    attempts.count([{"source": f"2001:db8:0:1::{i}"} for i in range(3)], 0)
    assert attempts.blocked(0) == {"2001:db8:0:1::/64"}
    attempts.count(_failures("::ffff:192.0.2.9", 3), 0)
    assert "192.0.2.9/32" in attempts.blocked(0)


def test_exempt_sources_and_nonsense_never_block() -> None:
    attempts = FailedAttempts(RULES)
    assert not attempts.count(_failures("198.51.100.7", 50) + _failures("not an address", 50) + [{}] * 50, 0)


def test_what_a_node_shipped_late_counts_from_when_it_was() -> None:
    failed = FailedAttempts(RULES)
    old = [{"source": "192.0.2.1", "node": "edge", "at": 80.0}] * 3
    assert not failed.count(old, 100.0), "they were long before the window"
    assert failed.count([{**old[0], "at": 95.0}, {**old[0], "at": 99.0}, {"source": "192.0.2.1"}], 100.0), "on two nodes together"
    fresh, stale = ({"source": "192.0.2.9", "node": "edge", "at": at} for at in (99.0, 50.0))
    assert not failed.count([fresh, fresh, stale, stale, stale], 100.0), "nor as one more of those of now"
    assert failed.count([fresh], 100.0)


def test_one_node_cant_block_the_whole_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocking, "_MOST_BY_A_NODE", 5)
    failed = FailedAttempts(RULES)
    for i in range(20):
        failed.count([{"source": f"192.0.2.{i}", "node": "edge", "at": 100.0}] * 3, 100.0)
    assert len(failed.blocked(100.0)) == 5
    assert "edge" in failed.warnings()[0]
    assert failed.count([{"source": "192.0.2.50", "node": "other", "at": 100.0}] * 3, 100.0)
    assert failed.count([{"source": "192.0.2.51"}] * 3, 100.0)
    failed.blocked(200.0)
    assert not failed.warnings()
    assert failed.count([{"source": "192.0.2.60", "node": "edge", "at": 200.0}] * 3, 200.0)
