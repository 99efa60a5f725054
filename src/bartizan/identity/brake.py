"""The emergency brake: sources, consumers, keys, tokens, sessions and paths refused for a while, whatever the policies say.

Live data, not policy: kept in a sealed journal that only grows, so that no rollback, restart or older revision lifts a brake. Each ends
by itself. One that would refuse much of the traffic only holds when a second person has approved it.
"""

import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from bartizan.errors import Conflict, Forbidden, Invalid, NotFound
from bartizan.identity.ledger import Ledger
from bartizan.model.attributes import text_problem
from bartizan.model.fields import network
from bartizan.secrets.envelope import Envelope

What: TypeAlias = Literal["ip", "consumer", "key", "token", "session", "path"]
KINDS: tuple[What, ...] = get_args(What)
LONGEST_S = 30 * 86400.0
"""A brake isn't a policy: it holds for thirty days at most."""
_PATH = re.compile(r"/[!-~]{0,511}")


@dataclass(frozen=True, slots=True)
class Brake:
    """One thing that is refused. Times are seconds since the epoch."""

    id: str
    what: What
    value: str
    reason: str
    by: str
    since: float
    until: float
    waits: bool = False
    """A second person has to approve it before it holds."""
    approved_by: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """A brake as it is told to others."""

    brake: Brake
    lifted: bool


class Brakes:
    """The brakes in the journal `path`. Methods may be called from any thread; writing waits for the disk."""

    def __init__(self, path: Path, envelope: Envelope, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._held: dict[str, Brake] = {}
        self._lifted: dict[str, Brake] = {}
        events = {"brake": self._apply_brake, "approve": self._apply_approve, "lift": self._apply_lift}
        self._ledger = Ledger(path, envelope, "brakes", events)

    def close(self) -> None:
        self._ledger.close()

    @property
    def generation(self) -> int:
        """How often brakes have changed, ever. It never falls."""
        return self._ledger.count

    def checked(self, wanted: Brake) -> Brake:
        """What is wanted, in its one form. Invalid if it can't be a brake."""
        return _checked(wanted, float(self._clock()))

    def brake(self, wanted: Brake, *, waits: bool = False) -> Brake:
        """Makes a brake of what is wanted (its id and time are chosen here). Invalid if it can't be one. `waits`: for a second person."""
        made = replace(self.checked(wanted), id=f"brk_{secrets.token_hex(6)}", since=float(self._clock()), waits=waits)
        with self._ledger.writing():
            self._ledger.append("brake", made.id, made.what, made.value, made.reason, made.by, made.since, made.until, made.waits)
        return made

    def approve(self, ident: str, by: str) -> Brake:
        """Lets a waiting brake hold. Forbidden to whoever asked for it."""
        with self._ledger.writing():
            held = self._known(ident)
            if not held.waits:
                raise Conflict(f"{ident} doesn't wait for anybody: it holds already.", code="brake-holds")
            if held.by == by:
                raise Forbidden(f"{by} asked for {ident}; a second person approves it.", code="second-person-needed")
            self._ledger.append("approve", ident, by, float(self._clock()))
            return self._held[ident]

    def lift(self, ident: str, by: str) -> Brake:
        """Ends a brake before its time, and tells which one it was."""
        with self._ledger.writing():
            held = self._known(ident)
            self._ledger.append("lift", ident, by, float(self._clock()))
            return held

    def held(self, now: float) -> tuple[Brake, ...]:
        """Those that hold at `now`, or wait to."""
        with self._ledger.lock:
            return tuple(one for one in self._held.values() if one.until > now)

    def active(self, now: float) -> tuple[Brake, ...]:
        """Those that hold at `now`."""
        return tuple(one for one in self.held(now) if not one.waits)

    def told(self, now: float) -> tuple[Told, ...]:
        """All whose time hasn't come, also those that were lifted before it."""
        with self._ledger.lock:
            found = [Told(one, of is self._lifted) for of in (self._held, self._lifted) for one in of.values() if one.until > now]
        return tuple(sorted(found, key=lambda one: one.brake.id))

    def unknown(self, told: Iterable[Told]) -> tuple[Told, ...]:
        """Those that say something new."""
        now = self._clock()
        with self._ledger.lock:
            return tuple(one for one in told if one.brake.until > now and self._is_news(one))

    def _is_news(self, told: Told) -> bool:
        if told.brake.id in self._lifted:
            return False
        held = self._held.get(told.brake.id)
        return held is None or told.lifted or (held.waits and not told.brake.waits)

    def take(self, told: Iterable[Told]) -> int:
        """Takes over what others know of brakes: new ones, approvals, and that some were lifted. How many that changes."""
        changed = 0
        with self._ledger.writing():
            for one in told:
                before = self.generation
                self._take(one.brake, lifted=one.lifted)
                changed += self.generation != before
        return changed

    def _take(self, brake: Brake, *, lifted: bool) -> None:
        if brake.id in self._lifted or brake.until <= self._clock():
            return
        if brake.id not in self._held:
            waits = brake.waits or bool(brake.approved_by)
            self._ledger.append("brake", brake.id, brake.what, brake.value, brake.reason, brake.by, brake.since, brake.until, waits)
        if self._held[brake.id].waits and not brake.waits:
            self._ledger.append("approve", brake.id, brake.approved_by, float(self._clock()))
        if lifted:
            self._ledger.append("lift", brake.id, "a node that knew of it", float(self._clock()))

    def poll(self) -> bool:
        """Reads what other processes appended. Whether there was anything."""
        with self._ledger.lock:
            before = self.generation
            self._ledger.absorb()
            return self.generation != before

    def _known(self, ident: str) -> Brake:
        held = self._held.get(ident)
        if held is None or held.until <= self._clock():
            raise NotFound(f"There is no block {ident}, or it has ended.", code="block-missing")
        return held

    def _apply_brake(self, ident: str, *fields: Any) -> None:
        self._held[ident] = Brake(ident, *fields)

    def _apply_approve(self, ident: str, by: str, _when: float) -> None:
        if held := self._held.get(ident):
            self._held[ident] = replace(held, waits=False, approved_by=by)

    def _apply_lift(self, ident: str, _by: str, _when: float) -> None:
        if gone := self._held.pop(ident, None):
            self._lifted[ident] = gone


def _checked(wanted: Brake, now: float) -> Brake:
    if not wanted.reason.strip():
        raise Invalid("A block needs a reason: whoever meets it will ask for one.", code="block-invalid")
    if not now < wanted.until <= now + LONGEST_S:
        raise Invalid("A block ends by itself, within 30 days: say for how long, such as 1h.", code="block-invalid")
    if len(wanted.reason) > 256 or not wanted.reason.isprintable():
        raise Invalid("The reason of a block is one line of up to 256 characters.", code="block-invalid")
    return replace(wanted, value=_value(wanted.what, wanted.value))


def _value(what: What, text: str) -> str:
    """What is refused, in its one form."""
    if what == "ip":
        try:
            return str(network(text))
        except ValueError as error:
            raise Invalid(f"{text!r} is neither an address nor a network, such as 192.0.2.0/24.", code="block-invalid") from error
    if what == "path":
        if not _PATH.fullmatch(text) or "?" in text or "#" in text:
            raise Invalid(f"{text!r} isn't a path, such as /orders/refunds. What lies below it is refused too.", code="block-invalid")
        return text.rstrip("/") or "/"
    if not text or (problem := text_problem(text)):
        raise Invalid(f"The {what} {problem if text else 'is missing'}.", code="block-invalid")
    return text
