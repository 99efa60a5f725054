"""`bartizan key`: makes, lists and revokes the API keys of consumers."""

import argparse
import time
from pathlib import Path

from bartizan.cli.arguments import as_json, lasting, state
from bartizan.cli.noted import noted
from bartizan.cli.output import say, show_json
from bartizan.identity.keys import KeyStore
from bartizan.secrets.keyring import load_or_create

NAME = "key"
HELP = "Make, list and revoke API keys. They are kept encrypted, apart from the policies."
EXAMPLES = (
    "bartizan key new acme",
    "bartizan key new acme --name laptop --expires 90d",
    "bartizan key list",
    "bartizan key revoke key_abcdefghijkl",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    what = parser.add_subparsers(metavar="ACTION", required=True)
    new = what.add_parser("new", help="make a key and show it, once")
    new.add_argument("consumer", help="the Consumer it is for")
    new.add_argument("--name", default="", help="what the key is for")
    new.add_argument("--expires", type=lasting, metavar="TIME", help="after how long it ends: 90d, 12h, 30m")
    new.set_defaults(action=_new)
    listed = what.add_parser("list", help="list keys, without their text")
    listed.set_defaults(action=_list)
    revoke = what.add_parser("revoke", help="end a key, for good")
    revoke.add_argument("id", help="the key's id, as `list` shows it")
    revoke.set_defaults(action=_revoke)
    for one in (new, listed, revoke):
        state(one)
        as_json(one)


def run(read: argparse.Namespace) -> int:
    """Runs the action."""
    return int(read.action(read))


def _store(folder: Path) -> KeyStore:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return KeyStore(folder / "keys.journal", load_or_create(folder / "control.key"))


def _new(read: argparse.Namespace) -> int:
    made = _store(read.state).new(
        read.consumer, name=read.name, expires=(ends := None if read.expires is None else time.time() + read.expires)
    )
    noted(read, "key.new", f"key/{made.id}", consumer=made.consumer, name=read.name, expires=ends)
    if read.json:
        show_json({"id": made.id, "consumer": made.consumer, "key": made.key.reveal()})
    else:
        say(made.key.reveal())
    return 0


def _list(read: argparse.Namespace) -> int:
    records = [
        {"id": one.id, "consumer": one.consumer, "name": one.name, "created": one.created, "expires": one.expires}
        for one in sorted(_store(read.state).records(), key=lambda one: (one.created, one.id))
    ]
    if read.json:
        show_json(records)
    for one in records if not read.json else ():
        ends = time.strftime("%Y-%m-%d", time.gmtime(one["expires"])) if isinstance(one["expires"], float) else "never"
        say(f"{one['id']}  {one['consumer']:<24} {one['name']:<16} ends {ends}")
    return 0


def _revoke(read: argparse.Namespace) -> int:
    record = _store(read.state).revoke(read.id)
    noted(read, "key.revoke", f"key/{record.id}", consumer=record.consumer)
    if read.json:
        show_json({"id": record.id, "consumer": record.consumer})
    else:
        say(f"{record.id} of {record.consumer} is revoked")
    return 0
