"""What is known of tokens: bounded in number and in time, by the tokens' SHA-256, so that no token stays in memory.

Tokens that count and such that don't are kept apart: whoever sends garbage pushes out garbage alone.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from bartizan.callout.verdict import Refused, Told, Verdict

MOST = 20_000
"""So many of each are kept, at most."""
REFUSED_S = 5.0
"""How long it is known of a token that it doesn't count, at most."""
_Held = OrderedDict[bytes, tuple[float, Verdict]]


@dataclass(slots=True)
class Known:
    """What one issuer said of tokens. Times are seconds since the epoch."""

    cache_s: float
    _good: _Held = field(default_factory=OrderedDict)
    _bad: _Held = field(default_factory=OrderedDict)

    def get(self, digest: bytes, now: float) -> Verdict | None:
        """What is known of the token with this digest; None if nothing is, any more."""
        for held in (self._good, self._bad):
            if (found := held.get(digest)) is not None:
                if 0 < found[0] - now <= self.cache_s:  # a clock that was set back keeps nothing for longer
                    held.move_to_end(digest)
                    return found[1]
                del held[digest]
        return None

    def put(self, digest: bytes, verdict: Verdict, now: float) -> None:
        """From now on it is known, for a while. What couldn't be asked isn't kept."""
        if isinstance(verdict, Told):
            held, other, until = self._good, self._bad, min(now + self.cache_s, verdict.until)
        elif verdict is Refused.INACTIVE:
            held, other, until = self._bad, self._good, now + min(REFUSED_S, self.cache_s)
        else:
            return
        other.pop(digest, None)
        held[digest] = until, verdict
        held.move_to_end(digest)
        if len(held) > MOST:
            held.popitem(last=False)
