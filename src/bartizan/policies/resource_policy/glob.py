"""Patterns with `*` and `?` as AWS writes them: read, taken apart, and as regular expressions of RE2."""

import re
from collections.abc import Callable, Iterator
from enum import Enum

from bartizan.policies.resource_policy.logic import ANYTHING


class Wild(Enum):
    """A wildcard."""

    ONE = "?"
    MANY = "*"


Glob = tuple[str | Wild, ...]
"""Wildcards, and single characters that stand for themselves."""

EVERYTHING: Glob = (Wild.MANY,)
# Envoy's RE2 reads bytes, not UTF-8: a character is told by its bytes.
BEYOND_ASCII = r"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
CHARACTER = rf"(?:[\x00-\x7f]|{BEYOND_ASCII})"
"""One character of UTF-8."""

_PARTS = re.compile(r"\$\{(?P<literal>[*?$])\}|\$\{(?P<variable>[^}]*)\}?|(?P<wild>[*?])|(?P<plain>.)", re.DOTALL)


HEAVIEST = 8_000
"""What the patterns that one regular expression holds may weigh. Envoy takes programs of 20,000, and a list needs each twice."""


class VariableError(ValueError):
    """A policy variable, whose value only a request could tell."""


def read(text: str, *, wild: bool = True, variables: bool = True) -> Glob:
    """The pattern that a text is. `${*}`, `${?}` and `${$}` are these characters themselves, where `variables` are known."""
    if not variables and "${" in text:
        raise VariableError(text)
    found: list[str | Wild] = []
    for part in _PARTS.finditer(text):
        if part["variable"] is not None:
            raise VariableError(part[0])
        found.append(Wild(part["wild"]) if part["wild"] and wild else part["literal"] or part["wild"] or part["plain"])
    return tuple(found)


def weight(glob: Glob) -> int:
    """How large a program RE2 makes of the pattern at most, however its characters may be written."""
    return sum(
        50 if token is Wild.ONE else 10 if token is Wild.MANY else 1 if token.isascii() and token.isalnum() else 17 for token in glob
    )


def literal(glob: Glob) -> str | None:
    """The one text that the pattern matches, if it has no wildcards."""
    return None if any(isinstance(token, Wild) for token in glob) else "".join(map(str, glob))


def rests(glob: Glob, text: str, *, fold: bool = False) -> tuple[Glob, ...]:
    """What remains of the pattern for what follows `text`: one of these must match it. None is left if nothing can follow."""
    same = next((place for place, (token, each) in enumerate(zip(glob, text, strict=False)) if token != each), min(len(glob), len(text)))
    at = {same}
    for character in text[same:]:
        at = {after for place in at for after in _after(glob, place, character, fold)}
        if not at:
            break
    return tuple(glob[place:] for place in sorted(at))


def _after(glob: Glob, place: int, character: str, fold: bool) -> Iterator[int]:
    while place < len(glob) and glob[place] is Wild.MANY:
        yield place
        place += 1
    if place < len(glob):
        token = glob[place]
        if token is Wild.ONE or token == character or (fold and str(token).lower() == character.lower()):
            yield place + 1


def matches(glob: Glob, text: str, *, fold: bool = False) -> bool:
    """Whether the whole text matches."""
    return any(all(token is Wild.MANY for token in rest) for rest in rests(glob, text, fold=fold))


def splits(glob: Glob) -> Iterator[tuple[Glob, Glob]]:
    """The ways to cut the pattern in two: what it matches is what one of the pairs matches, the parts one after the other."""
    for place in range(len(glob) + 1):
        here = place < len(glob) and glob[place] is Wild.MANY
        before = place > 0 and glob[place - 1] is Wild.MANY
        if here:
            yield glob[: place + 1], glob[place:]
        elif not before:
            yield glob[:place], glob[place:]


def folded(character: str, written: Callable[[str], str] = re.escape) -> str:
    """A pattern for the character in either case. RE2's own would fold bytes."""
    forms = dict.fromkeys(written(each) for each in (character, character.lower(), character.upper()) if len(each) == 1)
    return f"(?:{'|'.join(forms)})" if len(forms) > 1 else next(iter(forms))


def regex(glob: Glob, character: Callable[[str], str] = re.escape, *, one: str = CHARACTER, many: str = ANYTHING) -> str:
    """The pattern as RE2, to match whole values. `character` says how a single character may be written."""
    return "".join(one if token is Wild.ONE else many if token is Wild.MANY else character(str(token)) for token in glob)
