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
from bartizan.identity.certificates import Certificates
from bartizan.identity.credentials import ALL
from bartizan.lib.process import CANNOT_RUN
from bartizan.lib.sockets import private_folder
from bartizan.lib.supervise import supervised
from bartizan.model.gateway import Records
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot
from bartizan.node.options import admin_socket, control_socket
from bartizan.node.stats import Admin
from bartizan.plane.living import Living
from bartizan.plane.publishing import Publisher
from bartizan.rollout.accepted import Accepted
from bartizan.rollout.covering import told_of_route
from bartizan.rollout.draft import Drafts
from bartizan.rollout.folder import Folder, Look
from bartizan.rollout.loosening import loosenings
from bartizan.rollout.standing import Standing
from bartizan.telemetry.rotation import keep_bounded
from bartizan.xds.control import ControlServer
from bartizan.xds.plan import in_order

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
        self._due = asyncio.Event()
        self.living = Living(options.state, self.folder.base, self._due.set)
        self.publisher = Publisher(server, drafts, self.standing, options.state)
        self.envoy = Admin(admin_socket(options.state))
        self.snapshot: Snapshot | None = None
        self.compiled: Compiled | None = None

    async def run(self) -> None:
        """Until cancelled."""
        self.take_files()
        self._due.set()
        work = {
            "the watch over files": self._watch_files,
            "the keeping of what was accepted": self._keep_accepted,
            "the watch over keys": self.living.watch_keys,
            "the fetching of issuers' keys": self.living.issuers.run,
            "the publishing": self._publish_changes,
            "the watch over failed attempts": self.living.watch_failures,
            "the clock": self.living.tick,
            "the rotation of records": self._bound_records,
            "the watch over certificates": self.living.watch_certificates,
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
        problems = tuple(self.living.certificates.problems(compiled.snapshot)) if isinstance(compiled, Compiled) else compiled
        if problems or not isinstance(compiled, Compiled):
            self._refuse(problems)
            return
        old, found = self.snapshot, compiled.snapshot
        self.snapshot, self.compiled = found, compiled
        self.accepted.take(self.folder.texts(), found.files)
        self.standing.refused, self.standing.error = (), ""
        if old is not None:
            self.publisher.loosens = tuple(loosenings(old, found))
            for sentence in self.publisher.loosens:
                _log.warning("revision %s LOOSENS: %s", found.revision, sentence)
                self.standing.loosened.append(f"{found.revision}: {sentence}")
            del self.standing.loosened[:-50]
        self.living.take(old, found)

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
            self.living.take(None, kept.snapshot)

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
        compiled, state = self.compiled, self.publisher.state
        if compiled is None:
            return
        alive = self.living.now(compiled, state.compiled if state else None)
        if not await self.publisher.bring(compiled, alive, began) and self.publisher.state is not None:
            self.compiled = self.publisher.state.compiled
            self.snapshot = self.compiled.snapshot

    async def _watch_files(self) -> None:
        def prepare(look: Look) -> None:
            if self.publisher.state is not None:
                self.drafts.prepare(self.publisher.state, look)

        async for look in self.folder.settled(prepare):
            self.take_files(look)
            self._due.set()

    async def _keep_accepted(self) -> None:
        while True:
            await asyncio.sleep(_KEEP_EVERY_S)
            if self.accepted.due:
                await asyncio.to_thread(self.accepted.keep)

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
            "loosened": standing.loosened,
            "warnings": self.living.warnings(),
            "blocked": told["blocked"],
            "brakes": [asdict(one) for one in told["brakes"]],
            "nodes": [asdict(node) for node in self.server.nodes()],
        }

    def digests(self) -> dict[str, str]:
        """What each resource that is active says, as a hash."""
        held = self.publisher.state.compiled.snapshot.resources if self.publisher.state else {}
        return {f"{kind}/{name}": one.digest for (kind, name), one in held.items()}

    def declared(self, kind: str, name: str) -> dict[str, Any] | None:
        """A resource as it is active, or None."""
        state = self.publisher.state
        found = state.compiled.snapshot.resources.get((kind, name)) if state else None
        return found.value.model_dump(mode="json", by_alias=True) if found else None

    def covering(self, api: str, route: str, method: str) -> dict[str, Any]:
        """The policies that cover a route, as they are active."""
        state = self.publisher.state
        return told_of_route(state.compiled, state.stamps, api, route, method) if state else {}


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
