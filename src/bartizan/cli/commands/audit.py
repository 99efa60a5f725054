"""`bartizan audit`: who did what, when, from where, with which result; and whether anybody changed that."""

import argparse

from bartizan.cli.arguments import as_json, store
from bartizan.cli.remote import server

NAME = "audit"
HELP = "Read the audit log: list it, export it as JSON lines, or verify that nobody changed it."
EXAMPLES = (
    "bartizan audit list --since 24h",
    "bartizan audit list --action rollout --actor ada",
    "bartizan audit export --since 2026-11-01 > audit.jsonl",
    "bartizan audit verify",
    "bartizan audit list --server https://gateway.example:9181 --token-file ~/.bartizan-token",
    "bartizan audit verify --head 812:0b6c9a...",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    what = parser.add_subparsers(metavar="ACTION", required=True)
    listed = what.add_parser("list", help="the last entries")
    listed.add_argument("--limit", type=int, default=50, metavar="N", help="how many at most (default: 50)")
    listed.set_defaults(audit="list")
    export = what.add_parser("export", help="all entries as JSON lines, with what is needed to verify them elsewhere")
    export.set_defaults(audit="export")
    verify = what.add_parser("verify", help="find entries and revisions that were changed, forged, put in another order or taken away")
    verify.add_argument("--head", metavar="NUMBER:HASH", help="an entry that the log must hold, as an earlier `verify` told it")
    verify.set_defaults(audit="verify")
    for one in (listed, export):
        one.add_argument("--since", metavar="TIME", help="24h, 30m, 2026-11-22 or 2026-11-22T09:30:00Z")
        one.add_argument("--actor", default="", metavar="NAME", help="only what this one did")
        one.add_argument("--after", type=int, default=0, metavar="NUMBER", help="only entries behind this one")
        one.add_argument("--action", default="", metavar="ACTION", dest="wanted", help="only this: rollout.promote, or all of rollout")
    for one in (listed, export, verify):
        store(one)
        server(one)
    for one in (listed, verify):
        as_json(one)


def run(read: argparse.Namespace) -> int:
    """Runs the action."""
    from bartizan.cli import auditing

    actions = {"list": auditing.listed, "export": auditing.export, "verify": auditing.verify}
    return actions[read.audit](read)
