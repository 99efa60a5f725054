"""`bartizan login`: a session with the admin API of another machine."""

import argparse
import getpass
import sys
from typing import Any

from bartizan.cli.output import printable, say
from bartizan.cli.remote import server, tried
from bartizan.cli.sessions import FILE, keep
from bartizan.errors import Invalid

NAME = "login"
HELP = "Log in to the admin API with a password and a second factor. The other commands use the session from then on."
EXAMPLES = (
    "bartizan login ann --server https://gateway.example:9181",
    "bartizan login ann --server https://gateway.example:9181 --invitation Xw3...",
    "bartizan login --browser --server https://gateway.example:9181",
    "bartizan login --passkey --server https://gateway.example:9181",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("name", nargs="?", default="", help="what you are called there; not needed with --browser")
    parser.add_argument(
        "--browser", action="store_true", help="log in with a browser at the gateway's authorization server: with a passkey too"
    )
    parser.add_argument("--invitation", metavar="TEXT", help="the invitation that an admin gave you: choose a password and a second factor")
    parser.add_argument("--passkey", action="store_true", help="the same, and only with a passkey: some roles need one")
    server(parser, tokens=False)


def run(read: argparse.Namespace) -> int:
    """Asks for what is needed, on the terminal or, line by line, from the input."""
    read.browser |= read.passkey
    if bool(read.name) == read.browser:
        raise Invalid("Say what you are called there, or --browser.", code="name-missing")
    if not read.server:
        raise Invalid("Say where: --server URL. On the gateway's own machine nobody has to log in.", code="server-missing")
    session = _session(read)
    if session is None:
        return 0
    keep(read.server, session)
    say(f"logged in as {printable(session['name'])} ({session['role']}); kept in {FILE}")
    return 0


def _session(read: argparse.Namespace) -> Any:
    """None if somebody enrolled who logs in elsewhere."""
    if read.browser:
        from bartizan.cli.browsing import by_browser

        return by_browser(read)
    return _enrolled(read) if read.invitation else _logged_in(read)


def _logged_in(read: argparse.Namespace) -> Any:
    password, code = _secret("Password: "), _plain("Code: ")
    return tried(read, "/v1/login", {"name": read.name, "password": password, "code": code})


def _enrolled(read: argparse.Namespace) -> Any:
    who = {"name": read.name, "invitation": read.invitation}
    offered = tried(read, "/v1/login/factor", who)
    say("Take this into an authenticator app, as a link or by hand:")
    say(f"  {offered['uri']}")
    say(f"  secret {offered['secret']}, six digits, 30 seconds")
    password = _secret("A new password: ")
    if _secret("The same again: ") != password:
        raise Invalid("The two passwords differ. Nothing was changed.", code="password-unlike")
    shown = {**who, "password": password, "code": _plain("Code: ")}
    made = tried(read, "/v1/login/enrolment", shown)
    say("These count once each in the place of a code, if you lose the device. Print them; they aren't shown again:")
    for one in made["recovery_codes"]:
        say(f"  {one}")
    if made["session"] is None:
        say(f"you are enrolled. {made['no_session']}")
    return made["session"]


def _secret(prompt: str) -> str:
    return getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")


def _plain(prompt: str) -> str:
    return input(prompt).strip() if sys.stdin.isatty() else sys.stdin.readline().strip()
