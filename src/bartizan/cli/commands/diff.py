"""`bartizan diff`: candidate files against what runs, or against other files: what is written, and what it means."""

import argparse
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bartizan.cli.arguments import as_json, state
from bartizan.cli.compiled import compiled
from bartizan.cli.meant import lines
from bartizan.cli.output import complain, painted, say, show_json, show_problems
from bartizan.cli.remote import asked, server
from bartizan.compile import Compiled
from bartizan.meaning import difference
from bartizan.meaning.telling import told
from bartizan.model.edits import digests, edits, file_digests
from bartizan.rollout.accepted import Accepted
from bartizan.rollout.loosening import loosenings

NAME = "diff"
HELP = (
    "Compare candidate files with what runs: resources added, changed, removed, and what that means: who gains and who loses access, "
    "which conditions and limits change. Exit status 2 if they differ."
)
EXAMPLES = (
    "bartizan diff -f candidate/",
    "bartizan diff --from policies/ candidate/",
    "bartizan diff -f candidate/ --against policies/ --json",
    "bartizan diff -f candidate/ --server https://gateway.example:9181 --token-file ~/.bartizan-token",
)
USAGE = 64
_KEPT_S = 3.0
"""What runs is written to the disk so long after it was accepted, at the latest."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("candidate", nargs="?", type=Path, metavar="FILES", help="the YAML file, or the folder of them")
    parser.add_argument("-f", "--files", type=Path, metavar="PATH", help="the same")
    parser.add_argument("--from", "--against", dest="against", type=Path, metavar="PATH", help="other files, instead of what runs")
    parser.add_argument("--text-only", action="store_true", help="compare what is written, and don't tell what it means")
    state(parser)
    server(parser)
    as_json(parser)


def run(read: argparse.Namespace) -> int:
    """Compares."""
    files = read.files or read.candidate
    if files is None or (read.files and read.candidate):
        complain("name the candidate files, once: `bartizan diff -f candidate/`\nSee 'bartizan diff --help'.")
        return USAGE
    new = compiled(files)
    if not isinstance(new, Compiled):
        show_problems(new)
        return 1
    if read.server is not None:
        return _elsewhere(read, new)
    notes: list[str] = []
    old: Compiled | None
    if read.against is not None:
        against = compiled(read.against)
        if not isinstance(against, Compiled):
            show_problems(against)
            return 1
        old, before = against, _digests(against)
    else:
        before = asked(read.state, "/digests")
        old = None if read.text_only else _running(read.state, before)
        if old is None and not read.text_only:
            notes.append("What runs isn't kept on the disk as files, so what the edit means can't be told: compare with files, by --from.")
    return _shown(read, _compared(before, old, new), old, new, notes)


def _elsewhere(read: argparse.Namespace, new: Compiled) -> int:
    """Against what runs on another machine."""
    if read.against is not None:
        complain("--server compares with what runs there, so it stands without --from.\nSee 'bartizan diff --help'.")
        return USAGE
    from bartizan.cli.elsewhere import compared

    found, meaning = compared(read, new)
    differ = bool(found["added"] or found["changed"] or found["removed"])
    if read.json:
        show_json({**found, "notes": []})
    else:
        for line in (*_lines(found), *(lines(meaning) if differ and not read.text_only else ())):
            say(line)
    return 2 if differ else 0


def _running(folder: Path, running: Mapping[str, str]) -> Compiled | None:
    """What runs, from the disk. None if what is kept there is something else."""
    until = time.monotonic() + _KEPT_S
    while True:
        kept = Accepted(folder / "accepted.json").compiled()
        if kept is not None and digests(kept.snapshot) == running:
            return kept
        if time.monotonic() > until:
            return None
        time.sleep(0.2)


def _compared(before: Mapping[str, str], old: Compiled | None, new: Compiled) -> dict[str, Any]:
    """What is written otherwise."""
    after = _digests(new) if old is not None else digests(new.snapshot)
    before = _digests(old) if old is not None else before
    return {
        **edits(before, after).to_json(),
        "loosened": list(loosenings(old.snapshot, new.snapshot)) if old is not None else [],
        "revision": new.snapshot.revision,
    }


def _digests(made: Compiled) -> dict[str, str]:
    """What everything says: resources, and the files that they name."""
    return {**digests(made.snapshot), **file_digests(made.snapshot)}


def _shown(read: argparse.Namespace, found: dict[str, Any], old: Compiled | None, new: Compiled, notes: list[str]) -> int:
    differ = bool(found["added"] or found["changed"] or found["removed"])
    meaning = None if old is None or read.text_only else difference(old, new)
    if read.json:
        show_json({**found, "meaning": told(meaning) if meaning is not None else None, "notes": notes})
    else:
        for line in _lines(found):
            say(line)
        for line in lines(meaning) if meaning is not None and differ else ():
            say(line)
        for note in notes:
            say(painted(note, "yellow"))
    return 2 if differ else 0


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    for what, sign, colour in (("added", "+", "green"), ("changed", "~", "yellow"), ("removed", "-", "red")):
        for name in found[what]:
            yield painted(f"{sign} {name}", colour)
    for sentence in found["loosened"]:
        yield painted(f"LOOSENS: {sentence}", "yellow")
    if not (found["added"] or found["changed"] or found["removed"]):
        yield "no difference"
