"""What commands ask of the control plane of another machine: diffs, tests, replays and explanations, told as those of this machine are."""

import argparse
import base64
import time
from typing import Any

from bartizan.cli import question
from bartizan.cli.explanation import Explanation
from bartizan.cli.output import painted, printable, say, show_json
from bartizan.cli.remote import called
from bartizan.cli.replayed import Replayed
from bartizan.compile import Compiled
from bartizan.errors import Unavailable
from bartizan.meaning import Meaning
from bartizan.meaning.telling import read_back as meaning_of
from bartizan.model.covering import Covering
from bartizan.model.snapshot import LIVE_KINDS
from bartizan.replay.judging import Change
from bartizan.replay.telling import read_back as tally_of

_POLL_S = 0.5
_LONGEST_S = 3600.0


def compared(read: argparse.Namespace, made: Compiled) -> tuple[dict[str, Any], Meaning]:
    """The candidate against what runs there. Consumers and issuers are those there."""
    documents = [one.document.value for one in made.snapshot.resources.values() if one.kind not in LIVE_KINDS]
    files = {name: base64.b64encode(body).decode() for name, body in made.snapshot.files.items()}
    told = called(read, "POST", "/v1/diff", {"put": documents, "replace": True, "files": files})
    return told, meaning_of(told["meaning"])


def tested(read: argparse.Namespace) -> int:
    """The tests that lie beside the policies there."""
    told = called(read, "POST", "/v1/tests", {"revision": read.revision})
    if read.json:
        show_json(told)
        return 1 if told["failed"] else 0
    for one in (*told["cases"], *told["invariants"]):
        if not one["passed"]:
            where = f"{one['file']}:{one['line']} {one['name']}"
            say(f"{painted('FAIL', 'red')} {painted(printable(where), 'bold')}")
            for line in one.get("mismatches", ()):
                say(f"  happened: {printable(line)}")
            if one.get("counterexample"):
                say(f"  {printable(_counterexample(one['counterexample']))}")
    bad = [f"{told['failed']} failed"] if told["failed"] else []
    summary = ", ".join([*bad, f"{told['passed']} passed"])
    say(f"{painted(summary, 'red' if bad else 'green')} in {told['seconds']:.1f} s: revision {told['revision']}")
    return 1 if told["failed"] else 0


def _counterexample(told: dict[str, Any]) -> str:
    may = "is" if told["confirmed"] else "may be"
    return f"{told['who']} {may} let through: {told['method']} {told['host']}{told['path']}"


def replayed(read: argparse.Namespace, failing: tuple[Change, ...]) -> Replayed:
    """Its recorded requests judged by one of its revisions. Waits until that is done."""
    wanted: dict[str, Any] = {"revision": read.revision}
    if read.last is not None:
        wanted["seconds"] = read.last
    if read.sample is not None:
        wanted["most"] = read.sample
    told, ends = called(read, "POST", "/v1/replays", wanted), time.monotonic() + _LONGEST_S
    while told["status"] == "running":
        if time.monotonic() > ends:
            raise Unavailable(f"The replay {told['id']} isn't done after an hour.")
        time.sleep(_POLL_S)
        told = called(read, "GET", f"/v1/replays/{told['id']}")
    if told["status"] == "failed":
        raise Unavailable(told["why"])
    result = told["result"]
    return Replayed(result["candidate"], tally_of(result), failing, read.tolerate, result["seconds"], result["skipped_lines"])


def explained(read: argparse.Namespace) -> tuple[dict[str, Any], Explanation]:
    """A decision there, on a request that has happened or not."""
    if read.request_id is not None:
        told = called(read, "GET", f"/v1/explain/{read.request_id}")
    else:
        told = called(read, "POST", "/v1/explain", _asked(read))
    covering = tuple(Covering(one["policy"], one["role"], one["shadow"]) for one in told["policies"])
    declared = {one["policy"]: one["declared"] for one in told["policies"] if one["declared"]}
    return told, Explanation(told["record"], covering, declared, tuple(told["notes"]), told["hypothetical"])


def _asked(read: argparse.Namespace) -> dict[str, Any]:
    """The arguments that describe a request, as the admin API takes them."""
    names = ("path", "method", "host", "size", "consumer", "issuer", "subject", "ca", "san", "fingerprint", "source", "listener")
    asked = {name: getattr(read, name) for name in names if getattr(read, name) is not None}
    asked |= {"at": read.at.isoformat()} if read.at is not None else {}
    if read.header:
        asked["headers"] = {name.lower(): value for name, value in question.headers_of(read)}
    if read.claim:
        asked["claims"] = question.claims_of(read)
    if read.place:
        asked["place"] = dict(question.place_of(read))
    if read.context is not None:
        asked["context"] = question.context_of(read)
    return asked
