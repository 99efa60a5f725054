"""`bartizan secret`: sets, lists and deletes named secrets."""

import argparse
import getpass
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from bartizan.cli.arguments import as_json, state
from bartizan.cli.keeping import vault
from bartizan.cli.noted import noted
from bartizan.cli.output import printable, say, show_json
from bartizan.cli.remote import called, remote, runs
from bartizan.errors import Conflict, Invalid, Unavailable
from bartizan.identity.named import FILE, LONGEST, NamedSecrets, Wanted
from bartizan.secrets.keyring import load_or_create
from bartizan.secrets.sealed import Secret

NAME = "secret"
HELP = (
    "Set, list and delete secrets that resources refer to by name. A value is kept encrypted, apart from the policies, and never shown. "
    "Rotate the keys by which all is encrypted."
)
EXAMPLES = (
    "bartizan secret set partner --team orders --to partner.example.com:443 --from-file client.pem",
    "pass show acme | bartizan secret set acme-key",
    "bartizan secret list",
    "bartizan secret delete partner --team orders",
    "bartizan secret rotate --state /var/lib/bartizan",
    "bartizan secret rewrap https://vault.internal:8200/v1/transit/keys/bartizan --kek-token-file /run/vault/token",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    what = parser.add_subparsers(metavar="ACTION", required=True)
    new = what.add_parser("set", help="set a secret; its value is read from a file or from the standard input")
    new.add_argument("name", help="what resources call it: {secret: NAME}")
    new.add_argument("--to", action="append", default=[], metavar="HOST[:PORT]", help="where it may be sent; may be given more than once")
    new.add_argument("--from-file", type=Path, metavar="FILE", help="the file that holds the value; one newline at its end is ignored")
    new.set_defaults(action=_set)
    listed = what.add_parser("list", help="list secrets, without their values")
    listed.set_defaults(action=_list)
    gone = what.add_parser("delete", help="delete a secret, for good")
    gone.add_argument("name", help="its name, as `list` shows it")
    gone.add_argument("--force", action="store_true", help="though something refers to it, or nobody can tell")
    gone.set_defaults(action=_delete)
    _of_keys(what)
    for one in (new, gone):
        one.add_argument("--team", metavar="TEAM", help="the team whose resources refer to it (default: the gateway owner's own)")
    for one in (new, listed, gone):
        remote(one)
        as_json(one)


def _of_keys(what: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    keys = what.add_parser("keys", help="on the gateway's machine: list the keys by which its state is sealed")
    keys.set_defaults(action=_keys)
    rotate = what.add_parser("rotate", help="on the gateway's machine: seal all anew with another key, while it serves; retire the old one")
    rotate.set_defaults(action=_rotate)
    told = "on the gateway's machine: wrap the keys by another key-encryption key, or by a new one of the same place"
    rewrap = what.add_parser("rewrap", help=told)
    rewrap.add_argument("where", metavar="WHERE", help="file, env:BARTIZAN_KEY or https://VAULT/v1/transit/keys/NAME")
    rewrap.set_defaults(action=_rewrap)
    vault(rewrap)
    for one in (keys, rotate, rewrap):
        state(one)
        as_json(one)


def run(read: argparse.Namespace) -> int:
    """Runs the action."""
    return int(read.action(read))


def _keys(read: argparse.Namespace) -> int:
    from bartizan.cli import turned

    return turned.shown(read)


def _rotate(read: argparse.Namespace) -> int:
    from bartizan.cli import turned

    return turned.turn(read)


def _rewrap(read: argparse.Namespace) -> int:
    from bartizan.cli import turned

    return turned.wrap(read)


def _by_control(read: argparse.Namespace) -> bool:
    """Whether a control plane is asked; without one, the state is written as it lies there."""
    return read.server is not None or runs(read.state)


def _store(folder: Path) -> NamedSecrets:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return NamedSecrets(folder / FILE, load_or_create(folder / "control.key"))


def _value(read: argparse.Namespace) -> str:
    """What is to be kept. Never an argument: those show in the list of processes."""
    try:
        held = read.from_file.read_bytes() if read.from_file is not None else sys.stdin.buffer.read(4 * LONGEST + 1)
        text = held.decode().removesuffix("\n")
    except OSError as error:
        raise Unavailable(f"{read.from_file} can't be read: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise Invalid("The value isn't UTF-8 text.", code="secret-invalid") from None
    if not text:
        raise Invalid("There is no value: give --from-file, or write it to the standard input.", code="secret-invalid")
    return text


def _set(read: argparse.Namespace) -> int:
    value = _value(read)
    if _by_control(read):
        made = called(read, "PUT", f"/v1/secrets/{quote(read.name, safe='')}", {"value": value, "team": read.team, "to": read.to})
    else:
        kept = _store(read.state).set(Wanted(read.name, Secret(value), f"local:{getpass.getuser()}", read.team, tuple(read.to)))
        noted(read, "secret.set", kept.target, to=list(kept.to))
        made = kept.told()
    return _shown(read, made, "is set")


def _list(read: argparse.Namespace) -> int:
    if _by_control(read):
        told = called(read, "GET", "/v1/secrets")
    else:  # nobody can tell what uses them
        store = _store(read.state)
        told = [{**one.told(), "used_by": None, "key": store.key_id} for one in store.all()]
    if read.json:
        show_json(told)
    for one in told if not read.json else ():
        changed = time.strftime("%Y-%m-%d %H:%M", time.gmtime(one["changed"]))
        to = ", ".join(one["to"]) or "nowhere"
        say(f"{one['name']:<24} {one['team'] or '-':<16} to {to}")
        say(f"    value {one['version']}, set {changed} UTC ({_age(time.time() - one['changed'])} ago) by {printable(one['by'])}")
        used = "nobody can tell what uses it: no gateway runs" if one["used_by"] is None else ", ".join(one["used_by"]) or "nothing"
        say(f"    used by {used}; sealed with the key {one['key']}" if one["used_by"] is not None else f"    {used}")
    return 0


def _age(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f}{unit}"
    return "moments"


def _delete(read: argparse.Namespace) -> int:
    if _by_control(read):
        asked = urlencode({"force": str(read.force).lower(), **({"team": read.team} if read.team else {})})
        gone = called(read, "DELETE", f"/v1/secrets/{quote(read.name, safe='')}?{asked}")
    elif not read.force:
        told = f"No gateway runs with the state in {read.state}, so nobody can tell what refers to it. Start it, or delete by --force."
        raise Conflict(told, code="secret-in-use")
    else:
        kept = _store(read.state).delete(read.team, read.name, f"local:{getpass.getuser()}")
        noted(read, "secret.delete", kept.target, forced=True)
        gone = kept.told()
    return _shown(read, gone, "is deleted")


def _shown(read: argparse.Namespace, one: dict[str, Any], what: str) -> int:
    if read.json:
        show_json(one)
    else:
        whose = f" of the team {one['team']}" if one["team"] else ""
        say(f"{one['name']}{whose} {what}")
    return 0
