"""`bartizan proposal`: changes that agents proposed: looked at, applied by another person, or discarded."""

import argparse
import time
from typing import Any
from urllib.parse import quote

import yaml

from bartizan.cli.arguments import as_json
from bartizan.cli.meant import lines
from bartizan.cli.output import painted, printable, say, show_json
from bartizan.cli.remote import called, remote
from bartizan.meaning.telling import read_back

NAME = "proposal"
HELP = "List, show and compare changes that agents proposed, apply one as a new revision, or discard it. Who proposed it can't apply it."
EXAMPLES = (
    "bartizan proposal list",
    "bartizan proposal show prp_0123456789ab",
    "bartizan proposal diff prp_0123456789ab",
    "bartizan proposal apply prp_0123456789ab --on 0123456789abcdef",
    "bartizan proposal discard prp_0123456789ab",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    what = parser.add_subparsers(metavar="ACTION", required=True)
    listed = what.add_parser("list", help="list those that nobody has applied or discarded, the newest first")
    show = what.add_parser("show", help="show what it puts and takes away")
    diff = what.add_parser("diff", help="what it would change of the newest revision, and what that means; exit status 2 if anything")
    apply = what.add_parser("apply", help="make it a change, which goes its way through the stages")
    discard = what.add_parser("discard", help="take it away")
    apply.add_argument("-m", "--message", default="", help="why; by default what its author says")
    apply.add_argument("--on", metavar="REVISION", help="the newest revision when you looked; if another one is by now, nothing is done")
    for one, action in ((listed, _list), (show, _show), (diff, _diff), (apply, _apply), (discard, _discard)):
        if one is not listed:
            one.add_argument("id", help="as `list` shows it")
        one.set_defaults(action=action)
        remote(one)
        as_json(one)


def run(read: argparse.Namespace) -> int:
    """Runs the action."""
    return int(read.action(read))


def _at(read: argparse.Namespace, more: str = "") -> str:
    return f"/v1/proposals/{quote(read.id, safe='')}{more}"


def _list(read: argparse.Namespace) -> int:
    told = called(read, "GET", "/v1/proposals")
    if read.json:
        show_json(told)
    elif not told:
        say("nothing is proposed")
    for one in told if not read.json else ():
        say(_line(one))
    return 0


def _line(one: dict[str, Any]) -> str:
    team = f" of the team {one['team']}" if one["team"] else ""
    ends = time.strftime("%Y-%m-%d", time.gmtime(one["expires"]))
    return f"{one['id']}  by {printable(one['author'])}{team}, until {ends}: {printable(one['message'])}"


def _show(read: argparse.Namespace) -> int:
    told = called(read, "GET", _at(read))
    if read.json:
        show_json(told)
        return 0
    say(_line(told))
    say(f"made of revision {told['base']}; the newest is {told['newest']}")
    for name in told["stale"]:
        say(painted(f"{name} has changed since: it can't be applied", "yellow"))
    for name in told["delete"]:
        say(painted(f"- {name}", "red"))
    for document in told["put"]:
        say("---")
        for line in yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120).splitlines():
            say(printable(line))
    return 0


def _diff(read: argparse.Namespace) -> int:
    told = called(read, "GET", _at(read, "/diff"))
    if read.json:
        show_json(told)
    else:
        for what, sign, colour in (("added", "+", "green"), ("changed", "~", "yellow"), ("removed", "-", "red")):
            for name in told[what]:
                say(painted(f"{sign} {name}", colour))
        for sentence in told["loosened"]:
            say(painted(f"LOOSENS: {printable(sentence)}", "yellow"))
        for line in lines(read_back(told["meaning"])):
            say(line)
        say(painted(f"to apply just this: bartizan proposal apply {read.id} --on {told['against']}", "dim"))
    return 2 if told["added"] or told["changed"] or told["removed"] else 0


def _apply(read: argparse.Namespace) -> int:
    seen = {"if-match": f'"{read.id}.{read.on}"'} if read.on else {}
    kept = called(read, "POST", _at(read, "/application"), {"message": read.message}, seen)
    if read.json:
        show_json(kept)
        return 0
    why = printable(f"by {kept['author']}: {kept['message']}")
    say(f"commit {kept['number']}: revision {painted(kept['revision'], 'bold')} {why}")
    for sentence in kept["loosens"]:
        say(painted(f"LOOSENS: {printable(sentence)}", "yellow"))
    say("`bartizan rollout` shows how far it is")
    return 0


def _discard(read: argparse.Namespace) -> int:
    told = called(read, "DELETE", _at(read))
    if read.json:
        show_json(told)
    else:
        say(f"{told['id']} is discarded")
    return 0
