"""`bartizan lint`: rules that decide nothing, let everything through, were never met, or expire soon."""

import argparse

from bartizan.cli.arguments import as_json, files, lasting, store

NAME = "lint"
HELP = (
    "Tell which rules are no good any more: that another makes dead, that no recorded request met, that let everything through; and which "
    "rules, certificates, keys, consumers, tokens, freezes and blocks expire soon, and which keys nobody uses. Exit status 0, or with "
    "--strict 1 if anything is told."
)
EXAMPLES = (
    "bartizan lint -f policies/",
    "bartizan lint -f policies/ --last 7d --within 60d",
    "bartizan lint -f policies/ --strict --json",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    files(parser)
    parser.add_argument("--last", type=lasting, default="30d", metavar="TIME", help="how far back the records are asked (default: 30d)")
    parser.add_argument("--within", type=lasting, default="30d", metavar="TIME", help="what ends within this is told (default: 30d)")
    parser.add_argument("--unused", type=lasting, default="90d", metavar="TIME", help="a key unused for so long is told (default: 90d)")
    parser.add_argument("--strict", action="store_true", help="exit status 1 if anything is told")
    store(parser)
    as_json(parser)


def run(read: argparse.Namespace) -> int:
    """Looks."""
    from bartizan.cli.linting import lint

    return lint(read)
