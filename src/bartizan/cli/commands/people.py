"""`bartizan people`: who may log in to the admin API."""

import argparse
import time
from urllib.parse import quote

from bartizan.cli.arguments import as_json
from bartizan.cli.output import printable, say, show_json
from bartizan.cli.remote import called, remote
from bartizan.identity.operators import ROLES

NAME = "people"
HELP = "Invite, list and remove the people who log in to the admin API, or to the authorization server, with a second factor."
EXAMPLES = (
    "bartizan people invite ann --role admin",
    "bartizan people invite bob --role editor --team orders",
    "bartizan people invite ines --group sales",
    "bartizan people put ines --group sales --group partners",
    "bartizan people list",
    "bartizan people passkeys ines",
    "bartizan people logout ines",
    "bartizan people remove bob",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    what = parser.add_subparsers(metavar="ACTION", required=True)
    invite = what.add_parser("invite", help="invite somebody, or anew: what they logged in with counts no more")
    invite.add_argument("name", help="what they are called: the audit log names them so")
    invite.set_defaults(action=_invite)
    put = what.add_parser("put", help="give somebody another role, team or groups; what they log in with stays")
    put.add_argument("name", help="what they are called")
    put.set_defaults(action=_put)
    for one in (invite, put):
        roles = [role for role in ROLES if role != "context"]
        one.add_argument(
            "--role", choices=roles, help="what they may do at the admin API; else they log in to the authorization server alone"
        )
        one.add_argument("--team", metavar="TEAM", help="the team whose APIs and policies alone they may change")
        one.add_argument(
            "--group", action="append", default=[], metavar="GROUP", help="a group that their tokens tell; may be given several times"
        )
    keys = what.add_parser("passkeys", help="list the passkeys of somebody, as a Device names them")
    keys.add_argument("name", help="what they are called")
    keys.set_defaults(action=_passkeys)
    out = what.add_parser("logout", help="end the sessions of somebody, here and at the authorization server")
    out.add_argument("name", help="what they are called")
    out.set_defaults(action=_log_out)
    listed = what.add_parser("list", help="list them")
    listed.set_defaults(action=_list)
    gone = what.add_parser("remove", help="take somebody out, and end their sessions")
    gone.add_argument("name", help="what they are called")
    gone.set_defaults(action=_remove)
    for one in (invite, put, listed, keys, out, gone):
        remote(one)
        as_json(one)


def run(read: argparse.Namespace) -> int:
    """Runs the action."""
    return int(read.action(read))


def _invite(read: argparse.Namespace) -> int:
    made = called(read, "POST", "/v1/people", {"name": read.name, **_place(read)})
    if read.json:
        show_json(made)
    else:
        say(made["invitation"])
        say(f"It counts once, for a day: bartizan login {printable(read.name)} --server URL --invitation {made['invitation']}")
        say("or, with a browser, on the page /enrol of the authorization server.")
    return 0


def _place(read: argparse.Namespace) -> dict[str, object]:
    return {"role": read.role, "team": read.team, "groups": read.group}


def _put(read: argparse.Namespace) -> int:
    return _told(
        read, called(read, "PUT", f"/v1/people/{quote(read.name, safe='')}", _place(read)), "is changed, and their sessions are ended"
    )


def _log_out(read: argparse.Namespace) -> int:
    return _told(read, called(read, "POST", f"/v1/people/{quote(read.name, safe='')}/logout", {}), "is logged out everywhere")


def _passkeys(read: argparse.Namespace) -> int:
    found = called(read, "GET", f"/v1/people/{quote(read.name, safe='')}/passkeys")
    if read.json:
        show_json(found)
    for one in found if not read.json else ():
        where = "synced between devices, so it tells none" if one["synced"] else "on one device"
        say(f"{one['passkey']}  {printable(one['label'])}, {where}, since {_day(one['since'])}")
    return 0


def _told(read: argparse.Namespace, told: dict[str, object], what: str) -> int:
    if read.json:
        show_json(told)
    else:
        say(f"{printable(str(told['name']))} {what}")
    return 0


def _list(read: argparse.Namespace) -> int:
    told = called(read, "GET", "/v1/people")
    if read.json:
        show_json(told)
    for one in told if not read.json else ():
        team = f"  of the team {one['team']}" if one["team"] else ""
        groups = f"  in {', '.join(one['groups'])}" if one["groups"] else ""
        say(f"{printable(one['name']):<24} {one['role'] or '-':<9} {_state(one)}{team}{groups}")
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
    return _told(read, called(read, "DELETE", f"/v1/people/{quote(read.name, safe='')}"), "is removed, and their sessions are ended")
