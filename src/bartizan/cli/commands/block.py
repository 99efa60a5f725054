"""`bartizan block`: the emergency brake."""

import argparse
import time
from typing import Any
from urllib.parse import quote

from bartizan.cli.arguments import as_json, lasting
from bartizan.cli.output import painted, printable, say, show_json
from bartizan.cli.remote import called, remote
from bartizan.identity.brake import KINDS

NAME = "block"
HELP = "Refuse an address, a consumer, a key or a path for a while, on every node within a second, whatever the policies say."
EXAMPLES = (
    "bartizan block --consumer acme --for 1h --reason 'key leaked'",
    "bartizan block --ip 192.0.2.0/24 --for 30m --reason scraping --dry-run",
    "bartizan block",
    "bartizan block --approve brk_0123456789ab",
    "bartizan block --lift brk_0123456789ab",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--ip", metavar="NETWORK", help="an address or a network")
    what.add_argument("--consumer", metavar="ID", help="a consumer, or the principal of a token as records name it")
    what.add_argument("--key", metavar="ID", help="an API key by its id, as `bartizan key list` shows it")
    what.add_argument("--token", metavar="JTI", help="a token by its own id (its claim `jti`)")
    what.add_argument("--session", metavar="SID", help="all tokens of a session at their issuer (their claim `sid`)")
    what.add_argument("--path", metavar="PATH", help="a path, with all that lies below")
    what.add_argument("--lift", metavar="ID", help="end a block before its time")
    what.add_argument("--approve", metavar="ID", help="let a block hold that waits for a second person")
    parser.add_argument("--for", dest="lasts", type=lasting, metavar="TIME", help="for how long: 30m, 1h, 7d; at most 30d")
    parser.add_argument("--reason", default="", help="why: it is in the audit log")
    parser.add_argument("--dry-run", action="store_true", help="only tell how much of yesterday's traffic it would have refused")
    parser.add_argument("--emergency", action="store_true", help="don't wait for a second person, however much it refuses")
    parser.set_defaults(wrong=parser.error)
    remote(parser)
    as_json(parser)


def run(read: argparse.Namespace) -> int:
    """Blocks, lifts, approves, or lists. Exit status 2 if a block waits for a second person."""
    for name in KINDS:
        if getattr(read, name) is not None:
            return _block(read, name, getattr(read, name))
    if read.lift is not None:
        told = called(read, "DELETE", f"/v1/blocks/{quote(read.lift, safe='')}")
        _one(read, told, f"{read.lift} is lifted")
    elif read.approve is not None:
        told = called(read, "POST", f"/v1/blocks/{quote(read.approve, safe='')}/approval")
        _one(read, told, f"{read.approve} holds")
    else:
        _list(read, called(read, "GET", "/v1/blocks"))
    return 0


def _block(read: argparse.Namespace, what: str, value: str) -> int:
    if read.lasts is None and not read.dry_run:
        read.wrong("a block ends by itself: say for how long, such as --for 1h")
    if not read.reason and not read.dry_run:
        read.wrong("a block needs a reason: --reason TEXT")
    wanted = {"what": what, "value": value, "seconds": read.lasts or 3600.0, "reason": read.reason or "-"}
    told = called(read, "POST", "/v1/blocks", {**wanted, "emergency": read.emergency, "dry": read.dry_run})
    block = told["block"]
    if read.json:
        show_json(told)
    else:
        seen = "yesterday's" if told["looked_at"] >= 1 else "a sample of yesterday's"
        say(f"of {seen} {told['requests']} requests it would have refused {told['matched']} ({told['share']:.1%})")
        if told["consumers"]:
            say(f"  most by {printable(', '.join(told['consumers']))}")
        if block is not None and block["waits"]:
            say(painted(f"{block['id']} waits for a second person: bartizan block --approve {block['id']}", "yellow"))
        elif block is not None:
            say(f"{block['id']} holds until {_when(block['until'])}")
    return 2 if block is not None and block["waits"] else 0


def _one(read: argparse.Namespace, told: Any, sentence: str) -> None:
    if read.json:
        show_json(told)
    else:
        say(sentence)


def _list(read: argparse.Namespace, told: list[dict[str, Any]]) -> None:
    if read.json:
        show_json(told)
    elif not told:
        say("nothing is blocked")
    for one in told if not read.json else ():
        waits = painted(" (waits for a second person)", "yellow") if one["waits"] else ""
        say(printable(f"{one['id']}  {one['what']} {one['value']}  until {_when(one['until'])}  by {one['by']}: {one['reason']}") + waits)


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
