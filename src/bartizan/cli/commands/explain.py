"""`bartizan explain`: why a request was let through or refused."""

import argparse

NAME = "explain"
HELP = "Explain the decision on a request: revision, each policy's verdict, the attributes it saw."
EXAMPLES = ("bartizan explain 7f671899-5a5a-4b79-8517-d8b9b76b25f2",)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("request_id")


def run(read: argparse.Namespace) -> int:
    """Explains."""
    return 1
