"""Keys of another gateway, as a file lists them: JSON lines or CSV. What is wrong is told by its line, and never with a key's text."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from bartizan.identity.key_record import WantedKey
from bartizan.identity.key_text import brought_problem
from bartizan.identity.scopes import scopes_problem
from bartizan.model.attributes import text_problem
from bartizan.model.fields import is_name
from bartizan.model.problem import Place, Problem
from bartizan.secrets.sealed import Secret

FIELDS = ("consumer", "key", "name", "expires", "scopes")
MOST = 100_000
_HINT = f"Each line has {', '.join(FIELDS[:2])} and, if there is one, {', '.join(FIELDS[2:])}."


@dataclass(frozen=True, slots=True)
class Brought:
    """One key of the file."""

    line: int
    wanted: WantedKey
    key: Secret


class _Wrong(ValueError):
    """What is wrong with a line."""


def keys_of(content: bytes, file: str, now: float) -> tuple[list[Brought], list[Problem]]:
    """The keys, and all that is wrong with them. A key that has expired at `now` is told, too."""
    found: list[Brought] = []
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    for line, fields in _lines(content):
        try:
            one = _read(line, fields, now)
            if (earlier := seen.setdefault(one.key.reveal(), line)) != line:
                raise _Wrong(f"its key is that of line {earlier}")
            found.append(one)
        except _Wrong as error:
            problems.append(problem(file, line, "key-import", str(error), _HINT))
    if not found and not problems:
        problems.append(problem(file, 1, "key-import", "there is no key in it", _HINT))
    if len(found) > MOST:
        problems.append(problem(file, 1, "key-import", f"it holds more than {MOST} keys", "Bring them along in several files."))
    return found, problems


def problem(file: str, line: int, code: str, message: str, hint: str = "") -> Problem:
    """What is wrong with a line of the file."""
    return Problem(Place(file, line, ""), code, message, hint)


def _lines(content: bytes) -> Iterator[tuple[int, Mapping[str, Any] | None]]:
    """Each line's number, and what it says; None if it can't be read."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        yield 1, None
        return
    if text.lstrip().startswith("{"):
        for line, one in enumerate(text.split("\n"), 1):
            if one.strip():
                yield line, _json(one)
        return
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            yield reader.line_num, {name: value for name, value in row.items() if value != ""}
    except csv.Error:
        yield reader.line_num, None


def _json(line: str) -> Mapping[str, Any] | None:
    try:
        told = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return told if isinstance(told, dict) else None


def _read(line: int, fields: Mapping[str, Any] | None, now: float) -> Brought:
    if fields is None:
        raise _Wrong("it can't be read")
    # What isn't known isn't named: it may be a key in the wrong column.
    if unknown := [name for name in fields if name not in FIELDS]:
        raise _Wrong(f"it has {len(unknown)} more field{'s' if len(unknown) > 1 else ''} than there are")
    consumer, name, key = (_text(fields, field) for field in ("consumer", "name", "key"))
    if not is_name(consumer):
        raise _Wrong("its consumer isn't the name of one" if consumer else "it names no consumer")
    if name and (wrong := text_problem(name)):
        raise _Wrong(f"its name {wrong}")
    if wrong := brought_problem(key):
        raise _Wrong(f"its key {wrong}")
    scopes = _scopes(fields.get("scopes"))
    if wrong := scopes_problem(scopes):
        raise _Wrong("its scopes can't be some" if key in wrong else wrong.removesuffix("."))
    return Brought(line, WantedKey(consumer, name, _expires(fields.get("expires"), now), scopes), Secret(key))


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name) or ""
    if not isinstance(value, str):
        raise _Wrong(f"its {name} is no text")
    return value


def _scopes(value: Any) -> tuple[str, ...]:
    if value is None or isinstance(value, str):
        return tuple((value or "").split())
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    raise _Wrong("its scopes are neither a list of texts nor words")


def _expires(value: Any, now: float) -> float | None:
    """In seconds since the epoch: so it may be written, or with its zone."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) and not value.isdecimal() else None
        seconds = float(value) if moment is None else moment.timestamp() if moment.tzinfo is not None else None
    except (ValueError, TypeError, OverflowError):
        seconds = None
    if seconds is None or not 0 < seconds < 1e11:
        raise _Wrong("its end is no time such as 2026-12-31T18:00:00Z")
    if seconds <= now:
        raise _Wrong("it has expired")
    return seconds
