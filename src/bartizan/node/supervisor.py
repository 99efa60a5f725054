"""The processes of a gateway as children of one supervisor: a control plane, a node and an Envoy, each restarted alone.

Envoy isn't the node's child, so that it serves on while the node restarts. This module and what it imports stay free of
gRPC, so that the supervisor is small and has little that could fail.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bartizan.errors import BartizanError
from bartizan.lib.process import Child, Command, Supervisor
from bartizan.node.ending import pair, serve
from bartizan.node.envoy_process import envoy_child
from bartizan.node.options import EnvoyOptions, NodeOptions, callout_socket, callout_told, callout_wanted


def python_child(name: str, module: str, *arguments: str) -> Child:
    """A role of ours in a process of its own: `python -m module ...`."""
    argv = (sys.executable, "-m", module, *arguments)
    return Child(name, Command(argv, env={"PYTHONUNBUFFERED": "1", "GRPC_VERBOSITY": "ERROR"}))


def node_children(node: NodeOptions, envoy: EnvoyOptions) -> tuple[Child, ...]:
    """A node and its Envoy. Unavailable if no Envoy fits."""
    control = ("--fleet",) if node.control is None else ("--control", os.fspath(node.control), "--node-id", node.node_id)
    listen = (word for one in node.listen for word in ("--listen", one))
    ours, its = pair()
    envoys = envoy_child(node, envoy)
    made = python_child("The node", "bartizan.node", "--state", os.fspath(node.state), "--ends", str(its.fileno()), *control, *listen)

    async def attended(pids: Mapping[str, int]) -> None:
        with its:  # kept open for a node that is started again
            await serve(ours, lambda: pids.get(envoys.name))

    places = {"--socket": callout_socket, "--told": callout_told, "--wanted": callout_wanted}
    where = (word for option, path in places.items() for word in (option, os.fspath(path(node.state))))
    callout = python_child("The call-out", "bartizan.callout", *where, *(() if node.alone else ("--nonce",)))
    return (envoys, callout, replace(made, command=replace(made.command, keeps=(its.fileno(),)), attended=attended))


async def supervise(children: tuple[Child, ...], running: Mapping[str, asyncio.subprocess.Process] | None = None) -> int:
    """Keeps the children running until a signal comes. Returns our exit status. `running`: those that were started already."""
    return await Supervisor(children, _say, running).run()


def main(arguments: Sequence[str]) -> int:
    """A node of a fleet: `python -m bartizan.node.supervisor` keeps a node and its Envoy running; the control plane is elsewhere."""
    parser = argparse.ArgumentParser(prog="python -m bartizan.node.supervisor", description="Runs a node and its Envoy.")
    parser.add_argument("--state", type=Path, required=True, metavar="DIR", help="where the last good state and the sockets are")
    parser.add_argument("--control", type=Path, required=True, metavar="SOCKET", help="the unix socket of the control plane")
    parser.add_argument("--node-id", required=True, metavar="ID", help="the node's name in the fleet")
    parser.add_argument("--listen", action="append", default=[], metavar="NAME=ADDRESS:PORT", help="another address for this listener")
    parser.add_argument("--envoy", type=Path, metavar="PATH", help="another Envoy than the pinned one, of the same minor version")
    parser.add_argument("--concurrency", type=int, metavar="N", help="Envoy's worker threads; as many as cores if not given")
    read = parser.parse_args(arguments)
    envoy = EnvoyOptions(binary=read.envoy, concurrency=read.concurrency)
    try:
        children = node_children(NodeOptions(read.state, read.control, read.node_id, tuple(read.listen)), envoy)
    except BartizanError as error:
        _say(error.message)
        return 1
    return asyncio.run(supervise(children))


def _say(sentence: str) -> None:
    sys.stderr.write(sentence + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
