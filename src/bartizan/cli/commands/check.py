"""`bartizan check`: everything that is wrong with the files, at once."""

import argparse

from bartizan.cli.arguments import as_json, files
from bartizan.cli.compiled import compiled
from bartizan.cli.output import complain, painted, say, show_json, show_problems
from bartizan.compile import Compiled

NAME = "check"
HELP = "Tell everything that is wrong with the files. Exit status 0 if nothing is, else 1."
EXAMPLES = ("bartizan check -f policies/", "bartizan check -f policies/ --json")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    files(parser)
    as_json(parser)


def run(read: argparse.Namespace) -> int:
    """Checks."""
    if not read.files.exists():
        complain(f"{read.files} doesn't exist")
        return 1
    made = compiled(read.files, databases=True)
    good = isinstance(made, Compiled)
    if read.json:
        revision = made.snapshot.revision if isinstance(made, Compiled) else None
        problems = [] if isinstance(made, Compiled) else [problem.to_json() for problem in made]
        show_json({"revision": revision, "problems": problems})
    elif isinstance(made, Compiled):
        held = made.snapshot
        counts = f"{len(held.apis)} APIs, {len(held.policies)} policies, {len(held.consumers)} consumers, {len(held.issuers)} issuers"
        say(f"{painted('good', 'green')}: revision {held.revision}: {counts}")
    else:
        show_problems(made)
    return 0 if good else 1
