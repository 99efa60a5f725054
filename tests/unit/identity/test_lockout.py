"""Lock-out: addresses and networks that have shown too much that was wrong."""

import pytest

from bartizan.errors import TooMany
from bartizan.identity.lockout import ATTEMPTS, LOCKED_S, WINDOW_S, Lockout


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lockout(clock: Clock) -> Lockout:
    return Lockout(clock)


def is_locked(lockout: Lockout, origin: str) -> bool:
    try:
        lockout.check(origin)
    except TooMany:
        return True
    return False


def test_ten_wrong_tokens_within_a_minute_lock_out_for_a_minute(lockout: Lockout, clock: Clock) -> None:
    for _ in range(ATTEMPTS - 1):
        lockout.wrong("192.0.2.1")
    assert not is_locked(lockout, "192.0.2.1")
    lockout.wrong("192.0.2.1")
    assert is_locked(lockout, "192.0.2.1")
    assert not is_locked(lockout, "192.0.2.2")
    clock.now += LOCKED_S - 0.1
    assert is_locked(lockout, "192.0.2.1")
    clock.now += 0.1
    assert not is_locked(lockout, "192.0.2.1")


def test_wrong_tokens_that_are_far_apart_lock_nobody_out(lockout: Lockout, clock: Clock) -> None:
    for _ in range(10 * ATTEMPTS):
        lockout.wrong("192.0.2.1")
        clock.now += WINDOW_S / (ATTEMPTS - 1) + 0.1
        assert not is_locked(lockout, "192.0.2.1")


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),  # whoever has one address has the network
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("unknown", "unknown", True),
    ],
)
def test_addresses_that_one_attacker_has_count_together(lockout: Lockout, one: str, other: str, together: bool) -> None:
    for _ in range(ATTEMPTS):
        lockout.wrong(one)
    assert is_locked(lockout, other) is together


def test_what_was_tried_from_one_network_counts_together(lockout: Lockout) -> None:
    for number in range(ATTEMPTS):
        lockout.wrong(f"client 2001:db8::{number + 1:x}")
    assert is_locked(lockout, "client 2001:db8::ffff") and not is_locked(lockout, "2001:db8::ffff")
    assert not is_locked(lockout, "client 2001:db8:0:1::1")


def test_what_is_kept_of_many_addresses_is_bounded(lockout: Lockout, clock: Clock) -> None:
    for i in range(12_000):
        for _ in range(ATTEMPTS):
            lockout.wrong(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}")
        clock.now += 0.1
    assert len(lockout._wrong) <= 10_000
    assert len(lockout._until) <= 10_001
    assert is_locked(lockout, f"10.0.{11_999 >> 8}.{11_999 & 255}")
