"""`bartizan diff`: candidate files against what runs, or against other files."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bartizan.cli.arguments import as_json, files, state
from bartizan.cli.compiled import compiled
from bartizan.cli.output import painted, say, show_json, show_problems
from bartizan.cli.remote import asked
from bartizan.compile import Compiled
from bartizan.rollout.loosening import loosenings

NAME = "diff"
HELP = "Compare candidate files with what runs: resources added, changed, removed. Exit status 2 if they differ."
EXAMPLES = ("bartizan diff -f candidate/", "bartizan diff -f candidate/ --against policies/")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    files(parser)
    parser.add_argument("--against", type=Path, metavar="PATH", help="other files, instead of what runs")
    state(parser)
    as_json(parser)


def run(read: argparse.Namespace) -> int:
    """Compares."""
    new = compiled(read.files)
    if not isinstance(new, Compiled):
        show_problems(new)
        return 1
    loosened: list[str] = []
    if read.against is not None:
        old = compiled(read.against)
        if not isinstance(old, Compiled):
            show_problems(old)
            return 1
        before = _digests(old)
        loosened = list(loosenings(old.snapshot, new.snapshot))
    else:
        before = asked(read.state, "/digests")
    told = {**_difference(before, _digests(new)), "loosened": loosened, "revision": new.snapshot.revision}
    if read.json:
        show_json(told)
    else:
        _show(told)
    return 2 if told["added"] or told["changed"] or told["removed"] else 0


def _digests(made: Compiled) -> dict[str, str]:
    return {f"{kind}/{name}": resource.digest for (kind, name), resource in made.snapshot.resources.items()}


def _difference(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, list[str]]:
    return {
        "added": sorted(after.keys() - before.keys()),
        "changed": sorted(name for name in after.keys() & before.keys() if after[name] != before[name]),
        "removed": sorted(before.keys() - after.keys()),
    }


def _show(told: Mapping[str, Any]) -> None:
    for what, sign, colour in (("added", "+", "green"), ("changed", "~", "yellow"), ("removed", "-", "red")):
        for name in told[what]:
            say(painted(f"{sign} {name}", colour))
    for sentence in told["loosened"]:
        say(painted(f"LOOSENS: {sentence}", "yellow"))
    if not (told["added"] or told["changed"] or told["removed"]):
        say("no difference")
