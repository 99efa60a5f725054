"""`bartizan apply`: makes the policies of these files the newest revision, through the admin API."""

import argparse
import base64
from typing import Any

from bartizan.cli.arguments import as_json, files
from bartizan.cli.compiled import compiled
from bartizan.cli.output import painted, printable, say, show_json, show_problems
from bartizan.cli.remote import called, remote
from bartizan.compile import Compiled
from bartizan.model.snapshot import LIVE_KINDS

NAME = "apply"
HELP = "Send the policies of these files to a gateway, as a new revision that goes its way through the stages."
EXAMPLES = (
    "bartizan apply -f policies/ -m 'refunds by finance only'",
    "bartizan apply -f policies/ --server https://gateway.example:9181 --token-file ~/.bartizan-token",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    files(parser)
    remote(parser)
    parser.add_argument("-m", "--message", default="", help="why: it is kept with the revision")
    parser.add_argument("--parent", type=int, metavar="N", help="the commit that you started from; if it isn't the newest, nothing is done")
    parser.add_argument("--emergency", action="store_true", help="pass approval, windows and stages; it is loud, and in the audit log")
    as_json(parser)


def run(read: argparse.Namespace) -> int:
    """Sends. Consumers and issuers stay what the gateway's own files say."""
    made = compiled(read.files)
    if not isinstance(made, Compiled):
        show_problems(made)
        return 1
    documents = [one.document.value for one in made.snapshot.resources.values() if one.kind not in LIVE_KINDS]
    contents = {name: base64.b64encode(body).decode() for name, body in made.snapshot.files.items()}
    wanted = {"put": documents, "replace": True, "files": contents, "message": read.message or f"applied {read.files}"}
    kept = called(read, "POST", "/v1/changes", {**wanted, "parent": read.parent, "emergency": read.emergency})
    if read.json:
        show_json(kept)
    else:
        _show(kept)
    return 0


def _show(kept: dict[str, Any]) -> None:
    why = printable(f"by {kept['author']}: {kept['message']}")
    say(f"commit {kept['number']}: revision {painted(kept['revision'], 'bold')} {why}")
    for sentence in kept["loosens"]:
        say(painted(f"LOOSENS: {printable(sentence)}", "yellow"))
    say("`bartizan rollout` shows how far it is")
