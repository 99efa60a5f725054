"""How often wrong tokens may be tried: few from one address, and few in all."""

import time
from collections import deque
from collections.abc import Callable

from bartizan.errors import TooMany

_WITHIN_S = 60.0
_EACH, _ALL = 5, 60


class Attempts:
    """Wrong attempts of the last minute. What is remembered is bounded by how many are let through."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: deque[tuple[float, str]] = deque()

    def check(self, address: str) -> None:
        """TooMany if this address, or all together, have tried too often."""
        before = self._clock() - _WITHIN_S
        while self._wrong and self._wrong[0][0] < before:
            self._wrong.popleft()
        if len(self._wrong) >= _ALL or sum(one == address for _, one in self._wrong) >= _EACH:
            raise TooMany("There were too many wrong tokens. Wait a minute.", code="too-many-wrong-tokens")

    def wrong(self, address: str) -> None:
        """One more."""
        self._wrong.append((self._clock(), address))
