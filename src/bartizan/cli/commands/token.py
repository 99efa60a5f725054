"""`bartizan token`: makes, lists and ends tokens of the admin API."""

import argparse
import time
from urllib.parse import quote

from bartizan.cli.arguments import as_json, lasting
from bartizan.cli.output import printable, say, show_json
from bartizan.cli.remote import called, remote
from bartizan.identity.operators import ROLES

NAME = "token"
HELP = "Make, list and end tokens of the admin API. A token is shown once; only its hash is kept."
EXAMPLES = (
    "bartizan token new ann --role admin",
    "bartizan token new ci --role editor --expires 90d",
    "bartizan token new bob --role editor --team orders",
    "bartizan token new hr --role context --source on-call",
    "bartizan token list",
    "bartizan token end tok_0123456789ab",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    what = parser.add_subparsers(metavar="ACTION", required=True)
    new = what.add_parser("new", help="make a token and show it, once")
    new.add_argument("name", help="whose it is: the audit log names it")
    new.add_argument("--role", choices=ROLES, required=True, help="what it may do")
    new.add_argument("--team", metavar="TEAM", help="the team whose APIs and policies alone it may change")
    new.add_argument("--source", metavar="NAME", help="the ContextSource that a token with the role context speaks for")
    new.add_argument("--expires", type=lasting, metavar="TIME", help="after how long it ends: 90d, 12h, 30m")
    new.set_defaults(action=_new)
    listed = what.add_parser("list", help="list tokens, without their text")
    listed.set_defaults(action=_list)
    end = what.add_parser("end", help="end a token, for good")
    end.add_argument("id", help="the token's id, as `list` shows it")
    end.set_defaults(action=_end)
    for one in (new, listed, end):
        remote(one)
        as_json(one)


def run(read: argparse.Namespace) -> int:
    """Runs the action."""
    return int(read.action(read))


def _new(read: argparse.Namespace) -> int:
    wanted = {"name": read.name, "role": read.role, "seconds": read.expires, "team": read.team, "source": read.source}
    made = called(read, "POST", "/v1/tokens", wanted)
    if read.json:
        show_json(made)
    else:
        say(made["token"])
    return 0


def _list(read: argparse.Namespace) -> int:
    told = called(read, "GET", "/v1/tokens")
    if read.json:
        show_json(told)
    for one in told if not read.json else ():
        ends = time.strftime("%Y-%m-%d", time.gmtime(one["expires"])) if one["expires"] else "never"
        team = f"  of the team {one['team']}" if one.get("team") else ""
        team += f"  for ContextSource/{one['source']}" if one.get("source") else ""
        say(f"{one['id']}  {one['role']:<9} {printable(one['name']):<24} ends {ends}{team}")
    return 0


def _end(read: argparse.Namespace) -> int:
    told = called(read, "DELETE", f"/v1/tokens/{quote(read.id, safe='')}")
    if read.json:
        show_json(told)
    else:
        say(f"{told['id']} of {printable(told['name'])} is ended")
    return 0
