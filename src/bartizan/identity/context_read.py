"""Reads what a context source says. Everything that is wrong with it is a Problem; with one, nothing of it counts.

```json
{"subjects": {"acme": {"on_call": true}, "https://idp.example.com|ines": {"clearance": 3, "teams": ["a", "b"]}}}
```
"""

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import orjson

from bartizan.errors import Invalid, TooMany
from bartizan.identity.context import OTHER, Values
from bartizan.model.attributes import attribute_problem, has_type, text_problem
from bartizan.model.context import ContextSource
from bartizan.model.problem import Place, Problem

MOST_BYTES = 32 << 20
"""Of all that a source says at once."""
MOST_SUBJECTS = 100_000
"""Of one source."""
MOST_OTHERS = 20_000
"""Of them, those that are no consumers: Envoy holds them in one table."""
_TOLD = 20
_FORM = 'It is {"subjects": {NAME: {ATTRIBUTE: VALUE}}}.'
Types = Mapping[str, str]


def read(body: bytes, source: ContextSource, types: Types) -> dict[str, Values]:
    """What it says, of whom; `types` are the Gateway's attributes. Invalid with what is wrong."""
    try:
        whole = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _invalid(source, [_problem(source, "", "not-json", f"it isn't JSON: {error.msg}", _FORM)]) from None
    if not isinstance(whole, dict) or set(whole) != {"subjects"} or not isinstance(whole["subjects"], dict):
        raise _invalid(source, [_problem(source, "", "context-form", "it isn't in the form that is read here", _FORM)])
    return checked(whole["subjects"], source, types)


def checked(subjects: Mapping[str, Any], source: ContextSource, types: Types) -> dict[str, Values]:
    """The same of what is JSON already. What is null isn't said."""
    problems: list[Problem] = []
    for problem in _problems(subjects, source, types):
        problems.append(problem)
        if len(problems) == _TOLD:
            break
    if problems:
        raise _invalid(source, problems)
    return {one: {name: value for name, value in values.items() if value is not None} for one, values in subjects.items()}


def check_room(held: Collection[str], subject: str) -> None:
    """TooMany if there is no room for one more subject beside those that are held."""
    if subject in held:
        return
    full = len(held) >= MOST_SUBJECTS or (OTHER in subject and sum(OTHER in one for one in held) >= MOST_OTHERS)
    if full:
        told = f"A source tells of {MOST_SUBJECTS} subjects at most, and of {MOST_OTHERS} that are no consumers."
        raise TooMany(told, code="context-too-large")


def _problems(subjects: Mapping[str, Any], source: ContextSource, types: Types) -> Iterator[Problem]:
    others = sum(OTHER in one for one in subjects)
    if len(subjects) > MOST_SUBJECTS or others > MOST_OTHERS:
        told = f"there are {len(subjects)} subjects, {others} of them no consumers"
        yield _problem(source, "", "context-too-large", told, f"A source tells of {MOST_SUBJECTS} at most, and of {MOST_OTHERS} such.")
        return
    for subject, values in subjects.items():
        if wrong := text_problem(subject):
            yield _problem(source, subject[:64], "subject-invalid", f"the name of a subject {wrong}", "")
        elif not isinstance(values, dict):
            yield _problem(source, subject, "context-form", "what is said of a subject are attributes with their values", _FORM)
        else:
            yield from _of_subject(subject, values, source, types)


def _of_subject(subject: str, values: Mapping[str, Any], source: ContextSource, types: Types) -> Iterator[Problem]:
    for name, value in values.items():
        at = f"{subject}: {name[:64]}"
        if name not in source.attributes or name not in types:
            near = get_close_matches(name, source.attributes, n=1, cutoff=0.6)
            hint = f"Did you mean {near[0]!r}?" if near else f"It tells: {', '.join(source.attributes)}."
            yield _problem(source, at, "attribute-undeclared", f"this source doesn't tell the attribute {name[:64]!r}", hint)
        elif value is None:
            continue
        elif not has_type(value, types[name]):
            yield _problem(source, at, "attribute-type", f"the attribute {name!r} is declared as a {types[name]}", "")
        elif wrong := attribute_problem(value):
            yield _problem(source, at, "attribute-value", f"the attribute {name!r} {wrong}", "")


def _problem(source: ContextSource, path: str, code: str, message: str, hint: str) -> Problem:
    return Problem(Place(f"context/{source.name}", 0, path), code, message, hint)


def _invalid(source: ContextSource, problems: list[Problem]) -> Invalid:
    return Invalid(f"What ContextSource/{source.name} says can't be taken: {problems[0].message}.", problems=tuple(problems))
