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
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bartizan import __version__
from bartizan.admin.options import ADMIN, AGENTS, ControlOptions, Door, api_socket
from bartizan.admin.server import serve
from bartizan.compile import Compiled
from bartizan.compile.records import FAILURES, REQUESTS
from bartizan.errors import BartizanError, Invalid, Unavailable
from bartizan.identity.accounts import FILE as ACCOUNTS
from bartizan.identity.accounts import Accounts
from bartizan.identity.declared import DECLARED, Declared
from bartizan.identity.operators import FIRST, Operators, forget_first
from bartizan.identity.token_keys import FILE as AUTHORIZATION
from bartizan.identity.token_keys import SigningKeys
from bartizan.identity.unnoted import Unnoted
from bartizan.lib.dumps import no_dumps
from bartizan.lib.process import CANNOT_RUN
from bartizan.lib.sockets import private_folder
from bartizan.lib.supervise import supervised
from bartizan.model.gateway import Records
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot
from bartizan.node.options import admin_socket
from bartizan.node.stats import Admin
from bartizan.plane.authorization import Authorization
from bartizan.plane.canary import Canary
from bartizan.plane.checks import Checks
from bartizan.plane.declaring import Declaring
from bartizan.plane.desk import Around, Desk
from bartizan.plane.knowing import Knowing
from bartizan.plane.line import Line
from bartizan.plane.living import Living
from bartizan.plane.nodes import Nodes
from bartizan.plane.noting import Noting, edited, refused_files, spread
from bartizan.plane.opening import at_start
from bartizan.plane.operations import Operations
from bartizan.plane.publishing import Publisher
from bartizan.plane.rollouts import Rollouts
from bartizan.rollout.accepted import FILE as ACCEPTED
from bartizan.rollout.accepted import Accepted
from bartizan.rollout.draft import Drafts
from bartizan.rollout.folder import Folder, Look
from bartizan.rollout.standing import Standing
from bartizan.secrets.keyring import load_or_create, load_patiently
from bartizan.secrets.seal import Signatures
from bartizan.secrets.signing import SigningKey
from bartizan.store import Store, embedded, open_store
from bartizan.store.opening import HEAD
from bartizan.telemetry.places import FAILURES_BYTES
from bartizan.telemetry.rotation import keep_bounded
from bartizan.xds.control import ControlServer

_log = logging.getLogger("bartizan")
_EVERY_S = 0.5
_KEEP_EVERY_S = 1.0


