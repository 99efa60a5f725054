"""Reads test files into cases. What is wrong with them is a Problem, as with resources.

A document is a mapping with `cases` and what they share in `given`, and `invariants`; or a list of cases; or one case or invariant.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bartizan.cases.case import Caller, Case, Device, Given, Suite
from bartizan.cases.invariant import Invariant, Reach
from bartizan.lib.yaml import Document, YamlError, documents
from bartizan.lib.yaml import Path as YamlPath
from bartizan.model.fields import Declared
from bartizan.model.problem import Place, Problem
from bartizan.model.snapshot import dotted
from bartizan.rollout.folder import TESTS

_MODELS: Mapping[str | int, type[Declared]] = {
    "given": Given,
    "principal": Caller,
    "device": Device,
    "never": Reach,
    "only": Reach,
}
_ITEMS: Mapping[str | int, type[Declared]] = {"cases": Case, "invariants": Invariant}


@dataclass(frozen=True, slots=True)
class Found:
    """A case where it was found."""

    case: Case
    given: Given
    """What it gives and what its document shares."""
    file: str
    document: Document
    path: YamlPath
    """Where in the document it stands."""

    @property
    def name(self) -> str:
        """What it shows."""
        return self.case.name

    def place(self, *path: str | int) -> Place:
        """Where the case's field at `path` stands. One of `given` that is shared stands where it is shared."""
        if path[:1] == ("given",) and len(path) > 1 and path[1] not in self.case.given.model_fields_set and self.path:
            return Place(self.file, self.document.line(path), dotted(path))
        line = self.document.line((*self.path, *path))
        return Place(self.file, line, f"{self.case.name}: {dotted(path)}" if path else self.case.name)


@dataclass(frozen=True, slots=True)
class FoundInvariant:
    """An invariant where it was found."""

    invariant: Invariant
    file: str
    document: Document
    path: YamlPath

    @property
    def name(self) -> str:
        """What it says."""
        return self.invariant.name

    def place(self, *path: str | int) -> Place:
        """Where its field at `path` stands."""
        line = self.document.line((*self.path, *path))
        return Place(self.file, line, f"{self.name}: {dotted(path)}" if path else self.name)


@dataclass(frozen=True, slots=True)
class Reading:
    """The cases and invariants of a text or of several, and what is wrong with them."""

    found: tuple[Found, ...]
    problems: tuple[Problem, ...]
    invariants: tuple[FoundInvariant, ...] = ()


@dataclass(frozen=True, slots=True)
class CaseFiles:
    """The policies that are tested, a file or a folder, and the files that test them."""

    policies: Path
    paths: tuple[Path, ...]

    def read(self) -> Reading:
        """Reads them all."""
        base = self.policies if self.policies.is_dir() else self.policies.parent
        readings = [_read_file(path, str(path.relative_to(base))) for path in self.paths]
        return Reading(
            tuple(found for one in readings for found in one.found),
            tuple(problem for one in readings for problem in one.problems),
            tuple(found for one in readings for found in one.invariants),
        )


def case_files(root: Path) -> CaseFiles:
    """What `root` names: a folder with the test files in it; a file of resources with the test file of its name; or a test file,
    which tests the folder that it stands in."""
    if root.is_dir():
        return CaseFiles(root, tuple(_below(root)))
    if root.name.endswith(TESTS):
        return CaseFiles(root.parent, (root,))
    return CaseFiles(root, tuple(path for path in (root.with_name(root.stem + ending) for ending in TESTS) if path.is_file()))


def _below(root: Path) -> Iterator[Path]:
    """In the order of their names, without hidden ones: as resources are found."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(files) if name.endswith(TESTS) and not name.startswith("."))


def _read_file(path: Path, name: str) -> Reading:
    try:
        return read(path.read_text(encoding="utf-8"), name)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it isn't UTF-8 text"
        problem = Problem(Place(name, 1), "file-unreadable", f"the file can't be read: {why}", "Check its name and its permissions.")
        return Reading((), (problem,))


def read(text: str, file: str) -> Reading:
    """The cases and invariants of a test file's text."""
    found: list[Found] = []
    invariants: list[FoundInvariant] = []
    problems: list[Problem] = []
    try:
        for document in documents(text):
            one = _document(document, file)
            found += one.found
            invariants += one.invariants
            problems += one.problems
    except YamlError as error:
        problems.append(Problem(Place(file, error.line), "yaml-unreadable", str(error)))
    return Reading(tuple(found), (*problems, *_twice(found), *_twice(invariants)), tuple(invariants))


