"""`bartizan up`: the whole gateway in one process tree."""

import argparse
import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from bartizan.admin.options import ADMIN, AGENTS, ControlOptions, Door
from bartizan.cli.arguments import STORE, endpoint, files, state
from bartizan.cli.keeping import keep_keys, key_folder
from bartizan.cli.output import complain, say, show_problems
from bartizan.errors import Unavailable
from bartizan.lib.process import Child, end, ending, start
from bartizan.node.options import EnvoyOptions, NodeOptions, control_socket
from bartizan.node.supervisor import node_children, python_child, supervise
from bartizan.rollout.verdict import Verdict

NAME = "up"
HELP = "Run the gateway: control plane, node and Envoy, following every edit of the files."
EXAMPLES = (
    "bartizan up -f policies/",
    "bartizan up -f gateway.yaml --state /var/lib/bartizan --admin 127.0.0.1:9180",
    "bartizan up -f policies/ --nodes 0.0.0.0:9190",
    "bartizan up -f policies/ --key-folder /mnt/keys/bartizan",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    files(parser)
    state(parser)
    parser.add_argument("--admin", default=ADMIN, metavar="HOST:PORT", help="where health and metrics are served")
    parser.add_argument("--nodes", type=_address, metavar="ADDRESS:PORT", help="where nodes of other machines come in")
    parser.add_argument("--api", type=_address, metavar="ADDRESS:PORT", help="where the admin API is served over TCP")
    parser.add_argument("--api-certificate", type=Path, metavar="FILE", help="its certificate (PEM); needed beyond loopback")
    parser.add_argument("--api-private-key", type=Path, metavar="FILE", help="the certificate's private key (PEM)")
    parser.add_argument("--mcp", choices=AGENTS, help="what agents may do over MCP, at /mcp of the admin API (default: read)")
    told = f"where revisions are kept: postgresql://HOST/DATABASE (default: ${STORE}, else a file in the state)"
    parser.add_argument("--store", default="", metavar="URL", help=told)
    key_folder(parser)
    parser.add_argument("--envoy", type=Path, metavar="PATH", help="another Envoy than the pinned one, of the same minor version")
    parser.add_argument("--concurrency", type=int, metavar="N", help="Envoy's worker threads (default: one for each core)")


def run(read: argparse.Namespace) -> int:
    """Runs until a signal comes."""
    if not read.files.exists():
        complain(f"{read.files} doesn't exist. Give a YAML file or a folder of them with -f.")
        return 1
    if read.mcp and not read.api:
        complain("--mcp says what agents may do at the admin API: give --api, too")
        return 1
    door = Door(read.api, read.api_certificate, read.api_private_key, read.mcp or "read") if read.api else None
    if door is not None and (wrong := door.problem()):
        complain(wrong)
        return 1
    if urlsplit(read.store).password:
        complain(f"a password on the command line can be read by everyone on this machine: put the URL into {STORE}")
        return 1
    keep_keys(read, ("control.key", "node.key"))
    control = ControlOptions(read.files.absolute(), read.state.absolute(), read.admin, read.store, read.nodes or "", door)

    def told(verdict: Verdict) -> None:
        for one in verdict.openings:
            say(f"listening on {one.address} ({one.listener}); health and metrics on http://{control.admin}")
        if control.nodes:
            say(f"nodes come in on {control.nodes}; `bartizan node token` makes a token for each")

    return asyncio.run(run_gateway(control, EnvoyOptions(binary=read.envoy, concurrency=read.concurrency), told))


def _address(text: str) -> str:
    endpoint(text)
    return text


async def run_gateway(control: ControlOptions, envoy: EnvoyOptions, told: Callable[[Verdict], None], beside: Sequence[Child] = ()) -> int:
    """Starts the control plane alone. It reads the files, so that a mistake is told before anything else is started.

    Then `told` is called, node, Envoy and those `beside` them are started, and all run until a signal comes. Returns the exit status.
    Unavailable if an address is taken or no Envoy fits.
    """
    if control.nodes:
        _free(*endpoint(control.nodes), "--nodes")  # now, since the control plane takes it as soon as the files are good
    child = python_child("The control plane", "bartizan.app", *_own(control))
    ours, its = os.pipe()
    command = replace(child.command, argv=(*child.command.argv, "--tell", str(its)), keeps=(its,))
    try:
        process = await start(command)
    finally:
        os.close(its)
    try:
        answer = await _whole(ours)
        if not answer:
            complain(f"{child.name} {ending(await process.wait())}. Nothing else is started.")
            return 1
        verdict = Verdict.read(answer)
        if verdict.problems:
            show_problems(verdict.problems)
            complain("nothing is started. Mend the files, or run `bartizan check` to look again.")
            return 1
        for one in verdict.openings:
            _free(one.host, one.port, f"listener {one.listener!r}")
        children = (
            child,
            *node_children(NodeOptions(control.state, control_socket(control.state), "local", alone=not control.nodes), envoy),
        )
        told(verdict)
        return await supervise((*children, *beside), {child.name: process})
    finally:
        await end(process)


def _own(control: ControlOptions) -> tuple[str, ...]:
    """The arguments of the control plane's process."""
    own: tuple[str, ...] = ("--files", os.fspath(control.files), "--state", os.fspath(control.state), "--admin", control.admin)
    own = (*own, "--nodes", control.nodes, "--store", control.store)
    if (door := control.door) is None:
        return own
    files = (("--api-certificate", door.certificate), ("--api-private-key", door.private_key))
    return (
        *own,
        "--api",
        door.address,
        "--mcp",
        door.agents,
        *(text for name, file in files if file is not None for text in (name, os.fspath(file.absolute()))),
    )


async def _whole(pipe: int) -> bytes:
    """All that comes out of it until its other end is closed."""
    reader = asyncio.StreamReader()
    with os.fdopen(pipe, "rb") as opened:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), opened)
        try:
            return await reader.read()
        finally:
            transport.close()


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
