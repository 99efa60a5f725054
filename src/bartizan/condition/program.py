"""How large a program RE2 makes of a pattern, estimated from above: Envoy's CEL takes patterns of up to 100 instructions."""

import functools
import re
import string
from dataclasses import dataclass

MOST = 100

_HUGE = 1000
"""For what the estimate doesn't know: Unicode classes, for one, have hundreds of ranges."""
_OVERHEAD = 6
_ANY_CHARACTER = 12
_ESCAPES = {"d": 1, "w": 4, "s": 3, "D": 14, "W": 18, "S": 16, "C": 1, "x": 4}
_FLAGS = re.compile(r"\(\?([imsU-]*)(:|\))|\(\?P?<\w+>|\(")
_BOTH_CASES = re.compile("|".join(rf"\[{each.upper()}{each}\]" for each in string.ascii_lowercase))
_COUNT = re.compile(r"\{(\d+)(,?)(\d*)\}")
_CLASS_PART = re.compile(r"\[:\^?\w+:\]|\\x\{\w+\}|\\x\w\w|\\[pP](?:\{\^?\w+\}|\w)|\\.|[^\]\\]", re.DOTALL)


@functools.lru_cache(maxsize=4096)
def fits_cel(pattern: str) -> bool:
    """Whether Envoy surely takes the pattern inside a CEL expression. It is one that RE2 can read."""
    return _Estimate(pattern, caseless="i" in "".join(re.findall(r"\(\?([a-zA-Z]*)", pattern))).total() + _OVERHEAD <= MOST


@dataclass(slots=True)
class _Estimate:
    """Reads a pattern from left to right."""

    pattern: str
    caseless: bool
    at: int = 0

    def total(self) -> int:
        size = self.alternatives()
        return size if self.at == len(self.pattern) else _HUGE

    def alternatives(self) -> int:
        size = self.sequence()
        while self.here("|"):
            size += 1 + self.sequence()
        return size

    def here(self, text: str) -> bool:
        found = self.pattern.startswith(text, self.at)
        self.at += len(text) * found
        return found

    def sequence(self) -> int:
        size = 0
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            size += self.repeated(self.atom())
        return size

    def repeated(self, size: int) -> int:
        while self.at < len(self.pattern):
            if self.pattern[self.at] in "*+?":
                self.at, size = self.at + 1, size + 2
            elif found := _COUNT.match(self.pattern, self.at):
                self.at = found.end()
                most = int(found[3] or found[1])
                size = (size + 1) * most + (size + 1 if found[2] and not found[3] else 0)
                if found[1] == found[3] or not found[2]:
                    size -= most
            else:
                break
        return size

    def atom(self) -> int:
        character = self.pattern[self.at]
        if character == "(":
            return self.parenthesis()
        self.at += 1
        if both := _BOTH_CASES.match(self.pattern, self.at - 1):
            self.at = both.end()
            return 1
        if character == "[":
            return self.set()
        if character == "\\":
            return self.escape()
        return _ANY_CHARACTER if character == "." else self.literal(character)

    def literal(self, character: str) -> int:
        if not character.isascii():
            return (4 if self.caseless else 1) * len(character.encode())
        return 5 if self.caseless and character in "kKsS" else 1

    def parenthesis(self) -> int:
        found = _FLAGS.match(self.pattern, self.at)
        if not found:
            self.at = len(self.pattern)
            return _HUGE
        self.at = found.end()
        if found[2] == ")":
            return 0
        size = self.alternatives() + (0 if found[2] else 2)
        return size if self.here(")") else _HUGE

    def escape(self) -> int:
        character = self.pattern[self.at]
        self.at += 1
        if character in "pPQE" or character.isdigit():
            return _HUGE
        if character == "x":
            found = re.compile(r"\{\w+\}|\w\w").match(self.pattern, self.at)
            self.at = found.end() if found else self.at
            return 4 if not self.caseless else 16
        return _ESCAPES.get(character, 1)

    def set(self) -> int:
        """A class in brackets: at most one range for each part of it."""
        size = 12 if self.here("^") else 0
        start, first = self.at - 1, True
        while self.at < len(self.pattern) and (first or self.pattern[self.at] != "]"):
            found = _CLASS_PART.match(self.pattern, self.at)
            part = found[0] if found else self.pattern[self.at]
            self.at += len(part)
            size += self.part(part, start)
            first = False
        self.at += 1
        return size

    def part(self, part: str, start: int) -> int:
        if part.startswith("[:"):
            return 4 if "^" not in part else 16
        if part.startswith(("\\p", "\\P")):
            return _HUGE
        if part == "-" and self.at - 2 != start and not self.pattern.startswith("]", self.at):
            return -1  # with its two ends it makes one range
        wide = part.isascii() and not part.startswith("\\x")
        size = _ESCAPES.get(part[1], 1) if len(part) == 2 else 1
        return (size if wide else 8) + (4 if self.caseless else 0)
