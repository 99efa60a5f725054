"""How long ago a node has heard from its control plane; when that is longer than `Gateway.max_stale`, it takes no API keys.

A key may have been revoked in the meantime, and the node couldn't know. All else goes on. The time is kept on disk, sealed, so that a
restart doesn't make a node believe that it has just heard.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from bartizan.envoy import names
from bartizan.errors import Unavailable
from bartizan.identity.table import without_keys
from bartizan.lib.files import replaced
from bartizan.secrets.envelope import CannotOpen, Envelope
from bartizan.xds.release import Resource, resource
from bartizan.xds.server import AdsServer

_log = logging.getLogger(__name__)
_CONTEXT = "heard"
_KEY_TABLES = "keys/"
_LOOK_S = 0.25
_KEEP_S = 60.0
NEVER = float("inf")


def _running_s() -> float:
    """Seconds that count on while the machine sleeps, and that nobody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Clocks:
    """The time, and a clock that only runs on."""

    now: Callable[[], float] = time.time
    running: Callable[[], float] = _running_s


class Hearing:
    """`file` is where the time is kept; `server` holds what is to be withheld."""

    def __init__(self, file: Path, envelope: Envelope, server: AdsServer, clocks: Clocks | None = None) -> None:
        self._file, self._envelope, self._server = file, envelope, server
        self._clocks = clocks or Clocks()
        self._kept = self._read()
        """The time at which the node heard last before it was started."""
        self._heard: float | None = None
        self._written = -NEVER
        self._less: dict[str, tuple[bytes, Resource]] = {}
        self.stale = False
        """API keys are refused."""
        self.tell: Callable[[str | None], None] = lambda problem: None
        """Takes why they are, or None."""

    def heard(self) -> None:
        """The control plane has just said that this node holds the newest."""
        self._heard = self._clocks.running()
        if self._heard - self._written >= min(_KEEP_S, (self._limit_s() or _KEEP_S) / 10):
            self._written = self._heard
            try:
                self._keep(self._clocks.now())
            except (OSError, Unavailable) as error:
                _log.error("when the control plane was heard last can't be kept: %s", error)

    def reseal(self) -> None:
        """Seals what is kept anew, with the key that is the current one now."""
        if self._file.exists() and (kept := self._read()) != -NEVER:
            self._keep(kept)

    def _keep(self, when: float) -> None:
        with self._envelope.kept():
            replaced(self._file, self._envelope.seal(repr(when).encode(), _CONTEXT))

    @property
    def age_s(self) -> float:
        """How long ago that was. A clock that was set back since says nothing."""
        if self._heard is not None:
            return self._clocks.running() - self._heard
        age_s = self._clocks.now() - self._kept
        return age_s if age_s >= 0 else NEVER

    def look(self) -> bool:
        """Whether it has changed that API keys are refused."""
        limit_s = self._limit_s()
        before, self.stale = self.stale, limit_s is not None and self.age_s > limit_s
        if self.stale and not before:
            said = "never" if self.age_s == NEVER else f"{self.age_s:.0f} s ago"
            trouble = f"The control plane was heard last {said}, and max_stale is {limit_s:g} s: API keys are refused until it is heard."
            _log.error("%s", trouble)
            self.tell(trouble)
        elif before and not self.stale:
            _log.warning("API keys are taken again")
            self.tell(None)
        return self.stale != before

    def adapted(self, one: Resource) -> Resource:
        """What Envoy gets of a key table."""
        if not self.stale or one.type_url != names.ECDS or not one.name.startswith(_KEY_TABLES):
            return one
        known = self._less.get(one.name)
        if known is None or known[0] != one.digest:
            made = resource(one.type_url, one.name, without_keys(one.name.removeprefix(_KEY_TABLES), one.body))
            known = self._less[one.name] = one.digest, made
        return known[1]

    async def run(self) -> None:
        """Looks again and again, for ever."""
        while True:
            if self.look():
                await self._server.give_again(names.ECDS, _KEY_TABLES)
            await asyncio.sleep(_LOOK_S)

    def _limit_s(self) -> float | None:
        note = self._server.state.of(names.NOTE).get(names.SETTINGS)
        return float(orjson.loads(note.body)["max_stale_s"]) if note else None

    def _read(self) -> float:
        try:
            return float(self._envelope.open(self._file.read_bytes(), _CONTEXT))
        except FileNotFoundError:
            return -NEVER
        except (OSError, CannotOpen, ValueError) as error:
            _log.error("when the control plane was heard last can't be read, so it counts as never: %s", error)
            return -NEVER
