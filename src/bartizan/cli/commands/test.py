"""`bartizan test`: the cases that stand beside the policies, asked of a scratch instance of the real Envoy."""

import argparse
import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from bartizan.cases import Found, FoundInvariant, Judge, Kept, Outcome, Trial, case_files, kept, outcomes, trials
from bartizan.cli.arguments import as_json
from bartizan.cli.compiled import compiled
from bartizan.cli.output import complain, show_json, show_problems
from bartizan.cli.remote import server
from bartizan.cli.tested import Tested
from bartizan.compile import Compiled
from bartizan.scratch import Scratch

NAME = "test"
HELP = (
    "Test policies: ask the cases in *.test.yaml files of a scratch instance, and check their invariants for every consumer, route and "
    "method. Exit status 0 if all pass, else 1."
)
EXAMPLES = (
    "bartizan test -f policies/",
    "bartizan test -f policies/ 'refunds*' 'only finance *'",
    "bartizan test -f policies/orders.test.yaml --json",
    "bartizan test -f policies/ --junit results.xml",
    "bartizan test --server https://gateway.example:9181 --token-file ~/.bartizan-token --revision 12",
)
_NONE = "Cases stand in files such as orders.test.yaml beside the policies: each has a name, what is given, and what to expect."


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    told = "the folder of the policies and their test files, or one file of either"
    parser.add_argument("-f", "--files", type=Path, metavar="PATH", help=told)
    parser.add_argument("globs", nargs="*", metavar="CASE", help="names of cases, with * and ?; by default all")
    server(parser)
    parser.add_argument("--revision", metavar="REVISION", help="with --server: the revision that is asked (default: the newest)")
    parser.set_defaults(wrong=parser.error)
    as_json(parser)
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the results as JUnit XML too")


def run(read: argparse.Namespace) -> int:
    """Tests. Exit status 1 if a case fails, if there is none, or if the files have problems."""
    if (read.files is None) == (read.server is None):
        read.wrong("name the files with -f; or a gateway with --server, whose own test files are asked")
    return _here(read) if read.server is None else _elsewhere(read)


def _here(read: argparse.Namespace) -> int:
    if not read.files.exists():
        complain(f"{read.files} doesn't exist")
        return 1
    tested = _tested(read)
    if isinstance(tested, str):
        complain(tested)
        return 1
    if read.junit is not None:
        try:
            read.junit.write_bytes(tested.junit())
        except OSError as error:
            complain(f"{read.junit} can't be written: {error.strerror}")
            return 1
    if read.json:
        show_json(tested.told())
    elif tested.problems:
        show_problems(tested.problems)
    else:
        tested.show()
    return 0 if tested.good else 1


def _elsewhere(read: argparse.Namespace) -> int:
    """The tests that lie beside the policies of another machine."""
    if read.globs or read.junit is not None:
        read.wrong("with --server all its cases are asked, and told here: without CASE and --junit")
    from bartizan.cli.elsewhere import tested

    return tested(read)


def _tested(read: argparse.Namespace) -> Tested | str:
    """What came of it; or why there is nothing to test, in a sentence."""
    began = time.monotonic()
    files = case_files(read.files)
    made, reading = compiled(files.policies), files.read()
    if not isinstance(made, Compiled):
        return Tested("", problems=(*made, *reading.problems))
    if reading.problems:
        return Tested("", problems=reading.problems)
    if not reading.found and not reading.invariants:
        return f"there are no cases in {read.files}. {_NONE}"
    every: tuple[Found | FoundInvariant, ...] = (*reading.found, *reading.invariants)
    if missing := [glob for glob in read.globs if not any(_matches(one, glob) for one in every)]:
        return _nothing(missing[0], every)
    asked, wrong = trials(_chosen(reading.found, read.globs), made)
    invariants, judge = tuple(_chosen(reading.invariants, read.globs)), Judge(made)
    if problems := (*wrong, *judge.problems(invariants)):
        return Tested("", problems=tuple(sorted(problems)))
    found, held = asyncio.run(_outcomes(made, asked, judge, invariants))
    declared = {policy.id: policy.model_dump(mode="json", by_alias=True) for policy in made.snapshot.policies}
    return Tested(made.snapshot.revision, tuple(found), declared, time.monotonic() - began, invariants=tuple(held))


async def _outcomes(
    made: Compiled, asked: Iterable[Trial], judge: Judge, invariants: Iterable[FoundInvariant]
) -> tuple[list[Outcome], list[Kept]]:
    async with Scratch(made.snapshot) as scratch:
        return await outcomes(scratch, asked), await kept(scratch, judge, invariants)


_One = TypeVar("_One", Found, FoundInvariant)


def _chosen(found: Iterable[_One], globs: Sequence[str]) -> Iterator[_One]:
    return (one for one in found if not globs or any(_matches(one, glob) for glob in globs))


def _matches(one: Found | FoundInvariant, glob: str) -> bool:
    return one.name == glob or fnmatchcase(one.name, glob)


def _nothing(glob: str, found: Iterable[Found | FoundInvariant]) -> str:
    near = get_close_matches(glob, [one.name for one in found], n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}?" if near else "Quote it, so that the shell leaves it alone, and use * for what you leave out."
    return f"no case is called {glob!r}. {hint}"
