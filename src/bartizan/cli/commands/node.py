"""`bartizan node`: nodes on other machines. Makes join tokens, runs a node, lists and removes them, says whom one trusts."""

import argparse
import asyncio
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bartizan.cli.arguments import as_json, endpoint, lasting, state
from bartizan.cli.keeping import keep_keys, key_folder
from bartizan.cli.output import complain, painted, printable, say, show_json
from bartizan.cli.remote import asked
from bartizan.errors import Invalid, Unavailable

if TYPE_CHECKING:
    from bartizan.fleet.registry import Registry

_JOIN_VARIABLE = "BARTIZAN_JOIN"
NAME = "node"
HELP = "Nodes on other machines: let them join, run them, list and remove them."
EXAMPLES = (
    "bartizan node token --for 1h",
    "bartizan node run --control gateway.internal:9190 --join bzn_... --state /var/lib/bartizan-node",
    "bartizan node run --control gateway.internal:9190 --join-file /run/secrets/join --state /var/lib/bartizan-node",
    "bartizan node run --state /var/lib/bartizan-node --listen web=10.0.0.7:8443",
    "bartizan node list",
    "bartizan node remove edge-2",
    "bartizan node trust 5f1c... --state /var/lib/bartizan-node",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    what = parser.add_subparsers(metavar="ACTION", required=True)
    token = what.add_parser("token", help="make a token by which one node may join, once, and show it")
    token.add_argument("--group", default="default", metavar="G", help="the group of nodes that it will be of (default: default)")
    token.add_argument(
        "--for", dest="valid", type=lasting, default="1h", metavar="TIME", help="how long it counts: 30m, 1h, 2d (default: 1h)"
    )
    token.add_argument("--name", default="", metavar="N", help="the node's name; by default it says itself what it is called")
    token.set_defaults(action=_token)
    run_ = what.add_parser("run", help="run a node and its Envoy on this machine")
    _run_arguments(run_)
    listed = what.add_parser("list", help="list the nodes that joined, and how they stand")
    listed.set_defaults(action=_list)
    remove = what.add_parser("remove", help="let a node in no more: its certificate is refused at once")
    remove.add_argument("name", metavar="NAME", help="the node, as `list` shows it")
    remove.set_defaults(action=_remove)
    trust = what.add_parser("trust", help="on a node's machine: show whose releases it takes, or trust another key")
    trust.add_argument("key", nargs="?", metavar="KEY", help="a public key, 64 hexadecimal digits, as `list` shows it")
    trust.add_argument("--only", action="store_true", help="trust this key alone, and drop the others")
    trust.set_defaults(action=_trust)
    for one in (token, run_, listed, remove, trust):
        state(one)
    for one in (token, listed, remove, trust):
        as_json(one)


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--control", type=endpoint, metavar="HOST:PORT", help="the control plane, when the node joins")
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--join", metavar="TOKEN", help=f"the token to join by; passed over once that is done (default: ${_JOIN_VARIABLE})")
    given.add_argument(
        "--join-file", type=Path, metavar="FILE", help="a file that holds the token; it may be gone once the node has joined"
    )
    parser.add_argument(
        "--name", default="", metavar="N", help="what the node is called, unless its token says it (default: the machine's name)"
    )
    parser.add_argument(
        "--listen", action="append", default=[], metavar="LISTENER=ADDRESS:PORT", help="another address for a listener on this machine"
    )
    key_folder(parser)
    parser.add_argument("--envoy", type=Path, metavar="PATH", help="another Envoy than the pinned one, of the same minor version")
    parser.add_argument("--concurrency", type=int, metavar="N", help="Envoy's worker threads (default: one for each core)")
    parser.set_defaults(action=_run)


def run(read: argparse.Namespace) -> int:
    """Runs the action."""
    return int(read.action(read))


def _token(read: argparse.Namespace) -> int:
    from bartizan.plane.nodes import authority
    from bartizan.secrets.keyring import load_or_create
    from bartizan.xds.asking import token_text

    seconds = read.valid
    fleet = authority(read.state, load_or_create(read.state / "control.key"))
    secret = _registry(read.state).token(read.group, seconds, read.name)
    _noted(read, "node.token", f"node/{read.name or '*'}", group=read.group, seconds=seconds)
    text = token_text(bytes.fromhex(secret.reveal()), fleet.fingerprint)
    if read.json:
        show_json({"token": text, "group": read.group, "name": read.name, "expires": time.time() + seconds})
    else:
        say(text)
    return 0


def _noted(read: argparse.Namespace, action: str, target: str, **details: str | float) -> None:
    from bartizan.cli.noted import noted

    noted(read, action, target, **details)


def _noted_trust(read: argparse.Namespace) -> None:
    """A node's machine has no audit log, unless the control plane runs there too."""
    from bartizan.secrets.keyring import has_key

    if has_key(read.state / "control.key"):
        _noted(read, "node.trust", f"key/{read.key}", only=read.only)
    else:
        complain("this machine has no audit log, so nothing notes this but you")


def _registry(folder: Path) -> "Registry":
    from bartizan.plane.nodes import registry
    from bartizan.secrets.keyring import load_or_create

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return registry(folder, load_or_create(folder / "control.key"))


def _run(read: argparse.Namespace) -> int:
    from bartizan.node.membership import join, read_membership
    from bartizan.node.options import EnvoyOptions, NodeOptions
    from bartizan.node.supervisor import node_children, supervise

    place = read.state.absolute()
    keep_keys(read, ("node.key",))
    there = read_membership(place)
    if token := _given_token(read, joined=there is not None):
        if read.control is None:
            raise Invalid("Say with --control HOST:PORT where the control plane is.")
        known = asyncio.run(join(place, read.control, token, read.name or _machine()))
    else:
        if there is None:
            raise Unavailable(
                f"The node in {place} never joined. Give it --control HOST:PORT and --join TOKEN; `bartizan node token` makes one."
            )
        known = there
    say(f"node {known.name} of group {known.group}; its control plane is {known.host}:{known.port}")
    options = NodeOptions(place, None, known.name, tuple(read.listen))
    return asyncio.run(supervise(node_children(options, EnvoyOptions(binary=read.envoy, concurrency=read.concurrency))))


def _given_token(read: argparse.Namespace, *, joined: bool) -> str:
    """The token to join by, from the command line, a file or a variable, which the node and its Envoy don't get to see."""
    variable = os.environ.pop(_JOIN_VARIABLE, "")
    if read.join_file is None:
        return read.join or variable
    try:
        return str(read.join_file.read_text(encoding="ascii", errors="replace").strip())
    except OSError as error:
        if joined:
            return ""
        raise Unavailable(f"The file {read.join_file} with the token can't be read: {error.strerror}.") from error


def _machine() -> str:
    """The machine's name, in the letters of a node's."""
    name = socket.gethostname().partition(".")[0].lower()
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name).strip("-")[:63] or "node"


