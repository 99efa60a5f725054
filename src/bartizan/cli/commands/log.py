"""`bartizan log`: the kept revisions, the newest first."""

import argparse

from bartizan.cli.arguments import as_json, store, team

NAME = "log"
HELP = "List the kept revisions: number, revision, when, who, by which door, why; and what each let through that was refused before."
EXAMPLES = ("bartizan log", "bartizan log --limit 5 --before 40", "bartizan log --store postgresql://db.example.com/bartizan --json")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    store(parser)
    as_json(parser)
    team(parser)
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="how many at most (default: 20)")
    parser.add_argument("--before", type=int, metavar="NUMBER", help="only those with a lower number")


def run(read: argparse.Namespace) -> int:
    """Lists."""
    from bartizan.cli.history import log

    return log(read)
