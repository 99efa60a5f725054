"""Times of day, dates and moments as people write them."""

import pytest

from bartizan.condition.zones import day, minutes, moment, zones


def test_zones() -> None:
    assert {"UTC", "Europe/Berlin", "Asia/Kolkata"} <= zones()
    assert not {"", "Europe", "CEST", "zone.tab"} & zones()


@pytest.mark.parametrize(("text", "found"), [("00:00", 0), ("08:05", 485), ("23:59", 1439), ("24:00", 1440)])
def test_minutes(text: str, found: int) -> None:
    assert minutes(text) == found


@pytest.mark.parametrize("text", ["", "8:00", "24:01", "12:60", "12", "12:00:00", " 12:00"])
def test_what_is_not_a_time(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        minutes(text)


def test_days() -> None:
    assert day("2024-02-29") == 20240229
    for text in ("2023-02-29", "24-02-28", "2024-2-28", "20240228", "2024-W09-1"):
        with pytest.raises(ValueError, match=r".*"):
            day(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2030-01-31T00:00:00Z", "2030-01-31T00:00:00Z"),
        ("2030-01-31T00:30:00+01:00", "2030-01-30T23:30:00Z"),
        ("2030-01-31T00:00:00.5Z", "2030-01-31T00:00:00.500000Z"),
    ],
)
def test_moments(text: str, found: str) -> None:
    assert moment(text) == found


@pytest.mark.parametrize(
    "text", ["2030-01-31", "2030-01-31T00:00:00", "2030-01-31 00:00:00Z", "2030-13-31T00:00:00Z", "0001-01-01T00:00:00+01:00"]
)
def test_what_is_not_a_moment(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        moment(text)
