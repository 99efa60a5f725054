"""`bartizan explain`: why a request was let through or refused, or would be."""

import argparse
import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlencode

from bartizan.cli import question
from bartizan.cli.arguments import as_json, state
from bartizan.cli.compiled import compiled
from bartizan.cli.explanation import Explanation
from bartizan.cli.output import complain, show_json, show_problems
from bartizan.cli.remote import asked, server
from bartizan.compile import Compiled, stamp
from bartizan.errors import Unavailable
from bartizan.model.snapshot import Snapshot
from bartizan.rollout.covering import told_of_route
from bartizan.scratch import Question, Scratch, Unaskable
from bartizan.telemetry.explained import Explained, of_route
from bartizan.telemetry.search import record

NAME = "explain"
HELP = "Explain the decision on a request, or on one that hasn't happened: each policy's verdict, and the attributes it saw."
EXAMPLES = (
    "bartizan explain 7f671899-5a5a-4b79-8517-d8b9b76b25f2",
    "bartizan explain --method POST --path /orders/refunds --consumer acme --at 2026-11-23T09:00:00+01:00",
    "bartizan explain --path /orders --issuer corp --subject ines --claim department=finance --source 198.51.100.7",
    "bartizan explain -f candidate/ --path /orders --header 'user-agent: curl/8.5' --json",
    "bartizan explain 7f671899-5a5a-4b79-8517-d8b9b76b25f2 --server https://gateway.example:9181 --token-file ~/.bartizan-token",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("request_id", nargs="?", help="the request's id, from the answer's x-request-id or its problem")
    parser.add_argument("-f", "--files", type=Path, metavar="PATH", help="the policies' files (default: what the running gateway holds)")
    state(parser)
    server(parser, "--server-ca")
    as_json(parser)
    parser.set_defaults(described=question.arguments(parser), wrong=parser.error)


def run(read: argparse.Namespace) -> int:
    """Explains. Exit status 1 if there is no such record, or if the files have problems."""
    described = [name for name in read.described if getattr(read, name) is not None]
    if read.request_id is not None and described:
        _wrong(read, f"a request that has happened is named by its id alone, without --{described[0]}")
    if read.request_id is None and read.path is None:
        _wrong(read, "name a request by its id, or describe one with --path")
    if read.server is not None:
        return _elsewhere(read)
    found = _happened(read) if read.request_id is not None else _hypothetical(read)
    if found is None:
        return 1
    if read.json:
        show_json(found.told())
    else:
        found.show()
    return 0


def _elsewhere(read: argparse.Namespace) -> int:
    """What another machine says."""
    if read.files is not None:
        _wrong(read, "with --server the policies are those there, without -f")
    from bartizan.cli.elsewhere import explained

    try:
        told, found = explained(read)
    except ValueError as error:
        _wrong(read, str(error))
    if read.json:
        show_json(told)
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
    except Unavailable:
        note = "No gateway runs with this state, so only the policies that the record names are listed; name their files with -f."
        return Explanation(found, (), {}, (note,))
    return _shown(of_route(found, told))


def _shown(one: Explained) -> Explanation:
    return Explanation(one.record, one.covering, one.declared, one.notes, one.hypothetical)


def _covering(read: argparse.Namespace, found: Mapping[str, Any]) -> Mapping[str, Any]:
    """The policies that cover the route of a record: as the files say, or as the running gateway holds them."""
    api, route, method = (found[name] for name in ("api", "route", "http_method"))
    if read.files is None:
        asking = {"api": api, "route": route, "method": method, "revision": found.get("revision") or ""}
        return dict(asked(read.state, "/covering?" + urlencode(asking)))
    made = compiled(read.files)
    if not isinstance(made, Compiled):
        show_problems(made)
        raise Unavailable(f"The files {read.files} have problems.")
    return told_of_route(made, stamp(made, {}), api, route, method)


def _hypothetical(read: argparse.Namespace) -> Explanation | None:
    try:
        question_of = question.question_of(read)
    except ValueError as error:
        _wrong(read, str(error))
    try:
        return _asked(read, question_of)
    except Unaskable as error:
        _wrong(read, str(error))


def _wrong(read: argparse.Namespace, message: str) -> NoReturn:
    """Ends with the exit status of wrong use."""
    read.wrong(message)
    raise AssertionError("the parser ends the program")


def _asked(read: argparse.Namespace, question_of: Callable[[Snapshot], Question]) -> Explanation | None:
    active = None if read.files is not None else asked(read.state, "/status")
    made = compiled(read.files if active is None else Path(active["files"]))
    if not isinstance(made, Compiled):
        show_problems(made)
        return None
    revision, notes = made.snapshot.revision, []
    if active is not None and active["revision"] != revision:
        notes.append(f"This is what the files say now, revision {revision}; what runs is {active['revision'] or 'nothing yet'}.")
    return asyncio.run(_answered(made, question_of(made.snapshot), tuple(notes)))


async def _answered(made: Compiled, asked_for: Question, notes: tuple[str, ...]) -> Explanation:
    async with Scratch(made.snapshot) as scratch:
        found = await scratch.record(asked_for)
        covering = scratch.covering(found)
    declared = {policy.id: policy.model_dump(mode="json", by_alias=True) for policy in made.snapshot.policies}
    return Explanation(found, covering, declared, notes, hypothetical=True)
