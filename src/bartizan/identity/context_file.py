"""Keeps what context sources have said: one sealed file, written anew as a whole, several changes at once where they come fast."""

import asyncio
import logging
import time
from pathlib import Path

from bartizan.errors import Unavailable
from bartizan.identity.context import Context
from bartizan.lib.files import replaced
from bartizan.secrets.envelope import CannotOpen, Envelope

FILE = "context.sealed"
SEALED_FOR = "context"
_log = logging.getLogger("bartizan")
_RENEWED_S = 30.0
"""How long what has only been said again may wait: after a crash it counts as older than it is, never as younger."""


class ContextFile:
    """The file of one state's context."""

    def __init__(self, path: Path, envelope: Envelope, context: Context) -> None:
        """Reads what is there. What can't be opened counts for nothing: its sources say it again."""
        self._path, self._envelope, self._context = path, envelope, context
        self._turn = asyncio.Lock()
        self._kept, self._wrote = context.changes, time.monotonic()
        self.error = ""
        """Why it can't be kept."""
        try:
            context.load(envelope.open(path.read_bytes(), SEALED_FOR))
        except FileNotFoundError:
            return
        except (OSError, CannotOpen, ValueError, KeyError, TypeError) as error:
            _log.error("what context sources have said can't be read from %s, and has to be said again: %s", path, error)

    async def keep(self) -> None:
        """Returns when all that is there now would outlast a crash. Unavailable if it can't be written."""
        wanted = self._context.changes
        async with self._turn:
            if self._kept >= wanted:
                return
            now, body = self._context.changes, self._context.dump()
            try:
                await asyncio.to_thread(self._write, body)
            except OSError as error:
                self.error = f"{self._path} can't be written: {error.strerror or error}"
                raise Unavailable(f"It holds, but can't be kept: {self.error}.", code="context-not-kept") from error
            self._kept, self._wrote, self.error = now, time.monotonic(), ""

    async def keep_soon(self, *, changed: bool) -> None:
        """The same for what nobody waits for; what was only said again is kept now and then."""
        if changed or time.monotonic() - self._wrote >= _RENEWED_S:
            try:
                await self.keep()
            except Unavailable as error:
                _log.error("%s", error.message)

    def _write(self, body: bytes) -> None:
        with self._envelope.kept():
            self._envelope.look()
            replaced(self._path, self._envelope.seal(body, SEALED_FOR))
