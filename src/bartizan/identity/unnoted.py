"""Deeds of the command line that couldn't be noted in the audit log when they were done: kept sealed until the control plane notes them."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from bartizan.identity.journal import Journal
from bartizan.secrets.envelope import Envelope
from bartizan.store import Event

FILE = "unnoted.journal"


class Unnoted:
    """Such deeds, in a journal in the state's folder. None is taken away before it stands in the log."""

    def __init__(self, state: Path, envelope: Envelope, clock: Callable[[], float] = time.time) -> None:
        self._path, self._envelope, self._clock = state / FILE, envelope, clock

    def keep(self, event: Event) -> None:
        """Keeps one, with its time."""
        journal = Journal(self._path, self._envelope, "unnoted")
        try:
            with journal.locked():
                for _ in journal.read():
                    pass
                told = {"actor": event.actor, "action": event.action, "target": event.target, "origin": event.origin}
                journal.append(orjson.dumps({**told, "result": event.result, "details": dict(event.details), "at": self._clock()}))
        finally:
            journal.close()

    def waits(self) -> bool:
        """Whether there are any."""
        return self._path.exists()

    def note(self, append: Callable[[Event], object]) -> int:
        """Has all of them appended to the log, each with the time at which it was done; returns how many. One may be noted twice, if a
        crash comes between; none is lost."""
        if not self.waits():
            return 0
        journal = Journal(self._path, self._envelope, "unnoted")
        try:
            with journal.locked():
                count = 0
                for record in journal.read():
                    append(_event(orjson.loads(record)))
                    count += 1
                self._path.unlink()
                return count
        finally:
            journal.close()


def _event(kept: dict[str, Any]) -> Event:
    at = kept.pop("at")
    return Event(**{**kept, "details": {**kept["details"], "at": at}})
