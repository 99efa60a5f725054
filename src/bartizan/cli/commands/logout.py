"""`bartizan logout`: ends the session with the admin API."""

import argparse

from bartizan.cli.output import say
from bartizan.cli.remote import called, server
from bartizan.cli.sessions import forget
from bartizan.errors import Invalid, Unauthenticated

NAME = "logout"
HELP = "End the session with the admin API that `login` began."
EXAMPLES = ("bartizan logout --server https://gateway.example:9181",)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    server(parser, tokens=False)


def run(read: argparse.Namespace) -> int:
    """Ends it there, then here."""
    if not read.server:
        raise Invalid("Say where: --server URL.", code="server-missing")
    try:
        called(read, "POST", "/v1/logout")
        say("logged out")
    except Unauthenticated:
        say("there was no session any more")
    forget(read.server)
    return 0
