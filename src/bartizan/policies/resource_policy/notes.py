"""What reading a document finds: mistakes, each with its place, and what the document refers to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bartizan.condition import Schema
from bartizan.policies._kind import Fault, Reference

Path = tuple[str | int, ...]
_T = TypeVar("_T")


class Refused(Exception):
    """Something that can't be honoured."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


def no_variable(text: str, variables: bool) -> Refused:
    """The refusal of a policy variable."""
    if not variables:
        hint = (
            "Version 2008-10-17 takes it as it stands, which nobody means: write Version 2012-10-17, where ${*}, ${?} and ${$} are known."
        )
        return Refused("policy-variable", f"{text!r} holds a policy variable, which this Version doesn't know", hint)
    hint = "Write out the values; only ${*}, ${?} and ${$}, for these characters themselves, are known."
    return Refused("policy-variable", f"the policy variable {text} can't be honoured: Envoy compares with fixed values", hint)


def too_large() -> Refused:
    """The refusal of a pattern of which Envoy would make too large a program."""
    return Refused("pattern-too-large", "this is more than Envoy compares at once", "Shorten it, or split it into several statements.")


@dataclass(slots=True)
class Notes:
    """What one reading knows and collects."""

    schema: Schema
    variables: bool = True
    """Whether the document's version knows policy variables."""
    faults: list[Fault] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)

    def wrong(self, path: Path, code: str, message: str, hint: str = "") -> None:
        """Notes a mistake."""
        self.faults.append(Fault(path, code, message, hint))

    def attempt(self, path: Path, read: Callable[..., _T], *arguments: Any) -> _T | None:
        """What `read` makes of its arguments, or None with the mistake noted."""
        try:
            return read(*arguments)
        except Refused as error:
            self.wrong(path, error.code, error.message, error.hint)
            return None

    def items(self, value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
        """The values of an element that holds one or a list of them, each with its path."""
        if value in ([], {}, None):
            self.wrong(path, "document-empty", f"{path[-1]} holds nothing", "Write one value or a list of them.")
            return
        if isinstance(value, list):
            yield from ((((*path, i), item)) for i, item in enumerate(value))
        else:
            yield path, value

    def texts(self, value: Any, path: Path) -> Iterator[tuple[Path, str]]:
        """The same, for strings."""
        for where, item in self.items(value, path):
            if isinstance(item, str):
                yield where, item
            else:
                self.wrong(where, "document-type", f"{path[-1]} holds strings", "Write it in quotes.")
