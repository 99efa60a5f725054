"""Who falls under which tier of a limit: the first whose condition holds. What hangs on the request stays open, and is told so."""

from dataclasses import dataclass, field
from typing import TypeAlias

from bartizan.condition import Schema, parse
from bartizan.meaning.formula import FALSE, TRUE, Formula, OfCel, OfHeader, atoms
from bartizan.meaning.reading import read_predicate
from bartizan.meaning.world import Where, World
from bartizan.policies import PolicyKind

Steps: TypeAlias = tuple[tuple[Formula, str, str], ...]
"""Of each tier what must hold, what it says, and its condition as it is written."""


@dataclass(slots=True)
class Tiers:
    """The limits of a configuration, asked about the people of a world."""

    world: World
    _steps: dict[str, Steps] = field(default_factory=dict)
    _found: dict[tuple[str, str | None, str], dict[str, int]] = field(default_factory=dict)

    def held_to(self, limit: PolicyKind, where: Where) -> dict[str, int]:
        """Everyone who is present, by what the limit says to them on such a request, in words."""
        steps = self._steps.get(limit.id)
        if steps is None:
            steps = self._steps[limit.id] = tuple(self._read(limit))
        asked = [one for formula, _, _ in steps for one in atoms(formula)]
        of_method = any(
            (isinstance(one, OfHeader) and one.name == ":method") or (isinstance(one, OfCel) and one.of_method) for one in asked
        )
        of_path = any(isinstance(one, OfHeader) and one.name == ":path" for one in asked)
        key = (limit.id, where.method if of_method else "", where.path if of_path else "")
        if key not in self._found:
            self._found[key] = self._split(steps, where)
        return self._found[key]

    def _read(self, limit: PolicyKind) -> list[tuple[Formula, str, str]]:
        schema = Schema.of(self.world.snapshot.gateway)
        return [
            (TRUE if when is None else read_predicate(parse(when, schema).predicate()), says, " ".join((when or "").split()))
            for when, says in limit.steps()
        ]

    def _split(self, steps: Steps, where: Where) -> dict[str, int]:
        found: dict[str, int] = {}
        waiting = {"": self.world.present}
        for formula, says, when in steps:
            following: dict[str, int] = {}
            for told, held in waiting.items():
                for left, some in self.world.split(formula, held, where).items():
                    if left == TRUE:
                        found[told + says] = found.get(told + says, 0) | some
                    else:
                        further = told if left == FALSE else f"{told}{says} where {when}, else "
                        following[further] = following.get(further, 0) | some
            waiting = following
        return found
