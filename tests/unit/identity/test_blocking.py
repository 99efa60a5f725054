"""Failed attempts: counted per source within a window, blocked for a while, exempt networks never."""

from datetime import timedelta

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
