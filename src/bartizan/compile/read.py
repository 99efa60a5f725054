"""Reads documents into resources, and resources into a snapshot. Collects every Problem; pure but for the files it is handed."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from bartizan.condition import Schema
from bartizan.lib.yaml import Document, YamlError, documents
from bartizan.model.api import Api
from bartizan.model.consumer import Consumer, Issuer
from bartizan.model.gateway import Gateway
from bartizan.model.problem import Place, Problem
from bartizan.model.snapshot import Key, Resource, Snapshot, snapshot_of
from bartizan.policies import KINDS, PolicyKind

TYPES: Mapping[str, type[BaseModel]] = {
    kind.model_fields["kind"].default: kind for kind in (Gateway, Api, Consumer, Issuer, *KINDS)
}


@dataclass(frozen=True, slots=True)
class Read:
    """What a text held: resources, and what is wrong with it."""

    resources: tuple[Resource, ...]
    problems: tuple[Problem, ...]


def read(text: str, file: str) -> Read:
    """The resources in the YAML documents of `text`."""
    resources: list[Resource] = []
    problems: list[Problem] = []
    try:
        for document in documents(text):
            found = _resource(document, file)
            if isinstance(found, Resource):
                resources.append(found)
            else:
                problems += found
    except YamlError as error:
        problems.append(Problem(Place(file, error.line), "yaml-unreadable", str(error)))
    return Read(tuple(resources), tuple(problems))


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
        return [_field_problem(document, file, owner, detail, TYPES[kind]) for detail in error.errors(include_url=False, include_input=False)]
    digest = hashlib.sha256(orjson.dumps(made.model_dump(mode="json", by_alias=True), option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    return Resource(kind, made.name, made, file, document, digest)


def _field_problem(document: Document, file: str, owner: str, detail: Any, model: type[BaseModel]) -> Problem:
    path = tuple(part for part in detail["loc"] if not (isinstance(part, str) and (part[:1].isupper() or "[" in part)))
    dots = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    message, hint = detail["msg"].removeprefix("Value error, "), ""
    if detail["type"] == "extra_forbidden":
        names = [field.alias or name for name, field in model.model_fields.items()]
        near = get_close_matches(str(path[-1]), names, n=1, cutoff=0.6)
        message = f"there is no field {path[-1]!r} here"
        hint = f"Did you mean {near[0]!r}?" if near else (f"Fields: {', '.join(names)}." if len(path) == 1 else "")
    elif detail["type"] == "missing":
        message = f"the field {path[-1]!r} is missing"
    return Problem(Place(file, document.line(path), f"{owner}: {dots}" if dots else owner), "field-" + detail["type"].replace("_", "-"), message, hint)


def assemble(reads: Iterable[Read], files: Mapping[str, bytes]) -> Snapshot | tuple[Problem, ...]:
    """The snapshot of everything read, or every problem there is."""
    problems: list[Problem] = []
    resources: dict[Key, Resource] = {}
    gateways: list[Resource] = []
    for one in reads:
        problems += one.problems
        for resource in one.resources:
            if resource.kind == "Gateway":
                gateways.append(resource)
            known = resources.setdefault(resource.key, resource)
            if known is not resource:
                problems.append(Problem(resource.place(), "name-taken", f"{resource.kind} {resource.name!r} is declared twice", f"The other: {known.place()}"))
    if len(gateways) != 1 and not problems:
        at = gateways[1].place() if gateways else Place(".", 1)
        problems.append(Problem(at, "gateway-count", f"there must be exactly one Gateway; there are {len(gateways)}", "Declare one with `kind: Gateway`."))
    if problems or len(gateways) != 1:
        return tuple(sorted(set(problems)))
    snapshot = snapshot_of(resources, files)
    return tuple(sorted(faults)) if (faults := set(_cross_checks(snapshot))) else snapshot


def _cross_checks(snapshot: Snapshot) -> Iterator[Problem]:
    schema = Schema(snapshot.gateway.attributes)
    known = {"Api": snapshot.apis.keys(), "Issuer": snapshot.issuers.keys(), "Listener": {one.name for one in snapshot.gateway.listeners}}
    known["CA"] = {ca for policy in snapshot.policies for ca in getattr(policy, "client_cas", {})}
    for policy in snapshot.policies:
        if isinstance(policy, PolicyKind):
            yield from _policy_problems(policy, snapshot.resource(policy), schema, snapshot.files)
            yield from _dangling(policy, snapshot.resource(policy), known)
    for consumer in snapshot.consumers.values():
        yield from _attribute_problems(consumer, snapshot)
    for issuer in snapshot.issuers.values():
        for name in issuer.attributes:
            if name not in snapshot.gateway.attributes:
                yield _undeclared(snapshot.resource(issuer), ("attributes", name), name, snapshot.gateway)


def _policy_problems(policy: PolicyKind, resource: Resource, schema: Schema, files: Mapping[str, bytes]) -> Iterator[Problem]:
    for fault in policy.faults(schema, files):
        yield Problem(resource.place(fault.path), fault.code, fault.message, fault.hint)
    if policy.mode == "shadow" and not policy.may_shadow:
        yield Problem(resource.place(("mode",)), "mode-unsupported", f"a {policy.kind} can't be put in shadow", "Use enforce.")
    if policy.floor and policy.mode != "enforce":
        yield Problem(resource.place(("mode",)), "floor-weakened", "a floor is enforced, always", "Take `floor: true` away first, if that is what you mean.")
    if policy.floor and policy.target.exclude:
        yield Problem(resource.place(("target", "except")), "floor-weakened", "a floor leaves nothing out", "Narrow its paths, or take `floor: true` away.")


def _dangling(policy: PolicyKind, resource: Resource, known: Mapping[str, Any]) -> Iterator[Problem]:
    references = [(reference.path, reference.kind, reference.name) for reference in policy.references()]
    if policy.target.api is not None:
        references.append((("target", "api"), "Api", policy.target.api))
    if policy.target.listener is not None:
        references.append((("target", "listener"), "Listener", policy.target.listener))
    for path, kind, name in references:
        if name not in known.get(kind, ()):
            near = get_close_matches(name, list(known.get(kind, ())), n=1, cutoff=0.5)
            yield Problem(
                resource.place(path), f"{kind.lower()}-unknown", f"there is no {kind} {name!r}", f"Did you mean {near[0]!r}?" if near else ""
            )


def _undeclared(resource: Resource, path: tuple[str, ...], name: str, gateway: Gateway) -> Problem:
    declared = ", ".join(gateway.attributes) or "none"
    return Problem(resource.place(path), "attribute-undeclared", f"the Gateway declares no attribute {name!r}", f"Declared: {declared}.")


def _attribute_problems(consumer: Consumer, snapshot: Snapshot) -> Iterator[Problem]:
    resource = snapshot.resource(consumer)
    for name, value in consumer.attributes.items():
        declared = snapshot.gateway.attributes.get(name)
        if declared is None:
            yield _undeclared(resource, ("attributes", name), name, snapshot.gateway)
        elif not _has_type(value, declared):
            yield Problem(resource.place(("attributes", name)), "attribute-type", f"the attribute {name!r} is declared as a {declared}", "")
        elif any(not _is_plain(text) for text in (value if isinstance(value, list) else [value])):
            yield Problem(
                resource.place(("attributes", name)), "attribute-value", "an attribute's text holds up to 256 printable characters and no ';'", ""
            )
    for i, group in enumerate(consumer.groups):
        if not _is_plain(group):
            yield Problem(resource.place(("groups", i)), "attribute-value", "a group's name holds up to 256 printable characters and no ';'", "")


def _is_plain(value: Any) -> bool:
    return not isinstance(value, str) or (value.isprintable() and ";" not in value and 0 < len(value) <= 256)


def _has_type(value: Any, declared: str) -> bool:
    if declared == "bool":
        return isinstance(value, bool)
    if declared == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if declared == "list":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, str)
