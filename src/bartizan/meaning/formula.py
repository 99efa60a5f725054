"""What must hold for a request to pass, as a value: questions (atoms) under all, any and not, simplified as far as it can be told.

What a compiled predicate says is a formula; what is left of it when all that is known has been filled in is one too. `ERROR` is CEL's:
neither true nor false, until `holds` takes it for false.
"""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from bartizan.condition.syntax import Ast

StringKind = Literal["exact", "prefix", "suffix", "contains", "regex"]


@dataclass(frozen=True, slots=True)
class Constant:
    """Something that is settled."""

    name: Literal["true", "false", "error"]


TRUE, FALSE, ERROR = Constant("true"), Constant("false"), Constant("error")


@dataclass(frozen=True, slots=True)
class StringTest:
    """A string is, begins with, ends with, holds, or as a whole matches (RE2) a fixed one. What is missing doesn't."""

    kind: StringKind
    text: str
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class NumberTest:
    """A number lies from `start` (in) to `end` (out); is `start` if there is no end."""

    start: float
    end: float | None = None


@dataclass(frozen=True, slots=True)
class PresentTest:
    """It is there."""


@dataclass(frozen=True, slots=True)
class OfPrincipal:
    """A question about one thing that is known of a principal, or, as `source.country`, of where it calls from."""

    key: str
    test: StringTest | NumberTest | PresentTest


@dataclass(frozen=True, slots=True)
class OfHeader:
    """A question about a request header; `:method` and `:path` are such."""

    name: str
    test: StringTest


@dataclass(frozen=True, slots=True)
class OfAddress:
    """The caller's address lies in one of these networks, as `10.0.0.0/8`."""

    networks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OfCel:
    """A part of a CEL expression that has neither && nor || nor ! in it."""

    text: str
    """As CEL: two that read alike are the same question."""
    keys: tuple[str, ...]
    """What it asks of the principal."""
    of_method: bool
    """Whether it asks for the method."""
    closed: bool
    """Whether it asks for nothing else."""
    tree: Ast = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Unread:
    """Something that nobody here knows how to read: it may or may not hold."""

    text: str


Atom: TypeAlias = OfPrincipal | OfHeader | OfAddress | OfCel | Unread


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds."""

    of: "frozenset[Formula]"


@dataclass(frozen=True, slots=True)
class Any:
    """Some part holds."""

    of: "frozenset[Formula]"


@dataclass(frozen=True, slots=True)
class Not:
    """It doesn't hold."""

    of: "Formula"


@dataclass(frozen=True, slots=True)
class Holds:
    """It is true: an error isn't."""

    of: "Formula"


Formula: TypeAlias = Constant | Atom | All | Any | Not | Holds


def negation(of: Formula) -> Formula:
    """Not `of`."""
    match of:
        case Constant():
            return {TRUE: FALSE, FALSE: TRUE}.get(of, ERROR)
        case Not(inner):
            return inner
    return Not(of)


def holds(of: Formula) -> Formula:
    """`of`, with an error taken for false."""
    if isinstance(of, Constant):
        return TRUE if of == TRUE else FALSE
    return of if isinstance(of, Holds | OfPrincipal | OfHeader | OfAddress | Unread) else Holds(of)


def every(parts: Iterable[Formula]) -> Formula:
    """All of them. What contradicts itself is false."""
    return _joined(All, parts, TRUE, FALSE)


def some(parts: Iterable[Formula]) -> Formula:
    """Any of them. What is so in any case is true."""
    return _joined(Any, parts, FALSE, TRUE)


def _joined(kind: type[All] | type[Any], parts: Iterable[Formula], nothing: Constant, decisive: Constant) -> Formula:
    flat: set[Formula] = set()
    for part in parts:
        if part == decisive:
            return decisive
        if isinstance(part, kind):
            flat |= part.of
        elif part != nothing:
            flat.add(part)
    # An error doesn't complement itself in CEL; outside of it there is none.
    if ERROR not in flat and any(isinstance(part, Not) and part.of in flat and not _may_err(part.of) for part in flat):
        return decisive
    if not flat:
        return nothing
    return next(iter(flat)) if len(flat) == 1 else kind(frozenset(flat))


def _may_err(of: Formula) -> bool:
    match of:
        case OfCel():
            return True
        case All(parts) | Any(parts):
            return any(map(_may_err, parts))
        case Not(inner):
            return _may_err(inner)
    return of == ERROR


@functools.lru_cache(maxsize=50_000)
def atoms(of: Formula) -> frozenset[Atom]:
    """The questions in it."""
    match of:
        case All(parts) | Any(parts):
            return frozenset().union(*map(atoms, parts))
        case Not(inner) | Holds(inner):
            return atoms(inner)
        case Constant():
            return frozenset()
    return frozenset({of})


def filled(of: Formula, answer: Callable[[Atom], Formula]) -> Formula:
    """The formula with each question replaced by its answer, which may be the question itself."""
    match of:
        case Constant():
            return of
        case All(parts):
            return every(filled(part, answer) for part in parts)
        case Any(parts):
            return some(filled(part, answer) for part in parts)
        case Not(inner):
            return negation(filled(inner, answer))
        case Holds(inner):
            return holds(filled(inner, answer))
    return answer(of)
