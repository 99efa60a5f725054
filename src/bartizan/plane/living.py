"""Live data: keys, issuers' keys, certificates, blocks and brakes. It follows each of them, and tells what holds now."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bartizan.compile import Compiled
from bartizan.compile.referring import references, secret_problems
from bartizan.identity import scopes
from bartizan.identity.blocking import FailedAttempts
from bartizan.identity.brake import Brake, Brakes
from bartizan.identity.certificates import Certificates
from bartizan.identity.credentials import ALL, Tables, changed, count_alike, have_gone
from bartizan.identity.crls import Lists
from bartizan.identity.databases import Databases
from bartizan.identity.introspection import Introspections
from bartizan.identity.jwks import KeySets
from bartizan.identity.keys import KeyStore
from bartizan.identity.logins import Logins
from bartizan.identity.named import FILE as SECRETS
from bartizan.identity.named import NamedSecrets
from bartizan.identity.principal import principal_of, wanted_of
from bartizan.identity.revoked import Documents
from bartizan.identity.towards import Towards
from bartizan.lib.clock import Jumps
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot
from bartizan.plane.contexts import Contexts
from bartizan.plane.nodes import release_key
from bartizan.rollout.sequence import Sequence
from bartizan.rollout.state import Live
from bartizan.secrets.keyring import load_or_create
from bartizan.telemetry.last_use import LastUse
from bartizan.telemetry.places import FAILURES
from bartizan.telemetry.tail import followed_everywhere

_log = logging.getLogger("bartizan")
_KEYS_POLL_S = 0.02
_SECRETS_POLL_S = 0.1
_EVERY_S = 0.5
_USES_EVERY_S = 10.0
_JUMP_TOLD_S = 3600.0
_MANY, _SOME = 100, 3
"""Of so many subjects tables are told so many at a time."""


class Living:
    """The live data of one gateway. `changed` is called whenever some of it has."""

    def __init__(self, state: Path, base: Path, changed: Callable[[], None]) -> None:
        envelope = load_or_create(state / "control.key")
        self.named = NamedSecrets(state / SECRETS, envelope)
        self.tables = Tables(KeyStore(state / "keys.journal", envelope), base, named=self.named)
        self.brakes = Brakes(state / "brakes.journal", envelope)
        self.issuers = KeySets(self.wake, base, self.named)
        self.asking = Introspections(base, self.named)
        self.certificates = Certificates(base, self.named)
        self.lists = Lists(base, self.named)
        self.towards = Towards(self.named)
        self.logins = Logins(base, self.named)
        self.databases = Databases(base, state)
        self.contexts = Contexts(state, base, envelope, self.named, self._retell)
        self.tables.context = self.contexts.context.of
        self.failed: FailedAttempts | None = None
        self._snapshot: Snapshot | None = None
        self._written: tuple[Mapping[str, str], ...] = ()
        """The fields that the tables are written with, and those before: nodes may still hold these."""
        self._served: tuple[Snapshot, ...] = ()
        self._blocked: frozenset[str] = frozenset()
        """The sources that were told last as blocked."""
        self._untold: set[str] = set()
        """Shards whose tables don't tell yet what sources say of many, or that somebody counts no more."""
        self._braked: tuple[int, tuple[Brake, ...]] = (0, ())
        """The brakes that were taken last, with their generation: those of now may be others, by whomever and however soon after them."""
        self._folder = state
        self._changed = changed
        self._numbers = Sequence(state / "generation")  # so that a generation is never less than one before a restart
        self._base = self._numbers.next()
        self.uses = LastUse(state, state / "records", self.tables.store.holds)
        self._documents = Documents(release_key(state, envelope))
        self._jumps = Jumps()
        self._jumped: tuple[float, str] | None = None
        """When the clock was set, by the clock that only runs on, and what is told of it."""

    def wake(self) -> None:
        """Something live has changed."""
        self._base = self._numbers.next()
        self._changed()

    def take(self, old: Snapshot | None, new: Snapshot) -> None:
        """Takes what is declared now: consumers, issuers, attributes, certificates and rules of blocking."""
        self._snapshot = new
        if old is None or old.issuers != new.issuers:
            self.issuers.declare({name: one for name, one in new.issuers.items() if one.has_keys})
            self.asking.declare(new.issuers)
        now = time.time()
        if self._refit(now, anew=old is None):
            self._base = self._numbers.next()
        elif old is not None and (names := changed(old.consumers, new.consumers)):
            self._take_consumers(old, new, names)
            self._base = self._numbers.next()
        if any([self.certificates.declare(new), self.lists.declare(new)]):
            self._base = self._numbers.next()
        if self.failed is None or self.failed.rules != new.gateway.blocking:
            self.failed = FailedAttempts(new.gateway.blocking, self._folder / "blocks.json")

    def _take_consumers(self, old: Snapshot, new: Snapshot, names: frozenset[str]) -> None:
        """These consumers are declared otherwise. What can be told of them without their tables is told so first."""
        if count_alike(old.consumers, new.consumers, names) and self._tell_ahead(names):
            return
        touched = self.tables.touched(old.consumers, new.consumers)
        if len(names) <= _MANY and have_gone(new.consumers, names) and self.tables.tell_gone(old.consumers, names):
            self._untold |= touched
        else:
            self.tables.rebuild(new, time.time(), touched)

    def _refit(self, now: float, *, anew: bool = False) -> bool:
        """Has tables written with the fields that are to be told now, if they aren't, or `anew`. Whether that was so."""
        if self._snapshot is None:
            return False
        anew |= self.contexts.declare(self._served, self._snapshot)
        fields = self.contexts.fields(self._snapshot)
        same = self._written and list(self._written[0].items()) == list(fields.items())  # their order counts too
        if same and not anew:
            return False
        self.tables.braked, self.tables.fields = self._braked_keys(now), fields
        self.tables.forget()
        self.tables.rebuild(self._snapshot, now)
        if not same:
            self._written = (fields, *self._written)[:2]
        return True

    def _retell(self, subjects: frozenset[str]) -> None:
        """Context sources say something else of these, or the same anew."""
        if self._snapshot is not None and not self._tell_ahead(subjects):
            touched = self.tables.retold(self._snapshot.consumers, subjects)
            if len(subjects) > _MANY:
                self._untold |= touched
            elif touched:
                self.tables.rebuild(self._snapshot, time.time(), touched)
        self.wake()

    def _tell_ahead(self, names: frozenset[str]) -> bool:
        """Has what holds of a few consumers told before their tables tell it, if there is room."""
        return self._snapshot is not None and len(names) <= _MANY and self.tables.tell_ahead(self._snapshot.consumers, names)

    def _retell_some(self) -> None:
        """Writes some of the tables that many subjects are in: what is revoked meanwhile needn't wait for all. Or one of those that are
        older than what is told ahead of them."""
        if self._untold and self._snapshot is not None:
            some = frozenset(sorted(self._untold)[:_SOME])
            self._untold -= some
            self.tables.rebuild(self._snapshot, time.time(), some)
            self.wake()
        elif self._snapshot is not None and (shard := self.tables.ahead.due(time.monotonic())):
            self.tables.rebuild(self._snapshot, time.time(), (shard,))
            self.wake()

    def now(self, compiled: Compiled, before: Compiled | None, candidate: Compiled | None = None, *, aside: bool = False) -> Live:
        """What holds now, as these policies need it. `before`: those that are served still; `candidate`: those on their way out. `aside`:
        it is for some nodes, beside those that all others are given."""
        moment = time.time()
        served = tuple(one.snapshot for one in (compiled, before, candidate) if one is not None)
        if not aside:
            self._served = served
            if self._refit(moment):
                self._base = self._numbers.next()
        generation, wanted = self._generation, wanted_of(compiled, before, candidate, self._written)
        principal = principal_of(compiled, generation, wanted)
        context = self.contexts.bodies(served, wanted, self._written[0] if self._written else compiled.snapshot.told())
        self._blocked = self.failed.blocked(moment) if self.failed else frozenset()
        braked = self.brakes.active(moment)
        self.databases.declare(one.gateway for one in served)
        pairs = {**self.certificates.bodies(), **self.towards.bodies(served), **self.logins.bodies(served)}
        tables, ahead, lists = dict(self.tables.bodies), self.tables.ahead.body(), self.lists.bodies()
        notes = {**self.notes(), **self.asking.notes()}
        return Live(generation, self.issuers.keys(), tables, principal, self._blocked, braked, pairs, lists, notes, context, ahead)

    def problems(self, snapshot: Snapshot, before: Snapshot | None) -> tuple[Problem, ...]:
        """What keeps a snapshot from being served, though it is in order by itself: no good pair, or secrets that aren't there."""
        keys = scopes.undeclared(self.tables.store.scoped(), snapshot, before)
        kept = (self.certificates, self.lists, self.databases, self.logins)
        files = [problem for one in kept for problem in one.problems(snapshot)]
        return (*files, *secret_problems(snapshot, self.named.grants(), before), *keys)

    def notes(self) -> dict[str, bytes]:
        """What nodes keep of all that was revoked and blocked."""
        return self._documents.of(self.tables.store, self.brakes, time.time())

    def taken_over(self) -> int:
        """Keys and brakes were taken over from others. Returns the generation that holds them."""
        self.take_keys()
        self.brakes.poll()
        self.take_brakes()
        return self._generation

    @property
    def _generation(self) -> int:
        return self.tables.store.generation + self.brakes.generation + self._base

    def take_keys(self) -> None:
        """Keys may have been made, rotated or revoked."""
        changes = self.tables.store.poll()
        if changes is not None and self._snapshot is not None:
            self.tables.rebuild(self._snapshot, time.time(), changes.shards)
            self._changed()

    def _braked_keys(self, now: float) -> frozenset[str]:
        return frozenset(one.value for one in self.brakes.active(now) if one.what == "key")

    async def watch_keys(self) -> None:
        """Follows the keys and the brakes, whoever writes them."""
        while True:
            self.take_keys()
            self.brakes.poll()
            self.take_brakes()
            self._retell_some()
            await asyncio.sleep(_KEYS_POLL_S)

    def take_brakes(self) -> None:
        """Brakes may have been set, lifted, approved, or have ended."""
        now = time.time()
        if (there := (self.brakes.generation, self.brakes.active(now))) == self._braked:
            return
        self._braked = there
        braked = self._braked_keys(now)
        if braked != self.tables.braked and self._snapshot is not None:
            self.tables.braked = braked
            self.tables.rebuild(self._snapshot, now)
        self.wake()

    async def watch_secrets(self) -> None:
        """Follows the named secrets, whoever writes them: apart from the keys, so that nothing here holds up a revocation."""
        while True:
            self.take_secrets()
            await asyncio.sleep(_SECRETS_POLL_S)

    def take_secrets(self) -> None:
        """Named secrets may have been set or deleted."""
        if self.named.poll() and self._snapshot is not None:
            if any(one.kind == "Consumer" for one in references(self._snapshot)):
                self.tables.rebuild(self._snapshot, time.time())
            self.certificates.refresh()
            self.lists.refresh()
            self.asking.refresh()
            self.issuers.look()
            self.wake()

    async def watch_failures(self) -> None:
        """Blocks sources of failed attempts, and fetches issuers' keys that tokens name and nobody knows."""
        async for batch in followed_everywhere(self._folder / "records", FAILURES):
            if self.failed is not None and self.failed.count(batch, time.time()):
                _log.warning("sources are blocked for too many failed attempts: %s", ", ".join(sorted(self.failed.blocked(time.time()))))
                self.wake()
            if any(str(record.get("details")).startswith("jwt_authn_access_denied") for record in batch):
                self.issuers.unknown_key()

    async def watch_uses(self) -> None:
        """Follows which keys are used: behind the requests, by their records."""
        try:
            while True:
                await asyncio.to_thread(self.uses.look)
                await asyncio.sleep(_USES_EVERY_S)
        finally:
            self.uses.end()

    async def watch_databases(self) -> None:
        """Follows the databases of places. Envoy sees by itself that a copy is another, so there is nothing to publish."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await asyncio.to_thread(self.databases.refresh)

    async def watch_certificates(self) -> None:
        """Follows the files of certificates, of those that are revoked, and of the gateway's secrets at issuers."""
        while True:
            await asyncio.sleep(_EVERY_S)
            if any([self.certificates.refresh(), self.lists.refresh(), self.logins.refresh(), self.asking.refresh()]):
                self.wake()

    async def tick(self) -> None:
        """What time alone changes: keys and consumers that expire, blocks and brakes that end."""
        last = time.time()
        while True:
            await asyncio.sleep(_EVERY_S)
            now = time.time()
            # A clock that was set back has keys that had ended count again: it was the time in between that was wrong.
            expired = self.tables.store.shards_expired(last, now) if now >= last else ALL
            expired |= self.tables.turned(now)
            last = now
            self._look_at_clock()
            stale = self.tables.is_stale()
            if (expired or stale) and self._snapshot is not None:
                self.tables.rebuild(self._snapshot, now, ALL if stale else expired)
                self.wake()
            if self.failed is not None and self.failed.blocked(now) != self._blocked:
                self.wake()

    def _look_at_clock(self) -> None:
        if moved := self._jumps.look():
            told = f"{'forward' if moved > 0 else 'back'} by {abs(moved):.0f} s"
            told = f"this machine's clock was set {told}: keys, blocks, freezes and windows begin and end by it"
            _log.warning("%s", told)
            self._jumped = time.monotonic(), told

    def warnings(self) -> list[str]:
        """What needs somebody's attention."""
        keys = scopes.warnings(self.tables.store.scoped(), self._snapshot) if self._snapshot is not None else ()
        consumers = [*self.tables.timed_warnings(time.time()), *keys, *self.uses.warnings(time.time())]
        failed = self.failed.warnings() if self.failed else []
        if self._jumped is not None and time.monotonic() < self._jumped[0] + _JUMP_TOLD_S:
            failed = [*failed, self._jumped[1]]
        return [*self.tables.warnings, *consumers, *self._issuer_warnings(), *self._file_warnings(), *self.contexts.warnings(), *failed]

    def _file_warnings(self) -> list[str]:
        files = (self.certificates, self.lists, self.towards, self.logins, self.databases, self.asking)
        return [warning for one in files for warning in one.warnings()]

    def told(self) -> dict[str, Any]:
        """What is refused at the moment, whatever the policies say."""
        now = time.time()
        return {"blocked": sorted(self.failed.blocked(now)) if self.failed else [], "brakes": self.brakes.held(now)}

    def _issuer_warnings(self) -> list[str]:
        found = []
        for one in self.issuers.sets():
            if one.error:
                age = (
                    f"the last good keys are {time.time() - one.fetched:.0f} s old"
                    if one.fetched
                    else "there are none: its routes answer 503"
                )
                found.append(f"Issuer/{one.issuer.name}: {one.error}; {age}")
        return found
