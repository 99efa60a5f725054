"""What people see: colour on a terminal only, JSON when asked for."""

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from bartizan.model.problem import Problem

_COLOURS = {"red": 31, "green": 32, "yellow": 33, "bold": 1, "dim": 2}


def painted(text: str, colour: str, stream: Any = None) -> str:
    """The text in a colour, if the stream is a terminal and NO_COLOR isn't set."""
    out = stream or sys.stdout
    if not out.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def printable(value: Any) -> Any:
    """The value with what could steer a terminal written out: what callers sent is shown, never obeyed."""
    if isinstance(value, str):
        return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in value)
    return {name: printable(one) for name, one in value.items()} if isinstance(value, Mapping) else value


def say(text: str) -> None:
    """A line of output."""
    print(text)


def complain(text: str) -> None:
    """A sentence on what went wrong."""
    print(painted("bartizan: ", "red", sys.stderr) + text, file=sys.stderr)


def show_json(value: Any) -> None:
    """A value as JSON, indented."""
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode())


def show_problems(problems: Iterable[Problem]) -> None:
    """All problems, each where it is."""
    found = list(problems)
    for problem in found:
        print(f"{painted(str(problem.at), 'bold')}: {problem.message} {painted(f'[{problem.code}]', 'dim')}")
        if problem.hint:
            print(f"    {problem.hint}")
    print(painted(f"{len(found)} problem{'s' if len(found) != 1 else ''}", "red"))
