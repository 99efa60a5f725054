"""`bartizan key`: makes, lists, rotates, revokes and brings along the API keys of consumers."""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from bartizan.cli.arguments import as_json, lasting, state
from bartizan.cli.brought import content_of, unknown_consumers
from bartizan.cli.noted import noted
from bartizan.cli.output import printable, say, show_json, show_problems
from bartizan.cli.remote import called, remote
from bartizan.identity.bringing import keys_of, problem
from bartizan.identity.keys import KeyStore
from bartizan.secrets.keyring import load_or_create
from bartizan.telemetry.last_use import used

NAME = "key"
HELP = "Make, list, rotate and revoke API keys. They are kept encrypted, apart from the policies."
EXAMPLES = (
    "bartizan key new acme",
    "bartizan key new acme --name laptop --expires 90d --scope orders:read",
    "bartizan key list",
    "bartizan key rotate key_abcdefghijkl --overlap 24h",
    "bartizan key revoke key_abcdefghijkl",
    "bartizan key import keys.csv --dry-run",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    what = parser.add_subparsers(metavar="ACTION", required=True)
    new = what.add_parser("new", help="make a key and show it, once")
    new.add_argument("consumer", help="the Consumer it is for")
    new.add_argument("--name", default="", help="what the key is for")
    new.add_argument(
        "--scope", action="append", default=[], metavar="SCOPE", help="what it may be used for, as `principal.scopes`; may be repeated"
    )
    new.set_defaults(action=_new)
    listed = what.add_parser("list", help="list keys, without their text")
    listed.add_argument("--consumer", metavar="NAME", help="of this Consumer alone")
    listed.set_defaults(action=_list)
    rotate = what.add_parser("rotate", help="make a key that takes another's place, and show it, once")
    rotate.add_argument("id", help="the key's id, as `list` shows it")
    rotate.add_argument(
        "--overlap", type=lasting, default="24h", metavar="TIME", help="for how long the old one still counts (default: 24h)"
    )
    rotate.set_defaults(action=_rotate)
    for one, by_default in ((new, "never"), (rotate, "as the old one")):
        one.add_argument("--expires", type=lasting, metavar="TIME", help=f"after how long it ends: 90d, 12h, 30m (default: {by_default})")
    bring = what.add_parser("import", help="bring keys of another gateway along: all of a file, or none")
    bring.add_argument(
        "file", type=Path, metavar="FILE", help="JSON lines or CSV: consumer, key, and if there are any name, expires, scopes"
    )
    bring.add_argument("--dry-run", action="store_true", help="only tell what is wrong with it")
    bring.set_defaults(action=_import)
    state(bring)
    as_json(bring)
    revoke = what.add_parser("revoke", help="end a key, for good")
    revoke.add_argument("id", help="the key's id, as `list` shows it")
    revoke.set_defaults(action=_revoke)
    for one in (new, listed, rotate, revoke):
        remote(one)
        as_json(one)


def run(read: argparse.Namespace) -> int:
    """Runs the action."""
    return int(read.action(read))


def _store(folder: Path) -> KeyStore:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return KeyStore(folder / "keys.journal", load_or_create(folder / "control.key"))


def _ends(read: argparse.Namespace) -> float | None:
    return None if read.expires is None else time.time() + read.expires


def _new(read: argparse.Namespace) -> int:
    if read.server is not None:
        wanted = {"consumer": read.consumer, "name": read.name, "seconds": read.expires, "scopes": read.scope}
        told = called(read, "POST", "/v1/keys", wanted)
    else:
        store = _store(read.state)
        made = store.new(read.consumer, name=read.name, expires=_ends(read), scopes=tuple(read.scope))
        noted(read, "key.new", f"key/{made.id}", **store.record(made.id).details())
        told = {**store.record(made.id).told(), "key": made.key.reveal()}
    return _shown(read, told, told["key"])


def _rotate(read: argparse.Namespace) -> int:
    if read.server is not None:
        wanted = {"overlap": read.overlap, "seconds": read.expires}
        told = called(read, "POST", f"/v1/keys/{quote(read.id, safe='')}/rotation", wanted)
    else:
        store = _store(read.state)
        made, old = store.rotate(read.id, read.overlap, _ends(read))
        noted(read, "key.rotate", f"key/{old.id}", **old.details())
        told = {**store.record(made.id).told(), "key": made.key.reveal(), "replaces": old.id, "replaced_ends": old.expires}
    return _shown(read, told, told["key"])


def _import(read: argparse.Namespace) -> int:
    found, problems = keys_of(content_of(read.file), str(read.file), time.time())
    store = _store(read.state)
    problems += unknown_consumers(read.state, found, str(read.file))
    wrong = store.bring([(one.wanted, one.key) for one in found], dry=read.dry_run or bool(problems))
    problems += [problem(str(read.file), found[at].line, "key-import", told) for at, told in wrong.items()]
    told = {"keys": len(found), "consumers": len({one.wanted.consumer for one in found}), "taken": not (problems or read.dry_run)}
    if told["taken"]:
        noted(read, "key.import", "keys", keys=told["keys"], consumers=told["consumers"])
    if read.json:
        show_json({**told, "problems": [one.to_json() for one in sorted(problems)]})
    elif problems:
        show_problems(sorted(problems))
    else:
        say(f"{told['keys']} keys of {told['consumers']} consumers {'are taken' if told['taken'] else 'could be taken'}")
    return 1 if problems else 0


def _list(read: argparse.Namespace) -> int:
    found = list(_remote_keys(read) if read.server is not None else _local_keys(read.state))
    records = sorted((one for one in found if read.consumer in {None, one["consumer"]}), key=lambda one: (one["created"], one["id"]))
    if read.json:
        show_json(records)
    for one in records if not read.json else ():
        say(printable(_line(one)))
    return 0


def _local_keys(folder: Path) -> Iterator[dict[str, Any]]:
    known = used(folder).keys
    for one in _store(folder).records():
        yield {**one.told(), "last_used": known.get(one.id)}


def _remote_keys(read: argparse.Namespace) -> Iterator[dict[str, Any]]:
    after: str | None = ""
    while after is not None:
        asked = {"limit": 1000, "after": after, **({"consumer": read.consumer} if read.consumer else {})}
        page = called(read, "GET", f"/v1/keys?{urlencode(asked)}")
        yield from page["items"]
        after = page["next"]


def _line(one: dict[str, Any]) -> str:
    ends = time.strftime("%Y-%m-%d", time.gmtime(one["expires"])) if one["expires"] else "never"
    last = time.strftime("%Y-%m-%d %H:%M", time.gmtime(one["last_used"])) if one["last_used"] else "never"
    more = f"  scopes {' '.join(one['scopes'])}" if one["scopes"] else ""
    more += f"  replaced by {one['successor']}" if one["successor"] else ""
    return f"{one['id']}  {one['consumer']:<24} {one['name']:<16} ends {ends:<10}  used {last}{more}"


def _revoke(read: argparse.Namespace) -> int:
    if read.server is not None:
        told = called(read, "DELETE", f"/v1/keys/{quote(read.id, safe='')}")
    else:
        record = _store(read.state).revoke(read.id)
        noted(read, "key.revoke", f"key/{record.id}", consumer=record.consumer)
        told = record.told()
    return _shown(read, told, f"{told['id']} of {told['consumer']} is revoked")


def _shown(read: argparse.Namespace, told: dict[str, Any], sentence: str) -> int:
    if read.json:
        show_json(told)
    else:
        say(printable(sentence))
    return 0