class ControlPlane:
    """The whole control plane of one gateway."""

    def __init__(self, options: ControlOptions, drafts: Drafts, server: ControlServer, store: Store, seal: Signatures) -> None:
        self.options = options
        self.server = server
        self.standing = Standing()
        self.drafts, self.folder = drafts, drafts.folder
        self.declared = Declared(options.state / DECLARED, load_or_create(options.state / "control.key"))
        self.folder.beside(self.declared.read())
        self.accepted = Accepted(options.state / ACCEPTED)
        self._due = asyncio.Event()
        self._not_taken = ""
        """Why an edit of the files waits."""
        self.living = Living(options.state, self.folder.base, self._due.set)
        self.publisher = Publisher(server, drafts.state, self.standing, options.state)
        self.envoy = Admin(admin_socket(options.state))
        self.shipped: Callable[[str], dict[str, Any] | None] = lambda node: None
        """How it stands with the records of a node of another machine."""
        self.line = Line(store)
        self.noting = Noting(store.audit, Unnoted(options.state, load_or_create(options.state / "control.key")))
        server.propagation.tell = lambda one: self.noting.tell(spread(one))
        self.knowing = server.revocations = Knowing(self.living, server.public, self.noting.tell)
        checks = Checks(options.files, options.state)
        self.desk = Desk(self.line, self.standing, Around(self._due.set, self.living.take, checks.has_tests))
        self.canary = Canary(self.publisher, self.living, options.state)
        self.rollouts = Rollouts(self.desk, self.publisher, checks, self.canary)
        operators = Operators(store, seal)
        envelope = load_or_create(options.state / "control.key")
        accounts = Accounts(options.state / ACCOUNTS, envelope)
        keys = SigningKeys(options.state / AUTHORIZATION, envelope)
        self.authorization = Authorization(store, accounts, keys, (self.living, self.noting, self.folder.base), self._active)
        declaring = Declaring(self.declared, self.desk, self.folder, self.living.problems)
        parts = (self.desk, self.living, self.publisher, self.rollouts, self.envoy)
        people = (operators, accounts, self.authorization)
        self.operations = Operations(*parts, store, *people, options.state, options.files, self.status, self.noting, declaring)

    def _active(self) -> Snapshot | None:
        return self.desk.compiled.snapshot if self.desk.compiled is not None else None

    async def run(self) -> None:
        """Until cancelled."""
        self.noting.begin(__version__, self.line.store.database.name)
        await self._first_token()  # before there is a revision: that is how a first start is told from a lost store
        await self.take_files()
        self._due.set()
        work = {
            "the watch over files": self._watch_files,
            "the keeping of what was accepted": self._keep_accepted,
            "the watch over keys": self.living.watch_keys,
            "the watch over secrets": self.living.watch_secrets,
            "the fetching of issuers' keys": self.living.issuers.run,
            "the publishing": self._publish_changes,
            "the keeping of revisions": self.line.run,
            "the rollouts": self.rollouts.run,
            "the guards": self.rollouts.watch,
            "the watch over failed attempts": self.living.watch_failures,
            "the clock": self.living.tick,
            "the last use of keys": self.living.watch_uses,
            "the rotation of records": self._bound_records,
            "the watch over certificates": self.living.watch_certificates,
            "the watch over databases of places": self.living.watch_databases,
            "the fetching of context": self.living.contexts.pulling.run,
            "the watch over context": self.living.contexts.watch,
            "the noting": self.noting.run,
            "the authorization server": self.authorization.run,
        }
        async with asyncio.TaskGroup() as group:
            for name, task in work.items():
                group.create_task(supervised(name, task))
            group.create_task(serve(self.operations, api_socket(self.options.state), self.options.admin, self.options.door))
            group.create_task(self._forget_first())

    async def _first_token(self) -> None:
        if self.options.door is not None:
            file = await asyncio.to_thread(self.operations.operators.first, self.options.state)
            if file is not None:
                _log.info("the first token of the admin API lies in %s for an hour; it makes one other token", file)

    async def _forget_first(self) -> None:
        state = self.options.state
        while (state / FIRST).exists():
            if not await asyncio.to_thread(self.operations.operators.first_counts):
                forget_first(state)
            await asyncio.sleep(_EVERY_S)

    async def take_files(self, look: Look | None = None) -> None:
        """Takes what the files declare. What is wrong with them is told, and what was there before serves on."""
        self.standing.reads += 1
        self.standing.pending = True
        compiled = self.drafts.compiled(self.desk.compiled, look)
        active = self.desk.compiled.snapshot if self.desk.compiled is not None else None
        problems = self.living.problems(compiled.snapshot, active) if isinstance(compiled, Compiled) else compiled
        if problems or not isinstance(compiled, Compiled):
            await self._refuse(problems)
            return
        self.accepted.take(self.folder.texts(), compiled.snapshot.files)
        self.standing.refused, self.standing.error = (), ""
        refusals, before = self.standing.refusals, self.desk.files
        try:
            await self.desk.take_files(compiled)
        except Invalid as error:
            await self._refuse(tuple(one for one in error.problems if isinstance(one, Problem)))
        else:
            if self.standing.refusals > refusals:
                self.noting.tell(refused_files(self.standing.refused))
            if before is not None and (event := edited(before, compiled.snapshot)) is not None:
                self.noting.tell(event)

    async def _refuse(self, problems: tuple[Problem, ...]) -> None:
        self.standing.refuse(problems)
        self.noting.tell(refused_files(problems))
        serving = f"revision {self.standing.revision} serves on" if self.standing.revision else "nothing is served yet by this process"
        _log.error("the files are refused, %d problems; %s", len(problems), serving)
        for problem in problems:
            _log.error("%s", problem)
        if self.desk.files is None and (kept := self.accepted.compiled(self.declared.read())) is not None:
            _log.warning("revision %s, accepted before, is gone on with: keys and consumers still count", kept.snapshot.revision)
            await self.desk.take_files(kept)

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
        compiled, state = self.desk.compiled, self.publisher.state
        if compiled is None:
            return
        self.publisher.loosens = self.desk.loosens
        alive = self.living.now(compiled, state.compiled if state else None, self.desk.candidate)
        await self.canary.follow(compiled, self.desk.candidate)
        if await self.publisher.bring(compiled, alive, began):
            self.line.activate(compiled.snapshot.revision)
            await self.canary.bring(compiled, self.desk.candidate)
        elif self.publisher.state is not None:
            self.desk.refused(self.publisher.state.compiled)

    async def _watch_files(self) -> None:
        def prepare(look: Look) -> None:
            if self.publisher.state is not None:
                self.drafts.prepare(self.publisher.state, look)

        async for look in self.folder.settled(prepare):
            while not await self._could_take(look):
                await asyncio.sleep(_EVERY_S)
            self._due.set()

    async def _could_take(self, look: Look) -> bool:
        """Whether the store could be used: an edit isn't forgotten for a full disk."""
        try:
            await self.take_files(look)
        except Unavailable as error:
            told = f"the edit of the files can't be taken yet: {error.message}"
            if self._not_taken != told:
                _log.error("%s", told)
            self._not_taken = told
            return False
        self._not_taken = ""
        return True

    async def _keep_accepted(self) -> None:
        while True:
            await asyncio.sleep(_KEEP_EVERY_S)
            if self.accepted.due:
                await asyncio.to_thread(self.accepted.keep)

    async def _bound_records(self) -> None:
        def sizes() -> dict[Path, tuple[int, int]]:
            state = self.options.state
            return {state / REQUESTS: self.bounds_of_records(), state / FAILURES: (FAILURES_BYTES, FAILURES_BYTES)}

        await keep_bounded(sizes, self.envoy.reopen_logs)

    def bounds_of_records(self) -> tuple[int, int]:
        """At which size a file of records is closed, and how much is kept of each node."""
        records = self.desk.files.gateway.records if self.desk.files else Records()
        return records.rotate, records.keep

    def status(self) -> dict[str, Any]:
        """What `bartizan status` shows."""
        standing = self.standing
        told = self.living.told()
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
            "rollout": asdict(self.desk.rollout) if self.desk.rollout else None,
            "drift": standing.drift or self._not_taken or self.line.error,
            "loosened": standing.loosened,
            "warnings": [*self.knowing.warnings, *self.living.warnings(), *self.authorization.warnings()],
            "context": self.living.contexts.all(),
            "blocked": told["blocked"],
            "brakes": [asdict(one) for one in told["brakes"]],
            "nodes": [{**asdict(node), "records": self.shipped(node.node_id)} for node in self.canary.nodes().values()],
            "propagation": self.server.propagation.to_json(),
        }


