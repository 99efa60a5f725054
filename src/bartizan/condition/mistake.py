"""What is wrong with a condition someone wrote: where, why, and what to write instead."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong in a condition's text. Lines and columns count from 1, columns in characters."""

    code: str
    line: int
    column: int
    message: str
    hint: str


class ConditionError(ValueError):
    """A text that isn't a condition, with every mistake found in it."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(f"{one.line}:{one.column}: {one.message} ({one.hint})" for one in self.mistakes))


@dataclass(slots=True)
class Refused(Exception):
    """A part of a condition that can't be read; its reader collects it and reads on."""

    code: str
    offset: int
    message: str
    hint: str

    def mistake(self, text: str) -> Mistake:
        before = text[: self.offset]
        line_start = before.rfind("\n") + 1
        return Mistake(f"condition-{self.code}", before.count("\n") + 1, self.offset - line_start + 1, self.message, self.hint)


def one_of(names: Iterable[str]) -> str:
    """Names as a sentence lists them."""
    return ", ".join(sorted(names))


def suggestion(name: str, names: Iterable[str], otherwise: str) -> str:
    """The closest of `names` (by what stands behind their last dot), for a hint, before what exists."""
    lower = {each.rpartition(".")[2].lower(): each for each in sorted(names)}
    close = difflib.get_close_matches(name.rpartition(".")[2].lower(), lower, n=1, cutoff=0.6)
    return f"did you mean {lower[close[0]]}? {otherwise}" if close else otherwise
