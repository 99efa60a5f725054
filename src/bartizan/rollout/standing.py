"""How the control plane stands: what `status` tells, beside the nodes."""

import time
from dataclasses import dataclass, field

from bartizan.model.problem import Problem


@dataclass(slots=True)
class Standing:
    """What is active since when, and what was refused."""

    revision: str = ""
    since: float = 0.0
    sequence: int = 0
    generation: int = 0
    enforced_ms: float | None = None
    refused: tuple[Problem, ...] = ()
    refused_at: float = 0.0
    error: str = ""
    drift: str = ""
    """How files and store differ; empty if they don't."""
    loosened: list[str] = field(default_factory=list)
    publishes: int = 0
    reads: int = 0
    """How often the files were read."""
    pending: bool = True
    """Whether something changed that isn't with the nodes yet."""
    refusals: int = 0

    def refuse(self, problems: tuple[Problem, ...]) -> None:
        """The files as they are aren't taken."""
        self.refused, self.refused_at = problems, time.time()
        self.refusals += 1