async def run_control(options: ControlOptions, drafts: Drafts) -> None:
    """Runs until cancelled. BartizanError if it can't begin."""
    private_folder(options.state)
    (options.state / "records").mkdir(mode=0o700, exist_ok=True)
    key = SigningKey(options.state / "signing.key", load_or_create(options.state / "control.key"))
    nodes = Nodes(options)
    await nodes.start()  # before the keys are read, so that nodes needn't try again
    try:
        seal = Signatures(key)
        store = await asyncio.to_thread(_store, options, seal)
        try:
            plane = ControlPlane(options, drafts, nodes.server, store, seal)
            nodes.intake.bounds, plane.shipped = plane.bounds_of_records, nodes.intake.told
            nodes.tell(plane.noting.tell, plane.noting.refused)
            try:
                await plane.run()
            finally:
                plane.noting.end()
        finally:
            store.close()
    finally:
        await nodes.stop()


def _store(options: ControlOptions, seal: Signatures) -> Store:
    return open_store(options.store or os.environ.get("BARTIZAN_STORE") or embedded(options.state), seal, head=options.state / HEAD)


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


def _may_start(drafts: Drafts, state: Path, pipe: int) -> bool:
    """Tells whoever started this process what keeps the gateway from starting. Whether nothing does."""
    try:
        verdict = drafts.verdict(at_start(drafts.folder.base, state))
    except BartizanError as error:
        _log.error("%s", error)
        return False
    verdict.write(pipe)
    return not verdict.problems


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
    parser.add_argument("--nodes", default="", metavar="ADDRESS:PORT", help="where nodes of other machines come in")
    parser.add_argument("--tell", type=int, metavar="N", help="the pipe into which the verdict on the files goes, once, before all else")
    parser.add_argument("--api", default="", metavar="HOST:PORT", help="where the admin API is served over TCP")
    parser.add_argument("--api-certificate", type=Path, metavar="FILE", help="its certificate (PEM)")
    parser.add_argument("--api-private-key", type=Path, metavar="FILE", help="its private key (PEM)")
    parser.add_argument("--mcp", choices=AGENTS, default="read", help="what agents may do over MCP at the admin API")
    parser.add_argument(
        "--store", default="", metavar="URL", help="where revisions are kept: postgresql://...; by default a file in the state"
    )
    read = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s control %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    os.umask(0o077)
    gc.disable()  # until the first publish
    no_dumps()
    try:
        opened = load_patiently(read.state / "control.key", lambda why: _log.error("%s", why))  # and held from now on
    except BartizanError as error:
        _log.error("%s", error)
        return CANNOT_RUN
    drafts = Drafts(Folder(read.files))
    if (read.state / DECLARED).exists():
        drafts.folder.beside(Declared(read.state / DECLARED, opened).read())
    if read.tell is not None and not _may_start(drafts, read.state, read.tell):
        return CANNOT_RUN
    with contextlib.suppress(KeyboardInterrupt):
        door = Door(read.api, read.api_certificate, read.api_private_key, read.mcp) if read.api else None
        return asyncio.run(_until_signalled(ControlOptions(read.files, read.state, read.admin, read.store, read.nodes, door), drafts))
    return 0


__all__ = ["ControlOptions", "ControlPlane", "main", "run_control"]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
