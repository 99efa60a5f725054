"""Which of several revisions changed an answer: found with few questions, because each needs a scratch instance of its own."""

import itertools
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

_Answer = TypeVar("_Answer")
Ask = Callable[[int], Awaitable[_Answer | None]]
"""What the revision at a place says, from 0 for the oldest. None: it can't be told. None is asked twice."""


async def last_change(count: int, ask: Ask[_Answer]) -> tuple[int, int] | None:
    """Two places between which the answer changed to that of the newest: of no place between them an answer can be told. None if all
    that were asked answer as the newest.

    It looks back from the newest in growing steps, so a late change is found soon. What changed and changed back between two places
    that it asks isn't found; `every_change` asks all.
    """
    after = await _told(range(count - 1, -1, -1), ask)
    if after is None:
        return None
    newest, before = after[1], await _back(after[0], after[1], ask)
    if before is None:
        return None
    low, high = before
    while (middle := await _told(_between(low, high), ask)) is not None:
        low, high = (low, middle[0]) if middle[1] == newest else (middle[0], high)
    return low, high


async def every_change(count: int, ask: Ask[_Answer]) -> list[tuple[int, int]]:
    """All pairs of neighbours that answer otherwise, the newest first; places that can't be told are passed over. It asks each."""
    told = [(place, said) for place in range(count) if (said := await ask(place)) is not None]
    changes = [(old[0], new[0]) for old, new in itertools.pairwise(told) if old[1] != new[1]]
    return changes[::-1]


async def _back(newest: int, said: _Answer, ask: Ask[_Answer]) -> tuple[int, int] | None:
    """A place that answers otherwise, and the oldest one known that answers as the newest."""
    after = at = newest
    step = 1
    while at > 0:
        first = max(0, at - step)
        found = await _told(range(first, at), ask)
        if found is not None and found[1] != said:
            return found[0], after
        after = found[0] if found is not None else after
        at, step = first, step * 2
    return None


async def _told(places: Iterator[int] | range, ask: Ask[_Answer]) -> tuple[int, _Answer] | None:
    """The first of these places that can be told, with its answer."""
    for place in places:
        if (said := await ask(place)) is not None:
            return place, said
    return None


def _between(low: int, high: int) -> Iterator[int]:
    """The places between, from the middle outwards."""
    yield from sorted(range(low + 1, high), key=lambda place: abs(2 * place - low - high))
