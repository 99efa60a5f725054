"""`bartizan rollback`: back to a kept revision, everywhere and at once."""

import argparse

from bartizan.cli.arguments import as_json
from bartizan.cli.output import painted, say, show_json
from bartizan.cli.remote import called, remote

NAME = "rollback"
HELP = "Go back to the revision before, or to one that is named, on every node at once. Keys, consumers and blocks stay as they are."
EXAMPLES = ("bartizan rollback -m 'checkout fails'", "bartizan rollback 3f2a91c4 -m 'back to Friday'")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("revision", nargs="?", help="a revision, its beginning, or a commit's number, as `bartizan log` shows them")
    parser.add_argument("-m", "--message", required=True, metavar="REASON", help="why: it is kept with the revision and in the audit log")
    remote(parser)
    as_json(parser)


def run(read: argparse.Namespace) -> int:
    """Goes back, and returns when it is enforced."""
    told = called(read, "POST", "/v1/rollback", {"revision": read.revision, "reason": read.message})
    if read.json:
        show_json(told)
    else:
        took = f", in {told['enforced_ms']:.0f} ms" if told["enforced_ms"] is not None else ""
        say(f"revision {painted(told['revision'], 'bold')} is active on {told['nodes']} node(s){took}")
        say("if the files say something else, `bartizan status` tells; `bartizan dump` writes what is active")
    return 0
