"""`bartizan replay`: recorded requests judged again by a candidate, in a scratch instance: who would gain and who would lose access."""

import argparse
import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

from bartizan.cli.arguments import as_json, lasting, moment, state
from bartizan.cli.compiled import compiled
from bartizan.cli.output import complain, show_json, show_problems
from bartizan.cli.remote import asked, server
from bartizan.cli.replayed import Replayed
from bartizan.compile import Compiled
from bartizan.errors import Unavailable
from bartizan.replay import Candidate, Records, Replay, Tally, Window
from bartizan.replay.judging import Change
from bartizan.replay.then import Then
from bartizan.replay.window import Progress
from bartizan.rollout.accepted import Accepted

NAME = "replay"
HELP = (
    "Replay recorded requests with other policies: who would newly be refused or allowed. Exit status 0 if nobody, 2 if somebody,"
    " 1 if nothing can be told."
)
EXAMPLES = (
    "bartizan replay --candidate policies/",
    "bartizan replay --candidate policies/ --last 24h --sample 100000",
    "bartizan replay --candidate policies/ --from 2026-11-23T09:00:00+01:00 --to 2026-11-23T17:00:00+01:00 --json",
    "bartizan replay --candidate policies/ --records requests.jsonl --fail-on refused --tolerate 10",
    "bartizan replay --server https://gateway.example:9181 --token-file ~/.bartizan-token --revision 12 --last 24h",
)
_FAILING: dict[str, tuple[Change, ...]] = {
    "refused": ("newly refused",),
    "allowed": ("newly allowed",),
    "any": ("newly refused", "newly allowed"),
    "never": (),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--candidate", type=Path, metavar="PATH", help="the YAML file or the folder that is tried")
    parser.add_argument("--last", type=lasting, metavar="DURATION", help="only requests of this last while, such as 24h")
    parser.add_argument("--from", type=moment, dest="since", metavar="TIME", help="only requests since, as 2026-11-23T09:00:00+01:00")
    parser.add_argument("--to", type=moment, dest="until", metavar="TIME", help="only requests before this time")
    parser.add_argument("--sample", type=_number, metavar="N", help="only so many of them, chosen alike")
    told = "files of records (default: those of the gateway with this state)"
    parser.add_argument("--records", type=Path, nargs="+", metavar="FILE", help=told)
    parser.add_argument("--fail-on", choices=tuple(_FAILING), default="any", help="which changes give exit status 2 (default: any)")
    parser.add_argument("--tolerate", type=_number, default=0, metavar="N", help="up to so many of them don't")
    parser.add_argument(
        "--told", type=_percent, default=0, metavar="PERCENT", help="exit status 1 if it can't be told of so many of the requests"
    )
    parser.add_argument("--revision", metavar="REVISION", help="with --server: the revision there that is tried (default: the newest)")
    state(parser)
    server(parser)
    as_json(parser)
    parser.set_defaults(wrong=parser.error)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} isn't a number")
    return int(text)


def _percent(text: str) -> int:
    found = _number(text.removesuffix("%"))
    if found > 100:
        raise argparse.ArgumentTypeError(f"{text!r} isn't a percentage")
    return found


def run(read: argparse.Namespace) -> int:
    """Replays. Exit status 2 if something changes, 1 if nothing can be told or the files have problems."""
    if read.last is not None and (read.since is not None or read.until is not None):
        read.wrong("--last stands alone, without --from and --to")
    if (read.candidate is None) == (read.server is None):
        read.wrong("name the --candidate; or a gateway with --server, of which a --revision is tried on its own records")
    if read.server is not None:
        return _elsewhere(read)
    if missing := next((one for one in (read.candidate, *(read.records or ())) if not one.exists()), None):
        complain(f"{missing} doesn't exist")
        return 1
    made = compiled(read.candidate)
    if not isinstance(made, Compiled):
        show_problems(made)
        return 1
    with _records(read) as records:
        tally, seconds = asyncio.run(_replayed(made, records, read))
    replayed = Replayed(made.snapshot.revision, tally, _FAILING[read.fail_on], read.tolerate, seconds, records.skipped)
    if read.json:
        show_json(replayed.told())
    elif tally.records:
        replayed.show()
    return _status(read, replayed)


def _elsewhere(read: argparse.Namespace) -> int:
    """The records of another machine, judged by one of its revisions."""
    if read.since is not None or read.until is not None or read.records:
        read.wrong("with --server the records are those there, of the --last while")
    from bartizan.cli.elsewhere import replayed

    found = replayed(read, _FAILING[read.fail_on])
    if read.json:
        show_json(found.told())
    elif found.tally.records:
        found.show()
    return _status(read, found)


def _status(read: argparse.Namespace, replayed: Replayed) -> int:
    """A verdict that says nothing is none: it fails, so that no build takes it for a good one."""
    tally = replayed.tally
    if not tally.records:
        complain("there are no records of this time" if read.last or read.since or read.until else "there are no records")
        return 1
    if replayed.differs:
        return 2
    if not tally.judged:
        complain("of none of these requests it can be told what the candidate decides")
        return 1
    if tally.judged * 100 < read.told * tally.counts.total():
        complain(f"it can be told of {tally.judged} of {tally.counts.total()} requests only: less than {read.told} %")
        return 1
    return 0


def _records(read: argparse.Namespace) -> Records:
    since = datetime.now(UTC) - timedelta(seconds=read.last) if read.last is not None else read.since
    window = Window(since, read.until)
    if read.records:
        return Records(tuple(read.records), window, read.sample)
    return Records.folder(read.state / "records", window, read.sample)


async def _replayed(made: Compiled, records: Records, read: argparse.Namespace) -> tuple[Tally, float]:
    """The counts, and how long the judging took."""
    active = Accepted(read.state / "accepted.json").compiled()
    then = Then(active, lambda api, route, method: _revisions(read.state, api, route, method)) if active is not None else None
    async with Candidate(made, then) as candidate:
        began = time.monotonic()
        tally = await Replay(candidate).run(records.read(_progress() if sys.stderr.isatty() else _silent))
        return tally, time.monotonic() - began


def _revisions(folder: Path, api: str, route: str, method: str) -> frozenset[str]:
    """The revisions that brought the route's rules; none if no gateway runs to tell it."""
    try:
        return frozenset(asked(folder, "/covering?" + urlencode({"api": api, "route": route, "method": method}))["revisions"])
    except Unavailable:
        return frozenset()


def _silent(done: int, whole: int) -> None:
    """No progress where nobody sees it."""


def _progress() -> Progress:
    def show(done: int, whole: int) -> None:
        share = done / whole if whole else 1.0
        text = f"\r{share:4.0%} of {whole / 1e6:,.0f} MB of records" if done < whole else "\r\x1b[K"
        print(text, end="", file=sys.stderr, flush=True)

    return show
