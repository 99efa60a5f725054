"""The control plane's process: builds everything, wires it, runs it. The only place that knows all.

`python -m bartizan.app --files PATH --state DIR`: reads what is declared, compiles it, gives it to the nodes, and follows every change of
files, keys, issuers' keys and failed attempts.
"""

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bartizan.admin.options import ADMIN, ControlOptions, api_socket
from bartizan.admin.server import serve
from bartizan.compile import Compiled
from bartizan.compile.records import FAILURES, REQUESTS
from bartizan.errors import BartizanError
from bartizan.identity.blocking import FailedAttempts
from bartizan.identity.certificates import Certificates
from bartizan.identity.credentials import ALL, Tables
from bartizan.identity.jwks import KeySets
from bartizan.identity.keys import KeyStore
from bartizan.identity.principal import principal_of
from bartizan.lib.process import CANNOT_RUN
from bartizan.lib.sockets import private_folder
from bartizan.lib.supervise import supervised
from bartizan.model.gateway import Records
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot
from bartizan.node.options import admin_socket, control_socket
from bartizan.node.stats import Admin
from bartizan.rollout.accepted import Accepted
from bartizan.rollout.covering import told_of_route
from bartizan.rollout.draft import Drafts
from bartizan.rollout.folder import Folder, Look
from bartizan.rollout.loosening import loosenings
from bartizan.rollout.standing import Standing
from bartizan.rollout.state import Live, State, state_of
from bartizan.secrets.keyring import load_or_create
from bartizan.telemetry.changes import CHANGES, note
from bartizan.telemetry.rotation import keep_bounded
from bartizan.telemetry.tail import followed
from bartizan.xds.control import ControlServer
from bartizan.xds.plan import difference, in_order
from bartizan.xds.release import Release, Resource

_log = logging.getLogger("bartizan")
_KEYS_POLL_S = 0.02
_EVERY_S = 0.5
_KEEP_EVERY_S = 1.0
_FAILURES_BYTES = 4 << 20


