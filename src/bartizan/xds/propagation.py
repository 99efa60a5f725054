"""How fast releases reach the nodes: the last hundred, and how long each node took."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

_KEPT = 100


@dataclass(slots=True)
class Spread:
    """One release on its way: to which nodes, and after how many milliseconds the Envoy of each had it."""

    sequence: int
    revision: str
    at: float
    """Unix time."""
    nodes: tuple[str, ...]
    ms: dict[str, float] = field(default_factory=dict)
    began: float = 0.0

    def to_json(self) -> dict[str, object]:
        """What `bartizan status --json` shows."""
        return {"sequence": self.sequence, "revision": self.revision, "at": self.at, "nodes": list(self.nodes), "ms": self.ms}


class Propagation:
    """The last releases. A node that took one later, in a newer one, isn't counted for it."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._last: deque[Spread] = deque(maxlen=_KEPT)

    def begin(self, sequence: int, revision: str, nodes: Iterable[str]) -> None:
        """A release is sent."""
        self._last.append(Spread(sequence, revision, time.time(), tuple(nodes), began=self._clock()))

    def acknowledged(self, sequence: int, node: str) -> None:
        """A node's Envoy has taken it."""
        for spread in reversed(self._last):
            if spread.sequence == sequence:
                if node in spread.nodes:
                    spread.ms.setdefault(node, round((self._clock() - spread.began) * 1000, 3))
                return

    def after(self, sequence: int) -> int:
        """How many releases came after this one; of those that are kept."""
        return sum(spread.sequence > sequence for spread in self._last)

    def to_json(self) -> dict[str, object]:
        """The last releases, newest last; the middle and the longest of all that nodes took."""
        took = sorted(ms for spread in self._last for ms in spread.ms.values())
        return {
            "ms_p50": took[len(took) // 2] if took else None,
            "ms_max": took[-1] if took else None,
            "last": [spread.to_json() for spread in self._last],
        }
