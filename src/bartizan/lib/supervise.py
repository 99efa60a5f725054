"""Background work that never ends by itself: a task that fails is told of and started again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

_log = logging.getLogger(__name__)
_FIRST_S = 0.1
_LONGEST_S = 5.0
_STEADY_S = 30.0
"""Work that ran for so long before it failed is started again as if it had never failed."""


async def supervised(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Runs `work` until it returns; after an exception again, at once rarely and later often. Cancelling it cancels the work."""
    loop = asyncio.get_running_loop()
    pause = _FIRST_S
    while True:
        started = loop.time()
        try:
            return await work()
        except Exception:  # noqa: BLE001  the one place where background work may fail in any way
            _log.exception("%s failed and is started again in %.1f s", name, pause)
        if loop.time() - started > _STEADY_S:
            pause = _FIRST_S
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_S)
