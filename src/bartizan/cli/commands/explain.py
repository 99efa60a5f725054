"""`bartizan explain`: why a request was let through or refused, or would be."""

import argparse
import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson

from bartizan.cli.arguments import as_json, state
from bartizan.cli.explanation import Explanation
from bartizan.cli.output import complain, show_json, show_problems
from bartizan.cli.remote import asked
from bartizan.errors import BartizanError, Invalid, NotFound, Unavailable
from bartizan.model.covering import Covering
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot
from bartizan.rollout.folder import Folder
from bartizan.scratch import Certificate, Principal, Question, Scratch, Token, Unaskable
from bartizan.telemetry.search import record

NAME = "explain"
HELP = "Explain the decision on a request, or on one that hasn't happened: each policy's verdict, and the attributes it saw."
EXAMPLES = (
    "bartizan explain 7f671899-5a5a-4b79-8517-d8b9b76b25f2",
    "bartizan explain --method POST --path /orders/refunds --consumer acme --at 2026-11-23T09:00:00+01:00",
    "bartizan explain --path /orders --issuer corp --subject ines --claim department=finance --source 198.51.100.7",
    "bartizan explain -f candidate/ --path /orders --header 'user-agent: curl/8.5' --json",
)
_DESCRIBES = ("method", "path", "host", "header", "consumer", "issuer", "subject", "claim", "ca", "san", "at", "source", "listener", "size")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.set_defaults(wrong=parser.error)
    parser.add_argument("request_id", nargs="?", help="the request's id, from the answer's x-request-id or its problem")
    request = parser.add_argument_group("a request that hasn't happened, answered by a scratch instance of the real Envoy")
    request.add_argument("--path", help="its path, with its query")
    request.add_argument("--method", help="its method (default: GET)")
    request.add_argument("--host", help="the host it names (default: localhost)")
    request.add_argument("--header", action="append", metavar="'NAME: VALUE'", help="a header; may be repeated")
    request.add_argument("--size", type=int, metavar="BYTES", help="the announced size of its body (default: 0)")
    request.add_argument("--consumer", metavar="NAME", help="who calls: a Consumer, with an API key")
    request.add_argument("--issuer", metavar="NAME", help="who calls: someone with a good token of this Issuer")
    request.add_argument("--subject", metavar="SUB", help="the token's subject")
    request.add_argument("--claim", action="append", metavar="NAME=VALUE", help="a claim; VALUE is JSON, or else a text; may be repeated")
    request.add_argument("--ca", metavar="NAME", help="who calls: someone with a client certificate of this CA")
    request.add_argument("--san", metavar="NAME", help="the certificate's subject alternative name")
    request.add_argument("--at", metavar="TIME", help="when, as 2026-11-23T09:00:00+01:00 (default: now)")
    request.add_argument("--source", metavar="ADDRESS", help="the caller's address (default: 127.0.0.1)")
    request.add_argument("--listener", metavar="NAME", help="the listener it comes to (default: the first)")
    parser.add_argument("-f", "--files", type=Path, metavar="PATH", help="policy files (default: those of the running gateway)")
    state(parser)
    as_json(parser)


def run(read: argparse.Namespace) -> int:
    """Explains. Exit status 1 if there is no such record, or if the files have problems."""
    described = [name for name in _DESCRIBES if getattr(read, name) is not None]
    if read.request_id is not None:
        if described:
            read.wrong(f"a request that has happened is named by its id alone, without --{described[0]}")
        found = _happened(read)
    else:
        if read.path is None:
            read.wrong("name a request by its id, or describe one with --path")
        found = _hypothetical(read, _question(read))
    if found is None:
        return 1
    if read.json:
        show_json(found.told())
    else:
        found.show()
    return 0


def _happened(read: argparse.Namespace) -> Explanation | None:
    found = record(read.state / "records", read.request_id)
    if found is None:
        complain(f"there is no record of {read.request_id} in {read.state / 'records'}: it is too old, or another gateway's")
        return None
    if not found.get("api"):
        return Explanation(found, (), {})
    try:
        told = _covering(read, found)
    except BartizanError:
        return Explanation(found, (), {}, ("No gateway runs with this state, so only the policies that left a verdict are listed.",))
    covering = tuple(Covering(one["policy"], one["role"], one["shadow"]) for one in told["policies"])
    declared = {one["policy"]: one["declared"] for one in told["policies"]}
    notes = ()
    if found.get("revision") not in told["revisions"]:
        notes = (f"The policies have changed since: revision {found.get('revision')} judged it, their text is that of {told['revision']}.",)
    return Explanation(found, covering, declared, notes)
