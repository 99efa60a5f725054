"""The node's process: `python -m bartizan.node --state DIR --control SOCKET --node-id ID`, or with `--fleet` on another machine."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bartizan.envoy.names import OPEN
from bartizan.errors import BartizanError, Unavailable
from bartizan.lib.dumps import no_dumps
from bartizan.lib.files import locked_at_once
from bartizan.lib.process import CANNOT_RUN
from bartizan.lib.sockets import private_folder
from bartizan.lib.supervise import supervised
from bartizan.model.gateway import Records
from bartizan.node.calling import call, tell
from bartizan.node.ending import Ender
from bartizan.node.hearing import Hearing
from bartizan.node.last_good import LastGood
from bartizan.node.listening import addresses, moved
from bartizan.node.membership import connecting, kept_fresh
from bartizan.node.options import NodeOptions, admin_socket, ads_socket, callout_told, callout_wanted, control_socket
from bartizan.node.places import PlaceFiles
from bartizan.node.relay import Relay
from bartizan.node.resealing import Resealing
from bartizan.node.shipper import Shipper
from bartizan.node.stats import Admin
from bartizan.node.trust import Judge
from bartizan.node.watch import Watch
from bartizan.secrets.keyring import load_or_create, load_patiently
from bartizan.telemetry.places import FAILURES, FAILURES_BYTES, STREAMS
from bartizan.telemetry.rotation import keep_bounded
from bartizan.xds.beside import by_socket
from bartizan.xds.link import RECORDS_PROTOCOL
from bartizan.xds.server import AdsServer

_log = logging.getLogger(__name__)
_FIRST_CONTACT_S = 2.0
_AGAIN_S, _LONGEST_AGAIN_S = 0.1, 2.0


async def run_node(options: NodeOptions) -> None:
    """Serves Envoy until it is cancelled. Unavailable if it can't begin."""
    private_folder(options.state)
    lock = _locked(options.state / "node.lock")
    to = addresses(options.listen)
    envelope = load_or_create(options.key)
    places = PlaceFiles(options.state, alone=options.control != control_socket(options.state))
    server = AdsServer(ads_socket(options.state), adapt=lambda one: hearing.adapted(places.adapted(move(one))))
    hearing, move = Hearing(options.state / "heard", envelope, server), moved(to)
    store = LastGood(options.last_good, envelope)
    name, connect = connecting(options.state) if options.control is None else (options.node_id, by_socket(options.control))
    relay = Relay(connect, name, server, Judge(options.state))
    watch = Watch(server, Ender(options.ends), options.state / OPEN, relay.streams)
    relay.heard, hearing.tell, places.tell = hearing.heard, relay.stale, relay.places
    keeper, resealing = _Keeper(store, server, relay), Resealing(options.state, envelope, store, hearing)
    await server.start()
    try:
        await _load(store, server, relay)
        hearing.look()
        async with asyncio.TaskGroup() as group:
            group.create_task(supervised("the connection to the control plane", relay.run))
            group.create_task(supervised("the keeper of the last good state", keeper.run))
            group.create_task(_begin(server, relay))
            group.create_task(supervised("the look at how long ago the control plane was heard", hearing.run))
            group.create_task(supervised("the call of the call-out", lambda: call(server, callout_wanted(options.state))))
            group.create_task(supervised("what the call-out is told", lambda: tell(server, callout_told(options.state))))
            group.create_task(supervised("the watch over open streams", watch.run))
            group.create_task(supervised("the watch over the keys", resealing.run))
            group.create_task(supervised("the look at databases of places", places.run))
            if options.control is None:
                group.create_task(supervised("the node's certificate", lambda: kept_fresh(options.state, relay.certificate)))
                group.create_task(supervised("the rotation of records", lambda: _bounded(options.state)))
                for stream in STREAMS:
                    shipper = Shipper(options.state / "records", stream, connecting(options.state, RECORDS_PROTOCOL)[1])
                    group.create_task(supervised(f"the shipping of {stream}", shipper.run))
    finally:
        keeper.keep_now()
        await server.stop()
        os.close(lock)


async def _load(store: LastGood, server: AdsServer, relay: Relay) -> None:
    try:
        kept = await asyncio.to_thread(store.load)
    except Unavailable as error:
        relay.problem = error.message
        _log.error("%s", error.message)
        return
    if kept:
        server.load(kept.position, kept.resources)
        _log.info("revision %s was kept, %d resources", kept.position.revision, len(kept.resources))


