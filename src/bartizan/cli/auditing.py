"""What `bartizan audit` prints."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import orjson

from bartizan.cli.kept import moment, opened, signatures, since_ms
from bartizan.cli.output import painted, printable, say, show_json
from bartizan.cli.remote import called
from bartizan.errors import Invalid, Unavailable
from bartizan.store import Entry, Head, Store, Wanted

_AT_ONCE = 1000


def _wanted(read: argparse.Namespace, **more: Any) -> Wanted:
    return Wanted(read.after, since_ms(read.since) if read.since else 0, read.actor, read.wanted, **more)


def listed(read: argparse.Namespace) -> int:
    """The last entries."""
    found = list(_entries(read, limit=read.limit, newest=True))
    if read.json:
        show_json(found)
        return 0
    for one in found:
        said = printable(f"{one['actor']}  {one['action']}  {one['target']}  {one['result']}  from {one['origin']}")
        genuine = one.get("genuine", True)  # what another gateway tells is told as it tells it
        say(f"{one['number']:>6}  {moment(round(one['time'] * 1000))}  {said}" + ("" if genuine else painted("  NOT GENUINE", "red")))
    return 0


def export(read: argparse.Namespace) -> int:
    """All entries as JSON lines."""
    for one in _entries(read, limit=_AT_ONCE):
        sys.stdout.write(orjson.dumps(one).decode() + "\n")
    return 0


def _entries(read: argparse.Namespace, **more: Any) -> Iterator[dict[str, Any]]:
    wanted = _wanted(read, **more)
    if read.server is not None:
        yield from _there(read, wanted)
        return
    with opened(read) as store:
        for entry in store.audit.entries(wanted) if wanted.newest else _all(store, wanted):
            yield {**told(entry), "genuine": store.audit.is_genuine(entry)}


def _there(read: argparse.Namespace, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """Those of another gateway, as it tells them."""
    after: int | None = wanted.after
    while after is not None:
        asked = {"after": after, "since": wanted.since_ms / 1000, "actor": wanted.actor, "action": wanted.action}
        more = {"limit": min(wanted.limit, _AT_ONCE), "newest": str(wanted.newest).lower()}
        page = called(read, "GET", f"/v1/audit?{urlencode({**asked, **more})}")
        yield from page["items"]
        after = None if wanted.newest else page["next"]


def _all(store: Store, wanted: Wanted) -> Iterator[Entry]:
    while found := store.audit.entries(wanted):
        yield from found
        wanted = replace(wanted, after=found[-1].number)


def verify(read: argparse.Namespace) -> int:
    """All that is wrong. Exit status 1 if anything is."""
    head = _head(read.head)
    if read.server is not None:
        asked = f"?number={head.number}&hash={head.hash}" if head else ""
        found = called(read, "GET", f"/v1/audit/verification{asked}")
    else:
        if signatures(read) is None:
            raise Unavailable("Nothing can be verified without a key. Give --state, or the key with --public-key.", code="no-public-key")
        with opened(read) as store:
            found = store.verified(head).to_json()
    if read.json:
        show_json(found)
    else:
        _show(found)
    return 0 if found["good"] else 1


def _show(found: dict[str, Any]) -> None:
    for what, findings in (("audit log", found["audit"]), ("revisions", found["revisions"])):
        for one in findings:
            say(painted(f"{what}{_at(one)}: {printable(one['message'])}", "red"))
    if found["good"]:
        last = found["head"]
        say(f"{painted('good', 'green')}: {last['number'] if last else 0} entries, {sum(found['commits'].values())} commits")
        if last is not None:
            say("Keep this somewhere else; it proves later that the log still holds all of it:")
            say(f"  bartizan audit verify --head {last['number']}:{last['hash']}")


def _at(finding: dict[str, Any]) -> str:
    return f", at {finding['number']}" if finding["number"] else ""


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
