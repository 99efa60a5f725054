"""Notices that the machine's clock was set, by a clock that only runs on."""

import time
from collections.abc import Callable

_LEAST_S = 30.0
"""What is set by less than this, little by little say, isn't told."""


class Jumps:
    """Looks at both clocks again and again."""

    def __init__(self, now: Callable[[], float] = time.time, running: Callable[[], float] = time.monotonic) -> None:
        self._now, self._running = now, running
        self._apart = now() - running()

    def look(self) -> float:
        """By how many seconds the clock was set since it was looked at last: forward, or (less than 0) back. 0 if it wasn't."""
        apart = self._now() - self._running()
        moved, self._apart = apart - self._apart, apart
        return moved if abs(moved) >= _LEAST_S else 0.0
