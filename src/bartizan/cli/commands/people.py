"""`bartizan people`: who may log in to the admin API."""

import argparse
import time
from urllib.parse import quote

from bartizan.cli.arguments import as_json
from bartizan.cli.output import printable, say, show_json
from bartizan.cli.remote import called, remote
from bartizan.identity.operators import ROLES

NAME = "people"
HELP = "Invite, list and remove the people who log in to the admin API with a password and a second factor."
EXAMPLES = (
    "bartizan people invite ann --role admin",
    "bartizan people invite bob --role editor --team orders",
    "bartizan people list",
    "bartizan people remove bob",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    what = parser.add_subparsers(metavar="ACTION", required=True)
    invite = what.add_parser("invite", help="invite somebody, or anew: what they logged in with counts no more")
    invite.add_argument("name", help="what they are called: the audit log names them so")
    invite.add_argument("--role", choices=[one for one in ROLES if one != "context"], required=True, help="what they may do")
    invite.add_argument("--team", metavar="TEAM", help="the team whose APIs and policies alone they may change")
    invite.set_defaults(action=_invite)
    listed = what.add_parser("list", help="list them")
    listed.set_defaults(action=_list)
    gone = what.add_parser("remove", help="take somebody out, and end their sessions")
    gone.add_argument("name", help="what they are called")
    gone.set_defaults(action=_remove)
    for one in (invite, listed, gone):
        remote(one)
        as_json(one)


def run(read: argparse.Namespace) -> int:
    """Runs the action."""
    return int(read.action(read))


def _invite(read: argparse.Namespace) -> int:
    made = called(read, "POST", "/v1/people", {"name": read.name, "role": read.role, "team": read.team})
    if read.json:
        show_json(made)
    else:
        say(made["invitation"])
        say(f"It counts once, for a day: bartizan login {printable(read.name)} --server URL --invitation {made['invitation']}")
    return 0


def _list(read: argparse.Namespace) -> int:
    told = called(read, "GET", "/v1/people")
    if read.json:
        show_json(told)
    for one in told if not read.json else ():
        team = f"  of the team {one['team']}" if one["team"] else ""
        say(f"{printable(one['name']):<24} {one['role']:<9} {_state(one)}{team}")
    return 0


def _state(one: dict[str, float | None]) -> str:
    if one["locked_until"]:
        return f"locked until {_day(one['locked_until'], '%Y-%m-%dT%H:%M:%SZ')}: too many codes were wrong"
    if not one["enrolled"]:
        return f"invited until {_day(one['invited_until'], '%Y-%m-%dT%H:%M:%SZ')}" if one["invited_until"] else "the invitation has ended"
    return f"logged in last on {_day(one['last'])}" if one["last"] else "has never logged in again"


def _day(moment: float | None, form: str = "%Y-%m-%d") -> str:
    return time.strftime(form, time.gmtime(moment))


def _remove(read: argparse.Namespace) -> int:
    told = called(read, "DELETE", f"/v1/people/{quote(read.name, safe='')}")
    if read.json:
        show_json(told)
    else:
        say(f"{printable(told['name'])} is removed, and their sessions are ended")
    return 0
