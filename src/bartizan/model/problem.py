"""Problem: what is wrong with what someone declared. Data, never an exception."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where in the files something was declared."""

    file: str
    line: int
    path: str = ""
    """Within the document, as `target.api` or `listeners[0].address`."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" + (f" {self.path}" if self.path else "")


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake: a stable code, where it is, what is wrong and what to do."""

    at: Place
    code: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.at}: {self.message} [{self.code}]" + (f"\n    {self.hint}" if self.hint else "")

    def to_json(self) -> dict[str, object]:
        """As the CLI's `--json` and the API show it."""
        return {"code": self.code, "message": self.message, "hint": self.hint, **asdict(self.at)}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Problem":
        """From what `to_json` gave."""
        return cls(Place(told["file"], told["line"], told["path"]), told["code"], told["message"], told["hint"])
