"""The AWS document: read whole, with every mistake in it.

Anything that can't be honoured exactly is a mistake: a field, an action, a principal, an operator, a key or a value that isn't known.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bartizan.condition import Schema
from bartizan.policies._kind import Reference
from bartizan.policies.resource_policy.conditions import Test, tests
from bartizan.policies.resource_policy.glob import VariableError, matches, read
from bartizan.policies.resource_policy.notes import Notes, Path, Refused
from bartizan.policies.resource_policy.principals import Principals, principals
from bartizan.policies.resource_policy.resources import Pattern, pattern

INVOKE = "execute-api:Invoke"
LONGEST = 20_480
"""Characters of a document. AWS takes 8,192 for an API, unless asked for more."""
_AT: Path = ("document",)
_FIELDS = ("Version", "Id", "Statement")
_STATEMENT_FIELDS = ("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition")
Effect = Literal["Allow", "Deny"]


@dataclass(frozen=True, slots=True)
class Resources:
    """The requests that a statement names: those of the patterns, or all but those."""

    named: tuple[tuple[Path, Pattern], ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement."""

    effect: Effect
    principals: Principals
    resources: Resources
    tests: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A document as it was read."""

    statements: tuple[Statement, ...]
    notes: Notes


def reading(document: Mapping[str, Any], schema: Schema) -> Reading:
    """The document's statements, and what is wrong with it. Statements with mistakes are left out."""
    notes = Notes(schema)
    if not notes.attempt(_AT, _check_size, document):
        return Reading((), notes)
    _check_fields(document, _FIELDS, _AT, notes)
    version = document.get("Version", "2008-10-17")
    if version not in ("2012-10-17", "2008-10-17"):
        notes.wrong((*_AT, "Version"), "document-version", f"there is no Version {version!r}", "Write '2012-10-17'.")
    notes.variables = version != "2008-10-17"
    _check_text(document, "Id", _AT, notes)
    if "Statement" not in document:
        notes.wrong(_AT, "document-missing", "the document has no Statement", "Add one; without any, everything is denied.")
        return Reading((), notes)
    sids: set[str] = set()
    found = [_statement(one, path, sids, notes) for path, one in notes.items(document["Statement"], (*_AT, "Statement"))]
    return Reading(tuple(one for one in found if one is not None), notes)


def _check_size(document: Mapping[str, Any]) -> bool:
    try:
        length = len(json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=str).encode())
    except UnicodeEncodeError as error:
        raise Refused("document-type", "the document holds characters that are none", "Take lone surrogates out.") from error
    if length > LONGEST:
        raise Refused("document-too-large", f"the document has {length} bytes; {LONGEST} are allowed", "Split it by API or path.")
    return True


def _check_fields(value: Mapping[str, Any], known: tuple[str, ...], path: Path, notes: Notes) -> None:
    for name in value:
        if name not in known:
            near = [each for each in known if each.lower() == name.lower()]
            hint = f"Did you mean {near[0]}?" if near else f"Fields: {', '.join(known)}."
            notes.wrong((*path, name), "document-field-unknown", f"there is no field {name!r} here", hint)


def _check_text(value: Mapping[str, Any], name: str, path: Path, notes: Notes) -> None:
    if not isinstance(value.get(name, ""), str):
        notes.wrong((*path, name), "document-type", f"{name} is a text", "Write it in quotes.")


def _statement(value: Any, path: Path, sids: set[str], notes: Notes) -> Statement | None:
    if not isinstance(value, dict):
        notes.wrong(path, "document-type", "a statement holds names and values", f"Fields: {', '.join(_STATEMENT_FIELDS)}.")
        return None
    before = len(notes.faults)
    _check_fields(value, _STATEMENT_FIELDS, path, notes)
    _check_sid(value, path, sids, notes)
    effect: Effect | None = value.get("Effect")
    if effect not in get_args(Effect):
        notes.wrong(
            (*path, "Effect") if "Effect" in value else path, "document-effect", f"there is no Effect {effect!r}", "Write Allow or Deny."
        )
    who = _one_of("Principal", value, path, notes)
    action = _one_of("Action", value, path, notes)
    resource = _one_of("Resource", value, path, notes)
    asked = tuple(tests(value["Condition"], (*path, "Condition"), notes)) if "Condition" in value else ()
    if action is not None:
        _check_actions(value[action], (*path, action), notes)
    if who == "NotPrincipal" and effect == "Allow":
        hint = "Name the callers in Principal, or deny those in a statement of its own."
        notes.wrong((*path, who), "principal-exception", "NotPrincipal can't stand with Allow: AWS doesn't take it", hint)
    if effect is None or who is None or resource is None:
        return None
    named = principals(value[who], (*path, who), who == "NotPrincipal", notes)
    patterns = Resources(tuple(_patterns(value[resource], (*path, resource), notes)), resource == "NotResource")
    return Statement(effect, named, patterns, asked) if len(notes.faults) == before else None


def _check_sid(value: Mapping[str, Any], path: Path, sids: set[str], notes: Notes) -> None:
    _check_text(value, "Sid", path, notes)
    sid = value.get("Sid", "")
    if isinstance(sid, str) and sid and sid in sids:
        notes.wrong((*path, "Sid"), "document-duplicate", f"two statements have the Sid {sid!r}", "Each Sid stands for one statement.")
    if isinstance(sid, str):
        sids.add(sid)


def _one_of(name: str, value: Mapping[str, Any], path: Path, notes: Notes) -> str | None:
    """Which of an element and its Not form is there."""
    found = [each for each in (name, f"Not{name}") if each in value]
    if len(found) == 1:
        return found[0]
    message = f"the statement has both {name} and Not{name}" if found else f"the statement has no {name}"
    notes.wrong(path, "document-missing", message, f"Write one of {name} and Not{name}.")
    return None


def _check_actions(value: Any, path: Path, notes: Notes) -> None:
    """Requests are execute-api:Invoke: in Action each entry must mean that; in NotAction none may, or the statement is about nothing."""
    negated = path[-1] == "NotAction"
    for where, text in notes.texts(value, path):
        try:
            means = matches(read(text), INVOKE, fold=True)
        except VariableError:
            means = negated
        if negated and means:
            notes.wrong(
                where,
                "action-unsupported",
                f"all but {text!r} is nothing: requests are {INVOKE}",
                f"Take it out, or write Action: {INVOKE}.",
            )
        elif not means and not (negated and ":" in text):
            notes.wrong(where, "action-unsupported", f"no request is a {text!r}", f"Write {INVOKE}, execute-api:* or *.")


def _patterns(value: Any, path: Path, notes: Notes) -> Iterator[tuple[Path, Pattern]]:
    for where, text in notes.texts(value, path):
        found = notes.attempt(where, pattern, text, notes.variables)
        if found is not None:
            yield where, found
            if found.api is not None:
                notes.references.append(Reference(where, "Api", found.api))
