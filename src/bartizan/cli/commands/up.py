"""`bartizan up`: the whole gateway in one process tree."""

import argparse
import asyncio
import os
import socket
from pathlib import Path

from bartizan.admin.options import ADMIN, ControlOptions
from bartizan.cli.arguments import files, state
from bartizan.cli.compiled import compiled
from bartizan.cli.output import complain, say, show_problems
from bartizan.compile import Compiled
from bartizan.errors import Invalid, Unavailable
from bartizan.lib.process import Child
from bartizan.node.options import EnvoyOptions, NodeOptions, control_socket
from bartizan.node.supervisor import node_children, python_child, supervise

NAME = "up"
HELP = "Run the gateway: control plane, node and Envoy, following every edit of the files."
EXAMPLES = ("bartizan up -f policies/", "bartizan up -f gateway.yaml --state /var/lib/bartizan --admin 127.0.0.1:9180")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    files(parser)
    state(parser)
    parser.add_argument("--admin", default=ADMIN, metavar="HOST:PORT", help="where health and metrics are served")
    parser.add_argument("--envoy", type=Path, metavar="PATH", help="another Envoy than the pinned one, of the same minor version")
    parser.add_argument("--concurrency", type=int, metavar="N", help="Envoy's worker threads (default: one for each core)")


def run(read: argparse.Namespace) -> int:
    """Checks first, so that a mistake is told before anything is started."""
    if not read.files.exists():
        complain(f"{read.files} doesn't exist. Give a YAML file or a folder of them with -f.")
        return 1
    made = compiled(read.files)
    if not isinstance(made, Compiled):
        show_problems(made)
        complain("nothing is started. Mend the files, or run `bartizan check` to look again.")
        return 1
    control = ControlOptions(read.files.absolute(), read.state.absolute(), read.admin)
    children = gateway_children(made, control, EnvoyOptions(binary=read.envoy, concurrency=read.concurrency))
    for listener in made.snapshot.gateway.listeners:
        say(f"listening on {listener.address} ({listener.name}); health and metrics on http://{read.admin}")
    return asyncio.run(supervise(children))


def _free(host: str, port: int, what: str) -> None:
    """Unavailable if the port is taken. Envoy would say so too, but only in its log."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Unavailable(
                f"The address {host}:{port} of {what} can't be used: {error.strerror}. End what listens there, or change it."
            ) from error


def gateway_children(made: Compiled, control: ControlOptions, envoy: EnvoyOptions) -> tuple[Child, ...]:
    """Control plane, node and Envoy. Unavailable if an address is taken or no Envoy fits."""
    for listener in made.snapshot.gateway.listeners:
        _free(listener.host, listener.port, f"listener {listener.name!r}")
    own = ("--files", os.fspath(control.files), "--state", os.fspath(control.state), "--admin", control.admin)
    node = NodeOptions(control.state, control_socket(control.state), "local")
    return (python_child("The control plane", "bartizan.app", *own), *node_children(node, envoy))


def quickstart_children(path: Path, state: Path) -> tuple[Child, ...]:
    """The gateway of an example, with defaults. Invalid if its files are."""
    made = compiled(path)
    if not isinstance(made, Compiled):
        show_problems(made)
        raise Invalid("The example's files have problems.")
    return gateway_children(made, ControlOptions(path.absolute(), state.absolute()), EnvoyOptions())
