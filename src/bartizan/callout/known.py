"""What is known of tokens: bounded in number, in bytes and in time, by the tokens' SHA-256, so that no token stays in memory.

Tokens that count and such that don't are kept apart: whoever sends garbage pushes out garbage alone.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from bartizan.callout.verdict import Refused, Told, Verdict

MOST = 20_000
"""So many of each are kept, at most."""
MOST_BYTES = 64 * 1024 * 1024
"""So long are their claims together, at most."""
REFUSED_S = 5.0
"""How long it is known of a token that it doesn't count, at most."""


class _Held:
    """Verdicts with their ends. Who was asked for longest ago goes first."""

    def __init__(self) -> None:
        self._of: OrderedDict[bytes, tuple[float, Verdict]] = OrderedDict()
        self._bytes = 0

    def get(self, digest: bytes) -> tuple[float, Verdict] | None:
        return self._of.get(digest)

    def used(self, digest: bytes) -> None:
        self._of.move_to_end(digest)

    def put(self, digest: bytes, until: float, verdict: Verdict) -> None:
        self.drop(digest)
        self._of[digest] = until, verdict
        self._bytes += _size(verdict)
        while len(self._of) > MOST or self._bytes > MOST_BYTES:
            self.drop(next(iter(self._of)))

    def drop(self, digest: bytes) -> None:
        gone = self._of.pop(digest, None)
        if gone is not None:
            self._bytes -= _size(gone[1])


def _size(verdict: Verdict) -> int:
    return len(verdict.lines) if isinstance(verdict, Told) else 0


@dataclass(slots=True)
class Known:
    """What one issuer said of tokens. Times are seconds since the epoch."""

    cache_s: float
    _good: _Held = field(default_factory=_Held)
    _bad: _Held = field(default_factory=_Held)

    def get(self, digest: bytes, now: float) -> Verdict | None:
        """What is known of the token with this digest; None if nothing is, any more."""
        for held in (self._good, self._bad):
            if (found := held.get(digest)) is not None:
                if 0 < found[0] - now <= self.cache_s:  # a clock that was set back keeps nothing for longer
                    held.used(digest)
                    return found[1]
                held.drop(digest)
        return None

    def put(self, digest: bytes, verdict: Verdict, now: float) -> None:
        """From now on it is known, for a while. What couldn't be asked isn't kept."""
        if isinstance(verdict, Told):
            self._bad.drop(digest)
            self._good.put(digest, min(now + self.cache_s, verdict.until), verdict)
        elif verdict is Refused.INACTIVE:
            self._good.drop(digest)
            self._bad.put(digest, now + min(REFUSED_S, self.cache_s), verdict)
