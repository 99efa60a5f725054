"""What `bartizan audit` prints."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from bartizan.cli.kept import moment, opened, signatures, since_ms
from bartizan.cli.output import painted, printable, say, show_json
from bartizan.errors import Invalid, Unavailable
from bartizan.store import Entry, Finding, Head, Store, Wanted

_AT_ONCE = 1000


def _wanted(read: argparse.Namespace, **more: Any) -> Wanted:
    return Wanted(read.after, since_ms(read.since) if read.since else 0, read.actor, read.wanted, **more)


def listed(read: argparse.Namespace) -> int:
    """The last entries."""
    with opened(read) as store:
        found = store.audit.entries(_wanted(read, limit=read.limit, newest=True))
        genuine = [store.audit.is_genuine(one) for one in found]
    if read.json:
        show_json([{**told(one), "genuine": good} for one, good in zip(found, genuine, strict=True)])
        return 0
    for one, good in zip(found, genuine, strict=True):
        event = one.event
        said = printable(f"{event.actor}  {event.action}  {event.target}  {event.result}  from {event.origin}")
        say(f"{one.number:>6}  {moment(one.time_ms)}  {said}" + ("" if good else painted("  NOT GENUINE", "red")))
    return 0


def export(read: argparse.Namespace) -> int:
    """All entries as JSON lines."""
    with opened(read) as store:
        for entry in _all(store, _wanted(read, limit=_AT_ONCE)):
            sys.stdout.write(orjson.dumps({**told(entry), "genuine": store.audit.is_genuine(entry)}).decode() + "\n")
    return 0


def _all(store: Store, wanted: Wanted) -> Iterator[Entry]:
    while found := store.audit.entries(wanted):
        yield from found
        wanted = replace(wanted, after=found[-1].number)


def verify(read: argparse.Namespace) -> int:
    """All that is wrong. Exit status 1 if anything is."""
    if signatures(read) is None:
        raise Unavailable("Nothing can be verified without a key. Give --state, or the key with --public-key.", code="no-public-key")
    with opened(read) as store:
        last, findings = store.audit.verify(_head(read.head))
        commits = store.revisions.teams()
        faults = (*(one for team in commits for one in store.revisions.findings(team)), *store.revisions.content_findings())
    if read.json:
        show_json(
            {
                "good": not findings and not faults,
                "head": {"number": last.number, "hash": last.hash} if last else None,
                "commits": dict(commits),
                "audit": [{"number": one.number, "message": one.message} for one in findings],
                "revisions": [{"number": one.number, "message": one.message} for one in faults],
            }
        )
    else:
        _show(last, sum(commits.values()), findings, faults)
    return 1 if findings or faults else 0


def _show(last: Head | None, commits: int, findings: tuple[Finding, ...], faults: tuple[Finding, ...]) -> None:
    for what, found in (("audit log", findings), ("revisions", faults)):
        for one in found:
            say(painted(f"{what}{f', at {one.number}' if one.number else ''}: {printable(one.message)}", "red"))
    if not findings and not faults:
        say(f"{painted('good', 'green')}: {last.number if last else 0} entries, {commits} commits")
        if last is not None:
            say("Keep this somewhere else; it proves later that the log still holds all of it:")
            say(f"  bartizan audit verify --head {last.number}:{last.hash}")


def _head(text: str | None) -> Head | None:
    if text is None:
        return None
    number, _, digest = text.partition(":")
    if not number.isdigit() or not digest:
        raise Invalid(f"{text!r} isn't NUMBER:HASH, as `bartizan audit verify` tells it")
    return Head(int(number), digest)


def told(entry: Entry) -> dict[str, Any]:
    """An entry as JSON."""
    event = entry.event
    return {
        "number": entry.number,
        "time": entry.time_ms / 1000,
        "actor": event.actor,
        "action": event.action,
        "target": event.target,
        "origin": event.origin,
        "result": event.result,
        "details": event.details,
        "before": entry.before,
        "hash": entry.hash,
        "signer": entry.signer,
        "signature": entry.signature.hex(),
    }
