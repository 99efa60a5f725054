"""Which of several revisions changed an answer: found with few questions, because each needs a scratch instance of its own."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

_Answer = TypeVar("_Answer")


async def first_change(revisions: Sequence[Callable[[], Awaitable[_Answer]]]) -> int | None:
    """The place of a revision, oldest first, that answers otherwise than the one before it, which answers as the first. None if
    the first and the last answer alike: what changed and changed back isn't found. Each is asked at most once."""
    if len(revisions) < 2:
        return None
    before, after = 0, len(revisions) - 1
    then = await revisions[before]()
    if await revisions[after]() == then:
        return None
    while after - before > 1:
        middle = (before + after) // 2
        if await revisions[middle]() == then:
            before = middle
        else:
            after = middle
    return after
