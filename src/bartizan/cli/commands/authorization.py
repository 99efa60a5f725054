"""`bartizan authorization`: the keys of the authorization server."""

import argparse

from bartizan.cli.arguments import as_json
from bartizan.cli.output import say, show_json
from bartizan.cli.remote import called, remote

NAME = "authorization"
HELP = "Replace the key with which the authorization server signs tokens."
EXAMPLES = ("bartizan authorization rotate", "bartizan authorization rotate --lost")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    what = parser.add_subparsers(metavar="ACTION", required=True)
    rotate = what.add_parser(
        "rotate", help="make a new key: others learn of it first, and in an hour it signs; it is done every month anyway"
    )
    rotate.add_argument(
        "--lost", action="store_true", help="the key until now may be somebody else's: it counts no more, nor does what it signed"
    )
    rotate.set_defaults(action=_rotate)
    remote(rotate)
    as_json(rotate)


def run(read: argparse.Namespace) -> int:
    """Runs the action."""
    return int(read.action(read))


def _rotate(read: argparse.Namespace) -> int:
    made = called(read, "POST", "/v1/authorization-server/keys", {"lost": read.lost})
    if read.json:
        show_json(made)
    elif read.lost:
        say(f"the key {made['kid']} signs from now on; tokens of the one before count no more")
    else:
        say(f"the key {made['kid']} is published, and signs in an hour")
    return 0
