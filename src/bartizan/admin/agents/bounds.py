"""How often agents may ask: in a minute, each operator and all together. Another token of the same operator shares with the first."""

import time
from collections import deque
from collections.abc import Callable

from bartizan.errors import TooMany

WINDOW_S = 60.0
_MOST_NAMES = 1000


class Rate:
    """So many in a minute of one name, and of all."""

    def __init__(self, of_one: int, of_all: int, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._of_one, self._of_all, self._what, self._clock = of_one, of_all, what, clock
        self._times: dict[str, deque[float]] = {}
        self._all: deque[float] = deque()

    def take(self, name: str) -> None:
        """Counts one. TooMany, and not counted, if there were too many."""
        now = self._clock()
        _forget(self._all, now)
        own = self._times.get(name, deque())
        _forget(own, now)
        if len(own) >= self._of_one or len(self._all) >= self._of_all:
            first = own[0] if len(own) >= self._of_one else self._all[0]
            wait = max(1, round(first + WINDOW_S - now))
            raise TooMany(f"{self._what}: up to {self._of_one} in a minute. Try again in {wait} s.", code="agents-too-often")
        if len(self._times) >= _MOST_NAMES:
            self._times = {one: times for one, times in self._times.items() if times and times[-1] > now - WINDOW_S}
        own.append(now)
        self._times[name] = own
        self._all.append(now)


def _forget(times: deque[float], now: float) -> None:
    while times and times[0] <= now - WINDOW_S:
        times.popleft()
