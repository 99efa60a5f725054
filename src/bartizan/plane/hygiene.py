"""What is no good any more of what is active, told while the gateway runs: rules that decide nothing or are wide open, what ends soon."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bartizan.compile import Compiled
from bartizan.errors import Unavailable
from bartizan.identity import expiring
from bartizan.meaning import wide
from bartizan.meaning.dead import idle, problem_of
from bartizan.model.problem import Problem

_WITHIN = timedelta(days=30)
_KEPT_S = 60.0


@dataclass(slots=True)
class Hygiene:
    """Looks at most once in a minute at what is active. Records aren't asked here: `bartizan lint` does that."""

    active: Callable[[], Compiled | None]
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _of: str = ""
    _at: float = 0.0
    _found: tuple[Problem, ...] = ()

    async def findings(self) -> tuple[Problem, ...]:
        """All that there is, in the order of the files. Each names its resource at the beginning of its path."""
        async with self._turn:
            made = self.active()
            if made is None:
                raise Unavailable("Nothing is active yet: the gateway has no files that are in order.", code="nothing-active")
            if made.snapshot.revision != self._of or time.monotonic() > self._at + _KEPT_S:
                self._found = await asyncio.to_thread(lambda: tuple(sorted(_found(made))))
                self._of, self._at = made.snapshot.revision, time.monotonic()
            return self._found


def _found(made: Compiled) -> Iterator[Problem]:
    now = datetime.now(UTC)
    yield from (problem_of(made, one) for one in idle(made))
    yield from wide.wide(made.snapshot)
    yield from wide.expiring(made.snapshot, now, _WITHIN)
    yield from expiring.consumers(made.snapshot, expiring.Soon(now.timestamp(), (now + _WITHIN).timestamp()))