def _list(read: argparse.Namespace) -> int:
    from bartizan.plane.nodes import release_key
    from bartizan.secrets.keyring import load_or_create

    try:
        now = {node["node_id"]: node for node in asked(read.state, "/status")["nodes"]}
    except Unavailable:
        now = {}
    joined = _registry(read.state).nodes()
    key = release_key(read.state, load_or_create(read.state / "control.key")).public.hex()
    found = [
        {"name": one.name, "group": one.group, "joined": one.joined, "certificate_ends": one.expires, "now": now.get(one.name)}
        for one in joined
    ]
    if read.json:
        show_json({"release_key": key, "nodes": found})
        return 0
    for one in found:
        ends = time.strftime("%Y-%m-%d", time.gmtime(float(str(one["certificate_ends"]))))
        say(f"{one['name']:<24} {one['group']:<12} certificate until {ends}, {_standing(now.get(str(one['name'])))}")
    say(f"releases are signed by {key}")
    return 0


def _standing(node: dict[str, Any] | None) -> str:
    if node is None:
        return "the control plane isn't running, or was started without --nodes"
    if not node["connected"]:
        return painted("not connected", "red")
    error = f", {printable(node['error'])}" if node["error"] else ""
    return f"holds {printable(node['position']['revision'])}{error}"


def _remove(read: argparse.Namespace) -> int:
    _registry(read.state).remove(read.name)
    _noted(read, "node.remove", f"node/{read.name}")
    if read.json:
        show_json({"removed": read.name})
    else:
        say(f"{read.name} is removed: it gets nothing more. What it holds it serves on until it is ended on its machine.")
    return 0


def _trust(read: argparse.Namespace) -> int:
    from bartizan.node.trust import Trusted, read_trust, write_trust

    known = read_trust(read.state)
    if read.key:
        try:
            added = Trusted(keys=(read.key,)).public
        except ValueError as error:
            raise Invalid(f"{read.key!r} isn't a public key: it has 64 hexadecimal digits.") from error
        write_trust(read.state, added if read.only else known.public | added, known.group)
        _noted_trust(read)
        known = read_trust(read.state)
    if read.json:
        show_json({"group": known.group, "keys": list(known.keys)})
    for key in known.keys if not read.json else ():
        say(key)
    return 0