async def _begin(server: AdsServer, relay: Relay) -> None:
    """Serves what was kept on disk, but not before the control plane had its chance to give what is newer.

    An Envoy that has served on while we restarted may hold a change that came after the last save.
    """
    await relay.first_contact(_FIRST_CONTACT_S)
    if len(server.state):
        server.open()
    else:
        _log.warning("nothing to serve yet: Envoy stays closed until the control plane sends a revision")


async def _bounded(state: Path) -> None:
    """Keeps the records of a machine without a control plane from filling its disk."""
    kept = Records()

    def sizes() -> dict[Path, tuple[int, int]]:
        open_ = (path for path in (state / "records").glob("*.jsonl") if "-" not in path.stem and path != state / OPEN)
        return {path: (FAILURES_BYTES, FAILURES_BYTES) if path.stem == FAILURES else (kept.rotate, kept.keep) for path in open_}

    admin = Admin(admin_socket(state))
    try:
        await keep_bounded(sizes, admin.reopen_logs)
    finally:
        await admin.close()


class _Keeper:
    """Brings to the disk what Envoy has acknowledged, at once."""

    def __init__(self, store: LastGood, server: AdsServer, relay: Relay) -> None:
        self._store = store
        self._server = server
        self._relay = relay

        self._pause_s = _AGAIN_S

    async def run(self) -> None:
        while True:
            while (release := self._server.unkept()) is None:
                await self._server.changed()
            try:
                await asyncio.to_thread(self._store.keep, release)
            except (OSError, Unavailable) as error:
                await self._fail(error)
                continue
            self._pause_s, self._relay.disk_problem = _AGAIN_S, None
            self._server.note_kept(release)
            if self._store.is_long:
                await asyncio.to_thread(self._store.compact)

    async def _fail(self, error: OSError | Unavailable) -> None:
        """What is held is served on, and is told as not kept until the disk takes it."""
        trouble = f"What is served can't be kept on this node's disk, and wouldn't outlast a restart: {error}"
        if self._relay.disk_problem is None:
            _log.error("%s", trouble)
        self._relay.disk_problem = trouble
        self._server.tell()
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, _LONGEST_AGAIN_S)

    def keep_now(self) -> None:
        if release := self._server.unkept():
            try:
                self._store.keep(release)
            except (OSError, Unavailable) as error:
                _log.error("the last good state can't be kept: %s", error)


def _locked(path: Path) -> int:
    """An open file that holds the lock. Unavailable if another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not locked_at_once(descriptor):
        os.close(descriptor)
        raise Unavailable(f"Another node is running with the state in {path.parent}. End it, or use another folder.")
    return descriptor


async def _until_signalled(options: NodeOptions) -> int:
    loop = asyncio.get_running_loop()
    work = asyncio.create_task(run_node(options))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        return 0
    except BartizanError as error:
        _log.error("%s", error.message)
        return CANNOT_RUN
    except OSError as error:
        _log.error("The node can't start: %s", error)
        return CANNOT_RUN
    return 0


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bartizan.node", description="Serves one Envoy what the control plane sends.")
    parser.add_argument("--state", type=Path, required=True, metavar="DIR", help="where the last good state and the sockets are")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--control", type=Path, metavar="SOCKET", help="the unix socket of the control plane")
    where.add_argument("--fleet", action="store_true", help="the control plane is where the node joined")
    parser.add_argument("--node-id", metavar="ID", default="local", help="the node's name in the fleet")
    parser.add_argument("--ends", type=int, metavar="N", help="the socket over which the supervisor ends connections of Envoy's")
    parser.add_argument("--listen", action="append", default=[], metavar="NAME=ADDRESS:PORT", help="another address for this listener")
    read = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s node %(levelname)s %(message)s", stream=sys.stderr)
    no_dumps()
    options = NodeOptions(read.state, read.control, read.node_id, tuple(read.listen), read.ends)
    try:
        opened = load_patiently(options.key, lambda why: _log.error("%s", why))
    except BartizanError as error:
        _log.error("%s", error.message)
        return CANNOT_RUN
    _log.info("the key %s is the current one", opened.key_id)
    return asyncio.run(_until_signalled(options))