class ControlPlane:
    """The whole control plane of one gateway."""

    def __init__(self, options: ControlOptions, drafts: Drafts, server: ControlServer) -> None:
        self.options = options
        self.server = server
        self.standing = Standing()
        self.drafts, self.folder = drafts, drafts.folder
        self.accepted = Accepted(options.state / "accepted.json")
        store = KeyStore(options.state / "keys.journal", load_or_create(options.state / "control.key"))
        self.tables = Tables(store, self.folder.base)
        self.issuers = KeySets(self.wake, self.folder.base)
        self.certificates = Certificates(self.folder.base)
        self.envoy = Admin(admin_socket(options.state))
        self.failed: FailedAttempts | None = None
        self.snapshot: Snapshot | None = None
        self.compiled: Compiled | None = None
        self.state: State | None = None
        self.loosens: tuple[str, ...] = ()
        self._held: dict[tuple[str, str], Resource] = {}
        self._due = asyncio.Event()
        self._base = time.time_ns() // 1_000_000  # so that a generation is never less than one before a restart

    def wake(self) -> None:
        """Something live has changed."""
        self._base += 1
        self._due.set()

    async def run(self) -> None:
        """Until cancelled."""
        self.take_files()
        self._due.set()
        work = {
            "the watch over files": self._watch_files,
            "the keeping of what was accepted": self._keep_accepted,
            "the watch over keys": self._watch_keys,
            "the fetching of issuers' keys": self.issuers.run,
            "the publishing": self._publish_changes,
            "the watch over failed attempts": self._watch_failures,
            "the clock": self._tick,
            "the rotation of records": self._bound_records,
            "the watch over certificates": self._watch_certificates,
        }
        async with asyncio.TaskGroup() as group:
            for name, task in work.items():
                group.create_task(supervised(name, task))
            group.create_task(serve(self, api_socket(self.options.state), self.options.admin))

    def take_files(self, look: Look | None = None) -> None:
        """Takes what the files declare. What is wrong with them is told, and what was there before serves on."""
        self.standing.reads += 1
        self.standing.pending = True
        compiled = self.drafts.compiled(self.compiled, look)
        problems = tuple(self.certificates.problems(compiled.snapshot)) if isinstance(compiled, Compiled) else compiled
        if problems or not isinstance(compiled, Compiled):
            self._refuse(problems)
            return
        old, found = self.snapshot, compiled.snapshot
        self.snapshot, self.compiled = found, compiled
        self.accepted.take(self.folder.texts(), found.files)
        self.standing.refused, self.standing.error = (), ""
        if old is not None:
            self.loosens = tuple(loosenings(old, found))
            for sentence in self.loosens:
                _log.warning("revision %s LOOSENS: %s", found.revision, sentence)
                self.standing.loosened.append(f"{found.revision}: {sentence}")
            del self.standing.loosened[:-50]
        self._take_live(old, found)

    def _take_live(self, old: Snapshot | None, new: Snapshot) -> None:
        if old is None or old.issuers != new.issuers:
            self.issuers.declare(new.issuers)
        now = time.time()
        if old is None or list(old.gateway.attributes.items()) != list(new.gateway.attributes.items()):  # their order counts too
            self.tables.rebuild(new, now)
            self._base += 1
        elif touched := self.tables.touched(old.consumers, new.consumers):
            self.tables.rebuild(new, now, touched)
            self._base += 1
        self._base += self.certificates.declare(new)
        if self.failed is None or self.failed.rules != new.gateway.blocking:
            self.failed = FailedAttempts(new.gateway.blocking, self.options.state / "blocks.json")

    def _refuse(self, problems: tuple[Problem, ...]) -> None:
        self.standing.refused, self.standing.refused_at = problems, time.time()
        self.standing.refusals += 1
        serving = f"revision {self.standing.revision} serves on" if self.standing.revision else "nothing is served yet by this process"
        _log.error("the files are refused, %d problems; %s", len(problems), serving)
        for problem in problems:
            _log.error("%s", problem)
        if self.snapshot is None and (kept := self.accepted.compiled()) is not None:
            _log.warning("revision %s, accepted before, is gone on with: keys and consumers still count", kept.snapshot.revision)
            self.snapshot, self.compiled = kept.snapshot, kept
            self._take_live(None, kept.snapshot)

    def live(self) -> Live | None:
        """What is live now; None before the first good files."""
        if self.compiled is None:
            return None
        generation = self.tables.store.generation + self._base
        principal = principal_of(self.compiled, self.state.compiled if self.state else None, generation)
        blocked = self.failed.blocked(time.time()) if self.failed else frozenset()
        return Live(generation, self.issuers.keys(), dict(self.tables.bodies), principal, blocked, self.certificates.bodies())

    async def _publish_changes(self) -> None:
        while True:
            self.standing.pending = self._due.is_set()
            await self._due.wait()
            self._due.clear()
            self.standing.pending = True
            await self._publish_what_is_new(time.perf_counter())
            if not gc.isenabled():
                # What was made at the start stays: the collector needn't walk it at each edit.
                gc.freeze()
                gc.enable()

    async def _publish_what_is_new(self, began: float) -> None:
        alive, compiled = self.live(), self.compiled
        if alive is None or compiled is None:
            return
        if self.state is not None and self.state.compiled is not compiled and self.state.live != alive:
            # Live data first and apart: a revision that Envoy refuses must not take a revocation back with it.
            await self._publish(state_of(self.state.compiled, alive, self.state), began)
        if not await self._publish(self.drafts.state(compiled, alive, self.state), began) and self.state is not None:
            self.compiled, self.snapshot = self.state.compiled, self.state.compiled.snapshot

    async def _publish(self, state: State, began: float) -> bool:
        """Gives a state to every node. False if an Envoy refused it; then the one before is back everywhere."""
        step, held = difference(self._held, state.resources())
        revision = state.compiled.snapshot.revision
        if not step.changed and not step.removed and revision == self.standing.revision:
            self.state = state
            return True
        sequence = max(self.standing.sequence + 1, time.time_ns() // 1_000_000)
        release = Release(sequence, revision, state.live.generation, in_order(step))
        outcomes = await self.server.publish(release)
        errors = {node: outcome.error for node, outcome in outcomes.items() if outcome.error}
        if errors:
            self.standing.error = "; ".join(f"{node}: {error}" for node, error in sorted(errors.items()))
            _log.error("revision %s isn't taken; this is an error of Bartizan's own: %s", revision, self.standing.error)
            return False
        self._held, self.state = held, state
        standing = self.standing
        standing.publishes += 1
        standing.sequence, standing.generation = sequence, state.live.generation
        if outcomes and all(outcome.acknowledged for outcome in outcomes.values()):
            standing.enforced_ms = (time.perf_counter() - began) * 1000
        if standing.revision != revision:
            change = {"revision": revision, "before": standing.revision, "generation": standing.generation, "loosens": self.loosens}
            await asyncio.to_thread(note, self.options.state / CHANGES, change)
            standing.revision, standing.since = revision, time.time()
            took = f" in {standing.enforced_ms:.0f} ms" if outcomes and standing.enforced_ms is not None else ""
            _log.info("revision %s is active on %d node(s)%s", revision, len(outcomes), took)
        return True

    async def _watch_files(self) -> None:
        def prepare(look: Look) -> None:
            if self.state is not None:
                self.drafts.prepare(self.state, look)

        async for look in self.folder.settled(prepare):
            self.take_files(look)
            self._due.set()

    async def _keep_accepted(self) -> None:
        while True:
            await asyncio.sleep(_KEEP_EVERY_S)
            if self.accepted.due:
                await asyncio.to_thread(self.accepted.keep)

    async def _watch_keys(self) -> None:
        while True:
            changes = self.tables.store.poll()
            if changes is not None and self.snapshot is not None:
                self.tables.rebuild(self.snapshot, time.time(), changes.shards)
                self._due.set()
            await asyncio.sleep(_KEYS_POLL_S)

    async def _watch_failures(self) -> None:
        async for batch in followed(self.options.state / FAILURES):
            if self.failed is not None and self.failed.count(batch, time.time()):
                _log.warning("sources are blocked for too many failed attempts: %s", ", ".join(sorted(self.failed.blocked(time.time()))))
                self.wake()
            if any(str(record.get("details")).startswith("jwt_authn_access_denied") for record in batch):
                self.issuers.unknown_key()

    async def _watch_certificates(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            if self.certificates.refresh():
                self.wake()

    async def _tick(self) -> None:
        """What time alone changes: keys that expire, blocks that end."""
        last = time.time()
        while True:
            await asyncio.sleep(_EVERY_S)
            now = time.time()
            expired = self.tables.store.shards_expired(last, now)
            last = now
            stale = self.tables.is_stale()
            if (expired or stale) and self.snapshot is not None:
                self.tables.rebuild(self.snapshot, now, ALL if stale else expired)
                self.wake()
            blocked = self.state.live.blocked if self.state else frozenset()
            if self.failed is not None and self.failed.blocked(time.time()) != blocked:
                self.wake()

    async def _bound_records(self) -> None:
        def sizes() -> dict[Path, tuple[int, int]]:
            records = self.snapshot.gateway.records if self.snapshot else Records()
            kept = (records.rotate, records.keep)
            # Failed attempts are read as they come, and hold whole addresses: not for keeping.
            return {self.options.state / REQUESTS: kept, self.options.state / FAILURES: (_FAILURES_BYTES, _FAILURES_BYTES)}

        await keep_bounded(sizes, self.envoy.reopen_logs)

    def status(self) -> dict[str, Any]:
        """What `bartizan status` shows."""
        standing = self.standing
        nodes = [asdict(node) for node in self.server.nodes()]
        return {
            "files": str(self.options.files),
            "revision": standing.revision,
            "since": standing.since,
            "generation": standing.generation,
            "sequence": standing.sequence,
            "enforced_ms": standing.enforced_ms,
            "reads": standing.reads,
            "pending": standing.pending or self._due.is_set(),
            "refused": [problem.to_json() for problem in standing.refused],
            "refused_at": standing.refused_at,
            "error": standing.error,
            "loosened": standing.loosened,
            "warnings": [*self.tables.warnings, *self._issuer_warnings(), *self.certificates.warnings()],
            "blocked": sorted(self.state.live.blocked) if self.state else [],
            "nodes": nodes,
        }

    def digests(self) -> dict[str, str]:
        """What each resource that is active says, as a hash."""
        held = self.state.compiled.snapshot.resources if self.state else {}
        return {f"{kind}/{name}": one.digest for (kind, name), one in held.items()}

    def declared(self, kind: str, name: str) -> dict[str, Any] | None:
        """A resource as it is active, or None."""
        found = self.state.compiled.snapshot.resources.get((kind, name)) if self.state else None
        return found.value.model_dump(mode="json", by_alias=True) if found else None

    def covering(self, api: str, route: str, method: str) -> dict[str, Any]:
        """The policies that cover a route, as they are active."""
        return told_of_route(self.state.compiled, self.state.stamps, api, route, method) if self.state else {}

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


async def run_control(options: ControlOptions, drafts: Drafts) -> None:
    """Runs until cancelled. BartizanError if it can't begin."""
    private_folder(options.state)
    (options.state / "records").mkdir(mode=0o700, exist_ok=True)
    server = ControlServer(control_socket(options.state), plan=in_order)
    await server.start()  # before the keys are read, so that nodes needn't try again
    try:
        await ControlPlane(options, drafts, server).run()
    finally:
        await server.stop()


async def _until_signalled(options: ControlOptions, drafts: Drafts) -> int:
    loop = asyncio.get_running_loop()
    work = asyncio.create_task(run_control(options, drafts))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        return 0
    except (BartizanError, OSError) as error:
        _log.error("%s", error)
        return CANNOT_RUN
    except ExceptionGroup as group:
        expected, other = group.split((BartizanError, OSError))
        if other is not None or expected is None:
            raise
        _log.error("%s", _first(expected))
        return CANNOT_RUN
    return 0


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


def main(arguments: Sequence[str]) -> int:
    """The control plane as a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m bartizan.app", description="Runs the control plane.")
    parser.add_argument("--files", type=Path, required=True, metavar="PATH", help="the YAML file, or the folder of them")
    parser.add_argument("--state", type=Path, required=True, metavar="DIR", help="where keys, records and sockets are")
    parser.add_argument("--admin", default=ADMIN, metavar="HOST:PORT", help="where health and metrics are served")
    parser.add_argument("--tell", type=int, metavar="N", help="the pipe into which the verdict on the files goes, once, before all else")
    read = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s control %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    os.umask(0o077)
    gc.disable()  # until the first publish
    drafts = Drafts(Folder(read.files))
    if read.tell is not None:
        verdict = drafts.verdict(Certificates(drafts.folder.base).problems)
        verdict.write(read.tell)
        if verdict.problems:
            return CANNOT_RUN
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(_until_signalled(ControlOptions(read.files, read.state, read.admin), drafts))
    return 0


__all__ = ["ALL", "ControlOptions", "ControlPlane", "main", "run_control"]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
