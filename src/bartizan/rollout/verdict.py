"""What the control plane tells whoever started it, before it touches anything: what is wrong with the files, or where it will listen."""

import os
from dataclasses import dataclass

import orjson

from bartizan.model.problem import Problem


@dataclass(frozen=True, slots=True)
class Opening:
    """An address that a listener will have."""

    listener: str
    address: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Goes through a pipe, whose number the control plane is given."""

    problems: tuple[Problem, ...] = ()
    openings: tuple[Opening, ...] = ()

    def write(self, pipe: int) -> None:
        """Tells it, and ends the pipe."""
        with os.fdopen(pipe, "wb") as opened:
            opened.write(orjson.dumps({"problems": [one.to_json() for one in self.problems], "openings": self.openings}))

    @classmethod
    def read(cls, text: bytes) -> "Verdict":
        """What was told."""
        told = orjson.loads(text)
        return cls(tuple(map(Problem.from_json, told["problems"])), tuple(Opening(**one) for one in told["openings"]))
