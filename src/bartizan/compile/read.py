"""Reads documents into resources, and resources into a snapshot. Collects every Problem; pure but for the files it is handed."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from bartizan.compile.crosscheck import cross_problems
from bartizan.lib.yaml import Document, YamlError, documents
from bartizan.model.api import Api
from bartizan.model.consumer import Consumer, Issuer
from bartizan.model.context import ContextSource
from bartizan.model.device import Device
from bartizan.model.gateway import Gateway
from bartizan.model.problem import Place, Problem
from bartizan.model.snapshot import Key, Resource, Share, Snapshot, share_of, snapshot_of
from bartizan.policies import KINDS, PolicyKind

_ALL: tuple[type[BaseModel], ...] = (Gateway, Api, Consumer, Issuer, Device, ContextSource, *KINDS)
TYPES: Mapping[str, type[BaseModel]] = {one.model_fields["kind"].default: one for one in _ALL}


@dataclass(frozen=True, slots=True)
class Read:
    """What a text held: what it declares, what is wrong with it, and the files that its policies name."""

    share: Share
    problems: tuple[Problem, ...]
    named: tuple[tuple[str, Resource], ...] = ()

    @property
    def resources(self) -> tuple[Resource, ...]:
        """What it declares, in its order."""
        return self.share.resources


def read(text: str, file: str) -> Read:
    """The resources in the YAML documents of `text`."""
    found: list[Document] = []
    try:
        for document in documents(text):
            found.append(document)
    except YamlError as error:
        return read_documents(found, file, Problem(Place(file, error.line), "yaml-unreadable", str(error)))
    return read_documents(found, file)


def read_documents(found: Iterable[Document], file: str, *problem: Problem) -> Read:
    """The resources in these documents; `problem` is what keeps further ones from being read."""
    resources: list[Resource] = []
    problems: list[Problem] = []
    for document in found:
        made = _resource(document, file)
        if isinstance(made, Resource):
            resources.append(made)
        else:
            problems += made
    problems += problem
    policies = [(one, one.value) for one in resources if isinstance(one.value, PolicyKind)]
    return Read(share_of(tuple(resources)), tuple(problems), tuple((name, one) for one, policy in policies for name in policy.file_names()))


def _resource(document: Document, file: str) -> Resource | list[Problem]:
    value = document.value
    at = Place(file, document.line(()))
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        return [Problem(at, "kind-missing", "a document says what it is with `kind:`", f"Kinds: {', '.join(TYPES)}.")]
    kind = value["kind"]
    if kind not in TYPES:
        near = get_close_matches(kind, TYPES, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]}?" if near else f"Kinds: {', '.join(TYPES)}."
        return [Problem(Place(file, document.line(("kind",)), "kind"), "kind-unknown", f"there is no kind {kind!r}", hint)]
    name = value.get("name")
    try:
        made: Any = TYPES[kind].model_validate(value)
    except ValidationError as error:
        owner = f"{kind}/{name}" if isinstance(name, str) else kind
        return [
            _field_problem(document, file, owner, detail, TYPES[kind]) for detail in error.errors(include_url=False, include_input=False)
        ]
    return Resource(kind, made.name, made, file, document, _digest(made))


def _digest(made: BaseModel) -> str:
    """A hash of what it says, however it is written. What is as by default doesn't count: else a version that knows one more field would
    give every revision another name."""
    told = made.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def _field_problem(document: Document, file: str, owner: str, detail: Any, model: type[BaseModel]) -> Problem:
    # Names of models in a union are no part of the way. The field itself may look like one, if nobody knows it.
    end = detail["loc"][-1:] if detail["type"] in {"extra_forbidden", "missing"} else ()
    way = detail["loc"][: len(detail["loc"]) - len(end)]
    path = (*(part for part in way if not (isinstance(part, str) and (part[:1].isupper() or "[" in part))), *end)
    dots = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    message, hint = detail["msg"].removeprefix("Value error, "), ""
    if detail["type"] == "extra_forbidden":
        names = [field.alias or name for name, field in model.model_fields.items()]
        near = get_close_matches(str(path[-1]), names, n=1, cutoff=0.6)
        message = f"there is no field {path[-1]!r} here"
        hint = f"Did you mean {near[0]!r}?" if near else (f"Fields: {', '.join(names)}." if len(path) == 1 else "")
    elif detail["type"] == "missing":
        message = f"the field {path[-1]!r} is missing"
    return Problem(
        Place(file, document.line(path), f"{owner}: {dots}" if dots else owner), "field-" + detail["type"].replace("_", "-"), message, hint
    )


def assemble(reads: Iterable[Read], files: Mapping[str, bytes], before: Snapshot | None = None) -> Snapshot | tuple[Problem, ...]:
    """The snapshot of everything read, or every problem there is. `before` is the last good one, whose checks needn't be made again."""
    reads = tuple(reads)
    problems = {problem for one in reads for problem in one.problems}
    keys: set[Key] = set().union(*(one.share.by_key for one in reads))
    if len(keys) != sum(len(one.resources) for one in reads):
        problems.update(_twice(reads))
    gateways = [resource for one in reads if one.share.gateways for resource in one.resources if resource.kind == "Gateway"]
    if len(gateways) != 1 and not problems:
        at = gateways[1].place() if gateways else Place(".", 1)
        told = f"there must be exactly one Gateway; there are {len(gateways)}"
        problems.add(Problem(at, "gateway-count", told, "Declare one with `kind: Gateway`."))
    if problems or len(gateways) != 1:
        return tuple(sorted(problems))
    snapshot = snapshot_of((one.share for one in reads), files)
    return tuple(sorted(faults)) if (faults := set(cross_problems(snapshot, before))) else snapshot


def _twice(reads: Iterable[Read]) -> Iterator[Problem]:
    known: dict[Key, Resource] = {}
    for resource in (resource for one in reads for resource in one.resources):
        first = known.setdefault(resource.key, resource)
        if first is not resource:
            told = f"{resource.kind} {resource.name!r} is declared twice"
            yield Problem(resource.place(), "name-taken", told, f"The other: {first.place()}")
