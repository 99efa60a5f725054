"""`bartizan bisect`: which kept revision changed the answer to a request."""

import argparse
from pathlib import Path

from bartizan.cli.arguments import as_json, store, team

NAME = "bisect"
HELP = (
    "Find the commit that changed the answer to a recorded request: who made it, when, why, and which policy refuses. "
    "Exit status 0 if it is found, 1 if not."
)
EXAMPLES = (
    "bartizan bisect 7f671899-5a5a-4b79-8517-d8b9b76b25f2",
    "bartizan bisect 7f671899-5a5a-4b79-8517-d8b9b76b25f2 --all --json",
    "bartizan bisect 7f671899-5a5a-4b79-8517-d8b9b76b25f2 --store postgresql://db.example.com/bartizan -f policies/",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("request_id", help="the request's id, from the answer's x-request-id or its problem")
    parser.add_argument("--all", action="store_true", help="ask every kept revision, and tell each change of the answer")
    parser.add_argument("--limit", type=_count, default=1000, metavar="N", help="only the newest N commits (default: 1000)")
    told = "where consumers and issuers are taken from (default: what the gateway with this state accepted last)"
    parser.add_argument("-f", "--files", type=Path, metavar="PATH", help=told)
    team(parser)
    store(parser)
    as_json(parser)


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} isn't a number of commits")
    return int(text)


def run(read: argparse.Namespace) -> int:
    """Looks for it."""
    from bartizan.cli.bisected import bisect

    return bisect(read)
