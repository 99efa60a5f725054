"""Consumers that live only for a time: which of them count, as the tables are written, and whom the clock has turned since."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bartizan.model.consumer import Consumer

_SOON = timedelta(days=14)


def _moment(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC)


@dataclass(slots=True)
class Timed:
    """What was last found of each of them. It only changes by `take` and `turned`, so that all tables say the same of a consumer."""

    _counting: dict[str, tuple[Consumer, bool]] = field(default_factory=dict)
    _of: Mapping[str, Consumer] | None = None

    def take(self, consumers: Mapping[str, Consumer], now: float) -> None:
        """Takes what is declared. Who is new, or was edited, is looked at; `now` in seconds since the epoch."""
        if consumers is self._of:
            return
        moment, before, self._of = _moment(now), self._counting, consumers
        timed = {name: one for name, one in consumers.items() if one.starts is not None or one.expires is not None}
        self._counting = {
            name: known if (known := before.get(name)) is not None and known[0] == one else (one, one.counts(moment))
            for name, one in timed.items()
        }

    def counts(self, consumer: Consumer) -> bool:
        """Whether its credentials count."""
        known = self._counting.get(consumer.name)
        return consumer.counts() if known is None else known[1]

    def turned(self, now: float) -> tuple[Consumer, ...]:
        """Those that begin to count, or count no more, whichever way the clock went. They are told once."""
        moment = _moment(now)
        found = tuple(one for one, was in self._counting.values() if one.counts(moment) is not was)
        self._counting.update({one.name: (one, one.counts(moment)) for one in found})
        return found

    def warnings(self, now: float) -> Iterator[str]:
        """Whose time is over, hasn't come, or is over soon."""
        moment = _moment(now)
        for one, _ in self._counting.values():
            if one.disabled:
                continue
            if one.starts is not None and moment < one.starts:
                yield f"Consumer/{one.name}: its credentials are refused until {told(one.starts)}"
            elif one.expires is not None and one.expires - moment < _SOON:
                yield f"Consumer/{one.name}: it {'has expired' if one.expires <= moment else 'expires'} at {told(one.expires)}"


def told(moment: datetime) -> str:
    """A moment as people read it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
