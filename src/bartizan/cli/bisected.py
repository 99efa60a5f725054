"""What `bartizan bisect` finds: the commit that changed the answer to a request, for people and as JSON."""

import argparse
import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from bartizan.cli.compiled import compiled
from bartizan.cli.history import told as told_commit
from bartizan.cli.kept import moment, opened
from bartizan.cli.output import complain, painted, printable, say, show_json
from bartizan.compile import Compiled
from bartizan.errors import Invalid, NotFound, Unavailable
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot
from bartizan.replay.past import Past, Ruling, Turn
from bartizan.rollout.accepted import Accepted
from bartizan.telemetry.search import record

_MOST_DOCUMENTS = 10
_SIGNS = {"+": "green", "~": "yellow", "-": "red"}


def bisect(read: argparse.Namespace) -> int:
    """Looks for the change, and tells it. Exit status 1 if there is none, or no such record."""
    found = record(read.state / "records", read.request_id)
    if found is None:
        complain(f"there is no record of {read.request_id} in {read.state / 'records'}: it is too old, or another gateway's")
        return 1
    live = _live(read)
    with opened(read) as store:
        commits = store.revisions.commits(read.team, limit=read.limit)[::-1]
        if not commits:
            raise NotFound("There are no kept revisions.", code="revision-missing")
        past = Past(found, store, commits, live)
        turns = asyncio.run(past.turns(every=read.all))
    if read.json:
        show_json(_told(read.request_id, past, turns))
    else:
        for line in _lines(past, turns):
            say(line)
    return 0 if turns else 1


def _live(read: argparse.Namespace) -> Snapshot:
    """What the files say now: the consumers and issuers of now."""
    if read.files is not None:
        made = compiled(read.files)
        if isinstance(made, Compiled):
            return made.snapshot
        raise Invalid(f"The files {read.files} have problems.", problems=tuple(one for one in made if isinstance(one, Problem)))
    kept = Accepted(read.state / "accepted.json").compiled()
    if kept is None:
        raise Unavailable(f"No gateway has accepted files with the state in {read.state}. Name them with -f.", code="nothing-accepted")
    return kept.snapshot


def _lines(past: Past, turns: list[Turn]) -> Iterator[str]:
    shown: Mapping[str, Any] = printable(past.record)
    asked = f"{shown.get('http_method', '?')} {shown.get('host', '')}{shown.get('path', '')}"
    yield f"{asked} by {shown.get('principal') or 'nobody'} at {shown['time']}, answered with {shown.get('status', '?')}"
    if not turns:
        answers = {past.rulings[one.revision].refused for one in past.commits if one.revision in past.rulings}
        what = "can't be told of any" if answers <= {None} else f"is {_word(past)} under all"
        yield painted(f"no commit changed the answer: it {what} of the {_asked(past)} that were asked", "yellow")
    for turn in turns:
        yield from _turn_lines(turn)
    yield from _notes(past)
    yield painted(f"asked {_asked(past)} of {len(past.commits)} commits, with the consumers and issuers of now", "dim")


def _asked(past: Past) -> int:
    return sum(one.revision in past.rulings for one in past.commits)


def _word(past: Past) -> str:
    return next(_said(one) for one in past.rulings.values() if one.refused is not None)


def _turn_lines(turn: Turn) -> Iterator[str]:
    if len(turn.among) > 1:
        first, last = turn.among[0].number, turn.after.number
        yield painted(f"one of the commits {first} to {last} changed the answer; of those before {last} it can't be told", "yellow")
    one = turn.after
    who = f"by {printable(one.author)} at {moment(one.time_ms)}, by {one.door}"
    yield f"commit {one.number}: revision {painted(one.revision, 'bold')} {who}"
    yield f"  {printable(one.message)}"
    yield f"  before (commit {turn.before.number}, revision {turn.before.revision}): {_said(turn.was)}"
    yield f"  since then: {painted(_said(turn.became), 'red' if turn.became.refused else 'green')}"
    for line in turn.documents[:_MOST_DOCUMENTS]:
        yield painted(f"  {printable(line)}", _SIGNS[line[0]])
    if len(turn.documents) > _MOST_DOCUMENTS:
        yield f"  and {len(turn.documents) - _MOST_DOCUMENTS} more documents: see `bartizan dump`"


def _said(ruling: Ruling) -> str:
    if ruling.refused is None:
        return f"can't be told: {printable(ruling.why)}"
    return f"refused by {ruling.policy}" if ruling.refused else "let through"


def _notes(past: Past) -> Iterator[str]:
    used = [ruling for ruling in past.rulings.values() if ruling.now]
    if used:
        told = "attributes that nobody asked for then are taken from the consumer as it is now"
        yield painted(f"under {len(used)} of these revisions {told}", "yellow")
    for why in dict.fromkeys(ruling.why for ruling in past.rulings.values() if ruling.refused is None):
        yield painted(f"can't be told of some: {printable(why)}", "yellow")


def _told(request_id: str, past: Past, turns: list[Turn]) -> dict[str, Any]:
    return {
        "request_id": request_id,
        "record": dict(past.record),
        "found": bool(turns),
        "changes": [
            {
                "commit": told_commit(turn.after),
                "before": told_commit(turn.before),
                "among": [one.number for one in turn.among],
                "was": _ruling(turn.was),
                "became": _ruling(turn.became),
                "documents": [{"sign": line[0], "name": line[2:]} for line in turn.documents],
            }
            for turn in turns
        ],
        "asked": [
            {"commit": one.number, "revision": one.revision, **_ruling(past.rulings[one.revision])}
            for one in past.commits
            if one.revision in past.rulings
        ],
        "commits": len(past.commits),
    }


def _ruling(one: Ruling) -> dict[str, Any]:
    answer = "untold" if one.refused is None else "refused" if one.refused else "allowed"
    return {"answer": answer, "policy": one.policy or None, "why": one.why, "by_attributes_of_now": one.now}
