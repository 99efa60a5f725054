"""What the audit log is told besides what operators do through the API: starts and ends, edits of files, nodes that join, what was refused.

Refused attempts are bounded, however many come: an attacker can't fill the disk by them. What isn't noted one by one is counted.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from pydantic import JsonValue

from bartizan.errors import BartizanError
from bartizan.identity.unnoted import Unnoted
from bartizan.model.edits import digests, edits
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot
from bartizan.store import Event
from bartizan.store.audit import Audit
from bartizan.xds.propagation import Spread

_log = logging.getLogger("bartizan")
WINDOW_S = 3600.0
OF_ONE, OF_ALL = 20, 200
"""So many refused attempts of one origin, and of all, are noted one by one in a window."""
_MOST_WAITING = 10_000
_MOST_ORIGINS = 10_000
_AGAIN_S = 1.0
_LOOK_S = 0.5
_NAMED = 20
BY = "control"


class Refusals:
    """Says which refused attempts are noted one by one, and how many weren't."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._noted = 0
        self._of: Counter[str] = Counter()
        self._began = clock()
        self._more: Counter[str] = Counter()

    def counts(self, event: Event) -> bool:
        """Whether this one is noted by itself."""
        self._of[event.origin] += 1
        if self._noted < OF_ALL and self._of[event.origin] <= OF_ONE:
            self._noted += 1
            return True
        if len(self._of) > _MOST_ORIGINS:
            del self._of[event.origin]
        self._more[event.action] += 1
        return False

    def summary(self) -> Event | None:
        """At the end of a window with more of them than were noted: how many more. Else None."""
        if self._clock() < self._began + WINDOW_S:
            return None
        more, origins = dict(self._more), len(self._of)
        self._began, self._noted, self._of, self._more = self._clock(), 0, Counter(), Counter()
        if not more:
            return None
        details: dict[str, JsonValue] = {"more": dict(more), "origins": origins, "seconds": WINDOW_S}
        return Event(BY, "refused.more", "control-plane", "several", "refused", details)


class Noting:
    """Notes events behind whoever tells them, in their order. Nothing waits for it; what can't be noted now is tried again."""

    def __init__(self, audit: Audit, unnoted: Unnoted, refusals: Refusals | None = None) -> None:
        self._audit, self._unnoted = audit, unnoted
        self._refusals = refusals or Refusals()
        self._waiting: asyncio.Queue[Event] = asyncio.Queue(_MOST_WAITING)

    def tell(self, event: Event) -> None:
        """Something was done, or failed."""
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            _log.error("the audit log can't be written, and %s %s by %s isn't noted any more", event.action, event.target, event.actor)

    def refused(self, event: Event) -> None:
        """Somebody was refused. Bounded."""
        if self._refusals.counts(event):
            self.tell(event)

    def begin(self, version: str, store: str) -> None:
        """The control plane begins."""
        self.tell(Event(BY, "control.start", "control-plane", "local", "done", {"version": version, "store": store}))

    async def run(self) -> None:
        """Never returns."""
        while True:
            if (event := await self._next()) is not None:
                await self._note(event)
            if self._unnoted.waits():
                await asyncio.to_thread(self._unnoted.note, self._audit.append)
            if (summary := self._refusals.summary()) is not None:
                self.tell(summary)

    async def _next(self) -> Event | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                return await self._waiting.get()
        return None

    async def _note(self, event: Event) -> None:
        while True:
            try:
                await asyncio.to_thread(self._audit.append, event)
                return
            except BartizanError as error:
                _log.error("%s %s by %s isn't in the audit log yet: %s", event.action, event.target, event.actor, error)
                await asyncio.sleep(_AGAIN_S)

    def end(self) -> None:
        """Notes what waits still, and that the control plane ends. It may be that it can't."""
        self.tell(Event(BY, "control.end", "control-plane", "local", "done"))
        while not self._waiting.empty():
            event = self._waiting.get_nowait()
            try:
                self._audit.append(event)
            except BartizanError as error:
                _log.error("%s %s by %s isn't in the audit log: %s", event.action, event.target, event.actor, error)
                return


def spread(one: Spread) -> Event:
    """A revision has come to the nodes: how fast, and to how many of them."""
    took = sorted(one.ms.values())
    details: dict[str, JsonValue] = {"nodes": len(one.nodes), "active": len(took), "sequence": one.sequence}
    if took:
        details |= {"ms_p50": took[len(took) // 2], "ms_max": took[-1]}
    if missing := sorted({*one.nodes} - {*one.ms}):
        details["missing"] = [*missing[:_NAMED]]
    return Event(BY, "revision.active", f"revision/{one.revision}", "control-plane", "done" if one.everywhere else "incomplete", details)


def refused_files(problems: tuple[Problem, ...]) -> Event:
    """The files were edited, and aren't taken."""
    details: dict[str, JsonValue] = {"problems": len(problems), "first": str(problems[0].at) if problems else ""}
    return Event("files", "files.refuse", "files", "files", problems[0].code if problems else "refused", details)


def edited(before: Snapshot, after: Snapshot) -> Event | None:
    """Consumers and issuers that the files declare otherwise: an edit of live data is no revision. None if there are none."""
    found = edits(digests(before, live=True), digests(after, live=True)).to_json()
    details: dict[str, JsonValue] = {}
    for what, names in found.items():
        if names:
            details[what] = [*names[:_NAMED]]
            details[f"{what}_count"] = len(names)
    return Event("files", "files.edit", "consumers and issuers", "files", "done", details) if details else None
