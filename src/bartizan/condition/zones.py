"""Times as people write them in conditions: zones, hours, dates, moments."""

import functools
import re
from datetime import UTC, date, datetime
from importlib import resources

DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
"""As `now.weekday` names them; the place is the number CEL gives a day."""


@functools.cache
def zones() -> frozenset[str]:
    """The names of the time zones in the tz database that comes with Bartizan, and that Envoy is told to read."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text(encoding="ascii").split())


def minutes(text: str) -> int:
    """Minutes since midnight of "HH:MM"; "24:00" is the day's end. Raises ValueError."""
    found = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00", text)
    if not found:
        raise ValueError(text)
    return int(found[1]) * 60 + int(found[2]) if found[1] else 1440


def day(text: str) -> int:
    """The date "YYYY-MM-DD" as the number YYYYMMDD. Raises ValueError."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError(text)
    found = date.fromisoformat(text)
    return found.year * 10000 + found.month * 100 + found.day


def moment(text: str) -> str:
    """An RFC 3339 moment, in UTC. Raises ValueError."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})", text):
        raise ValueError(text)
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:
        raise ValueError(text) from None
