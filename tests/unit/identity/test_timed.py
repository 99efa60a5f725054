"""Consumers that live only for a time."""

from datetime import UTC, datetime, timedelta

import pytest

from bartizan.identity.timed import Timed
from bartizan.model.consumer import Consumer

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def consumer(name: str = "acme", **more: object) -> Consumer:
    return Consumer.model_validate({"name": name, **more})


def taken(*consumers: Consumer, now: datetime = NOW) -> Timed:
    timed = Timed()
    timed.take({one.name: one for one in consumers}, now.timestamp())
    return timed


@pytest.mark.parametrize(
    ("starts", "expires", "counts"),
    [(None, None, True), (NOW, None, True), (NOW + DAY, None, False), (None, NOW, False), (None, NOW + DAY, True), (NOW - DAY, NOW, False)],
)
def test_who_counts(starts: datetime | None, expires: datetime | None, counts: bool) -> None:
    one = consumer(**{name: at for name, at in (("starts", starts), ("expires", expires)) if at})
    assert taken(one).counts(one) is counts
    off = consumer(**{name: at for name, at in (("starts", starts), ("expires", expires)) if at}, disabled=True)
    assert not taken(off).counts(off)


def test_each_turn_is_told_once_and_back_again() -> None:
    one, forever = consumer(expires=NOW + DAY), consumer("ever")
    timed = taken(one, forever)
    assert timed.turned(NOW.timestamp()) == ()
    assert timed.turned((NOW + DAY).timestamp()) == (one,)
    assert timed.turned((NOW + DAY).timestamp()) == () and not timed.counts(one)
    assert timed.turned(NOW.timestamp()) == (one,)
    assert timed.counts(one) and timed.counts(forever)


def test_who_is_disabled_never_turns() -> None:
    assert taken(consumer(expires=NOW + DAY, disabled=True)).turned((NOW + 2 * DAY).timestamp()) == ()


def test_only_who_was_edited_is_looked_at_anew() -> None:
    one, other = consumer(expires=NOW + DAY), consumer("other", expires=NOW + DAY)
    timed = taken(one, other)
    late = (NOW + 2 * DAY).timestamp()
    edited = consumer(expires=NOW + DAY, groups=["ops"])
    timed.take({"acme": edited, "other": consumer("other", expires=NOW + DAY)}, late)
    assert not timed.counts(edited)
    assert [found.name for found in timed.turned(late)] == ["other"]


def test_what_is_warned_of() -> None:
    told = list(
        taken(
            consumer("soon", expires=NOW + 13 * DAY),
            consumer("late", expires=NOW + 15 * DAY),
            consumer("over", expires=NOW - DAY),
            consumer("coming", starts=NOW + DAY),
            consumer("off", expires=NOW, disabled=True),
        ).warnings(NOW.timestamp())
    )
    assert told == [
        "Consumer/soon: it expires at 2026-12-14 12:00 UTC",
        "Consumer/over: it has expired at 2026-11-30 12:00 UTC",
        "Consumer/coming: its credentials are refused until 2026-12-02 12:00 UTC",
    ]


@pytest.mark.parametrize(
    "wrong", ["2026-12-01", "2026-12-01T10:00:00", "soon", 1_800_000_000, "0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z"]
)
def test_a_time_has_its_zone(wrong: object) -> None:
    with pytest.raises(ValueError, match="with its zone"):
        consumer(expires=wrong)


def test_an_end_comes_after_its_start() -> None:
    with pytest.raises(ValueError, match="after it starts"):
        consumer(starts="2026-12-01T10:00:00Z", expires="2026-12-01T11:00:00+01:00")
