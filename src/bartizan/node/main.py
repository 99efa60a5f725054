"""The node's process: `python -m bartizan.node --state DIR --control SOCKET --node-id ID`."""

import argparse
import asyncio
import fcntl
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bartizan.errors import BartizanError, Unavailable
from bartizan.lib.process import CANNOT_RUN
from bartizan.lib.sockets import private_folder
from bartizan.lib.supervise import supervised
from bartizan.node.last_good import LastGood
from bartizan.node.options import NodeOptions, ads_socket
from bartizan.node.relay import Relay
from bartizan.secrets.keyring import load_or_create
from bartizan.xds.server import AdsServer

_log = logging.getLogger(__name__)
_FIRST_CONTACT_S = 2.0


async def run_node(options: NodeOptions) -> None:
    """Serves Envoy until it is cancelled. Unavailable if it can't begin."""
    private_folder(options.state)
    lock = _locked(options.state / "node.lock")
    server = AdsServer(ads_socket(options.state))
    relay = Relay(options.control, options.node_id, server)
    store = LastGood(options.last_good, load_or_create(options.key))
    keeper = _Keeper(store, server)
    await server.start()
    try:
        await _load(store, server, relay)
        async with asyncio.TaskGroup() as group:
            group.create_task(supervised("the connection to the control plane", relay.run))
            group.create_task(supervised("the keeper of the last good state", keeper.run))
            group.create_task(_begin(server, relay))
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


class _Keeper:
    """Brings to the disk what Envoy has acknowledged, at once."""

    def __init__(self, store: LastGood, server: AdsServer) -> None:
        self._store = store
        self._server = server

    async def run(self) -> None:
        while True:
            while (release := self._server.unkept()) is None:
                await self._server.changed()
            await asyncio.to_thread(self._store.keep, release)
            self._server.note_kept(release)
            if self._store.is_long:
                await asyncio.to_thread(self._store.compact)

    def keep_now(self) -> None:
        if release := self._server.unkept():
            try:
                self._store.keep(release)
            except (OSError, Unavailable) as error:
                _log.error("the last good state can't be kept: %s", error)


def _locked(path: Path) -> int:
    """An open file that holds the lock. Unavailable if another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Unavailable(f"Another node is running with the state in {path.parent}. End it, or use another folder.") from None
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
    parser.add_argument("--control", type=Path, required=True, metavar="SOCKET", help="the unix socket of the control plane")
    parser.add_argument("--node-id", required=True, metavar="ID", help="the node's name in the fleet")
    read = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s node %(levelname)s %(message)s", stream=sys.stderr)
    return asyncio.run(_until_signalled(NodeOptions(read.state, read.control, read.node_id)))