def _twice(found: Sequence[Found] | Sequence[FoundInvariant]) -> Iterator[Problem]:
    known: dict[str, Found | FoundInvariant] = {}
    for one in found:
        first = known.setdefault(one.name, one)
        if first is not one:
            kind = "cases" if isinstance(one, Found) else "invariants"
            yield Problem(one.place("name"), "name-taken", f"there are two {kind} {one.name!r}", f"The other: {first.place()}")


def _document(document: Document, file: str) -> Reading:
    value, skipped = document.value, 0
    if isinstance(value, dict) and "kind" in value:
        hint = "Resources stand in files whose names end otherwise: the gateway passes this one by."
        told = "a test file holds cases, and declares nothing"
        return Reading((), (Problem(Place(file, document.line(("kind",)), "kind"), "kind-in-test", told, hint),))
    if isinstance(value, list):
        value, skipped = {"cases": value}, 1
    elif isinstance(value, dict) and not value.keys() & {"cases", "invariants"} and value.keys() & {"never", "only"}:
        value, skipped = {"invariants": [value]}, 2
    elif isinstance(value, dict) and not value.keys() & {"cases", "invariants"} and ("name" in value or "expect" in value):
        value, skipped = {"cases": [value]}, 2
    elif not isinstance(value, dict):
        told = "a test file holds cases: each has a `name`, what is `given`, and `expect: allow` or `expect: refuse`"
        return Reading((), (Problem(Place(file, document.line(())), "case-missing", told),))
    try:
        suite = Suite.model_validate(value)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        return Reading((), tuple(_problem(value, detail, skipped, document, file) for detail in errors))
    found = tuple(Found(case, case.given.over(suite.given), file, document, ("cases", i)[skipped:]) for i, case in enumerate(suite.cases))
    kept = tuple(FoundInvariant(one, file, document, ("invariants", i)[skipped:]) for i, one in enumerate(suite.invariants))
    return Reading(found, tuple(_incomplete(found)), kept)


def _incomplete(found: tuple[Found, ...]) -> Iterator[Problem]:
    for one in found:
        if not one.given.path:
            yield Problem(one.place("given"), "field-missing", "the field 'path' is missing", "A request has a path, such as /orders.")


def _problem(value: Mapping[str, Any], detail: Any, skipped: int, document: Document, file: str) -> Problem:
    loc: YamlPath = detail["loc"]
    message, hint = detail["msg"].removeprefix("Value error, "), ""
    if detail["type"] == "extra_forbidden":
        above = loc[-2] if len(loc) > 1 else ""
        model = _ITEMS[loc[0]] if isinstance(above, int) else _MODELS.get(above, Suite)
        near = get_close_matches(str(loc[-1]), model.model_fields, n=1, cutoff=0.6)
        message = f"there is no field {loc[-1]!r} here"
        hint = f"Did you mean {near[0]!r}?" if near else f"Fields: {', '.join(model.model_fields)}."
    elif detail["type"] == "missing":
        message = f"the field {loc[-1]!r} is missing"
    at = Place(file, document.line(loc[skipped:]), _owner(value, loc))
    return Problem(at, "field-" + detail["type"].replace("_", "-"), message, hint)


def _owner(value: Mapping[str, Any], loc: YamlPath) -> str:
    """The field, behind the name of its case or invariant if it is one's."""
    if loc[:1] not in {("cases",), ("invariants",)} or len(loc) < 2:
        return dotted(loc)
    item, number = value[str(loc[0])][loc[1]], int(loc[1])
    name = item.get("name") if isinstance(item, dict) else None
    owner = name if isinstance(name, str) and name else f"{str(loc[0])[:-1]} {number + 1}"
    return f"{owner}: {dotted(loc[2:])}" if len(loc) > 2 else owner
