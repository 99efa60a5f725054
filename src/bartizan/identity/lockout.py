"""Who has shown too much that was wrong is refused for a while, whatever they show."""

import time
from collections import deque
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network

from bartizan.errors import TooMany

ATTEMPTS = 10
WINDOW_S = 60.0
LOCKED_S = 60.0
_MOST = 10_000


class Lockout:
    """Addresses, or names, that have shown too many wrong tokens or passwords."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: dict[str, deque[float]] = {}
        self._until: dict[str, float] = {}

    def check(self, origin: str) -> None:
        """TooMany if this address is locked out."""
        source = _source(origin)
        if (until := self._until.get(source)) is None:
            return
        if until > self._clock():
            raise TooMany("Too many wrong attempts. Wait a minute.", code="locked-out")
        del self._until[source]

    def wrong(self, origin: str) -> None:
        """Something wrong came from there."""
        now, source = self._clock(), _source(origin)
        if len(self._wrong) >= _MOST:
            self._wrong.clear()
        times = self._wrong.setdefault(source, deque(maxlen=ATTEMPTS))
        times.append(now)
        if len(times) == ATTEMPTS and times[0] > now - WINDOW_S:
            if len(self._until) >= _MOST:
                self._until = {one: until for one, until in self._until.items() if until > now}
            self._until[source] = now + LOCKED_S
            del self._wrong[source]


def _source(origin: str) -> str:
    """What is locked out: an IPv4 address, or the network of an IPv6 address, since whoever has one has all of them. What stands before it,
    as in `client 192.0.2.1`, is what was tried from there."""
    what, blank, text = origin.rpartition(" ")
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return origin
    if isinstance(address, IPv6Address):
        return what + blank + str(address.ipv4_mapped or ip_network((address, 64), strict=False))
    return what + blank + str(address)
