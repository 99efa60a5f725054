"""What a node keeps, sealed anew when its keys are rotated: by the node itself while it runs, for it alone writes there."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

from bartizan.errors import Unavailable
from bartizan.node import membership
from bartizan.node.hearing import Hearing
from bartizan.node.last_good import LastGood
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.places import NODE, ids_in

_log = logging.getLogger(__name__)
_EVERY_S = 0.25


class Resealing:
    """Follows the keys of the node with this state."""

    def __init__(self, state: Path, envelope: Envelope, store: LastGood, hearing: Hearing) -> None:
        self._state, self._envelope, self._store, self._hearing = state, envelope, store, hearing
        self._done = ""
        """The key with which all is sealed."""

    async def run(self) -> None:
        """Looks again and again, for ever."""
        while True:
            self._envelope.look()
            if self._done != (now := self._envelope.key_id):
                await self.reseal()
                self._done = now
            await asyncio.sleep(_EVERY_S)

    async def reseal(self) -> None:
        """Seals anew what isn't sealed with the current key. Unavailable if it can't be."""
        for file in await asyncio.to_thread(lambda: tuple(self._stale())):
            try:
                if file == "heard":
                    self._hearing.reseal()
                elif file == "membership.json":
                    membership.reseal(self._state)
                else:
                    await asyncio.to_thread(self._store.reseal)
            except OSError as error:
                told = f"{self._state / file} can't be sealed with the new key: {error.strerror or error}."
                raise Unavailable(told, code="reseal-failed") from error
            _log.info("%s is sealed with the key %s", file, self._envelope.key_id)

    def _stale(self) -> Iterator[str]:
        for one in NODE:
            if set(ids_in(self._state, one)) - {self._envelope.key_id}:
                yield one.file
