"""Numbers that never go back: not at a restart, and not when the clock does. Nodes refuse what has a smaller one than they hold."""

import time
from collections.abc import Callable
from pathlib import Path

from bartizan.errors import Unavailable
from bartizan.lib.files import replaced

_AHEAD = 10_000
"""So many numbers are set aside on disk at once, so that an edit hardly ever waits for it."""


class Sequence:
    """Begins at the milliseconds since 1970, or above all that may have been given before, if that is more: `path` says up to where
    those go. Each is one more than the last."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._reserved = self._read()
        self._last = max(self._reserved, int(clock() * 1000))

    def next(self, above: int = 0) -> int:
        """A new number, greater than `above` too. Unavailable if it can't be set aside."""
        number = max(self._last, above) + 1
        if number > self._reserved - _AHEAD // 2:
            self._reserve(number + _AHEAD)
        self._last = number
        return number

    def _read(self) -> int:
        try:
            return int(self._path.read_text())
        except FileNotFoundError:
            return 0
        except (OSError, ValueError) as error:
            told = f"The file {self._path} can't be read: {error}. Restore it from a backup."
            raise Unavailable(told, code="sequence-unreadable") from error

    def _reserve(self, up_to: int) -> None:
        try:
            replaced(self._path, f"{up_to}\n".encode())
        except OSError as error:
            if up_to - _AHEAD > self._reserved:
                told = f"The file {self._path} can't be written: {error.strerror or error}."
                raise Unavailable(told, code="sequence-unwritable") from error
            return  # there are thousands left: an edit needn't fail for a full disk
        self._reserved = up_to
