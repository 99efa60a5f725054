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
    is_edit: bool = False
    """Whether these nodes held another revision before: else live data alone is new."""

    @property
    def everywhere(self) -> bool:
        """Whether each of its nodes has it."""
        return len(self.ms) == len(self.nodes)

    def to_json(self) -> dict[str, object]:
        """What `bartizan status --json` shows."""
        return {"sequence": self.sequence, "revision": self.revision, "at": self.at, "nodes": list(self.nodes), "ms": self.ms}


class Propagation:
    """The last releases. A node that took one later, in a newer one, isn't counted for it."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._last: deque[Spread] = deque(maxlen=_KEPT)
        self._open: Spread | None = None
        """The last edit, until it is told."""
        self.tell: Callable[[Spread], None] = lambda spread: None
        """Told of each edit once: when each node has it, or the next edit comes."""

    def begin(self, sequence: int, revision: str, nodes: Iterable[str]) -> None:
        """A release is sent."""
        named = tuple(nodes)
        before = next((one for one in reversed(self._last) if not {*named}.isdisjoint(one.nodes)), None)
        made = Spread(sequence, revision, time.time(), named, began=self._clock(), is_edit=before is None or before.revision != revision)
        self._last.append(made)
        if made.is_edit and made.nodes:
            self._tell()
            self._open = made

    def acknowledged(self, sequence: int, node: str) -> None:
        """A node's Envoy has taken it."""
        for spread in reversed(self._last):
            if spread.sequence == sequence:
                if node in spread.nodes:
                    spread.ms.setdefault(node, round((self._clock() - spread.began) * 1000, 3))
                if spread is self._open and spread.everywhere:
                    self._tell()
                return

    def _tell(self) -> None:
        if self._open is not None:
            told, self._open = self._open, None
            self.tell(told)

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
