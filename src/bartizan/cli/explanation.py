"""A decision as `explain` prints it: what was decided, what each policy said, and what would have let the request through."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bartizan.cli.output import painted, printable, say
from bartizan.telemetry.decision import Decision, Verdict, decision_of
from bartizan.telemetry.explained import Explained

_COLOURS = {"allowed": "green", "denied": "red", "perhaps used up": "red", "counted": "green"}


@dataclass(frozen=True, slots=True)
class Explanation(Explained):
    """A decision for people."""

    def show(self) -> None:
        """Prints it."""
        for line in self.lines():
            say(line)

    def lines(self) -> Iterator[str]:
        """As people read it."""
        found, decision = printable(self.record), decision_of(self.record, self.covering)
        asked = f"{found.get('http_method', '?')} {found.get('host', '')}{found.get('path', '')}"
        yield f"{asked} at {found['time']}: {self._outcome(decision)}"
        yield f"by {painted(decision.by, 'bold')}: {decision.why}"
        told = ("revision", "generation", "api", "route", "node")
        yield ", ".join(f"{name} {found[name] or 'none'}" for name in told if name in found)
        caller = found.get("principal") or "nobody"
        yield f"principal {caller} by {found.get('auth_method') or 'nothing'}, from {found.get('source')}"
        absent = "missing" if self.hypothetical else "missing, or no policy asks for it"
        for name, value in {**(found.get("attributes") or {}), "groups": found.get("groups")}.items():
            yield f"  {name} = {value if value not in (None, '') else absent}"
        for name, value in (found.get("place") or {}).items():
            yield f"  source.{name} = {value if value not in (None, '') else absent}"
        yield from _context_lines(found)
        yield from _verdict_lines(decision.verdicts)
        yield from self.remedies()
        for note in self.notes:
            yield painted(note, "yellow")

    def _outcome(self, decision: Decision) -> str:
        would = "would be " if self.hypothetical else ""
        answered = decision.refused or not self.hypothetical
        status = f" with {self.record.get('status', 'no answer')}" if answered else ""
        return would + (painted("refused", "red") if decision.refused else painted("let through", "green")) + status


def _context_lines(found: Any) -> Iterator[str]:
    """How old what context sources say was then."""
    for source, said in (found.get("context") or {}).items():
        if said == "stale":
            yield f"  ContextSource/{source}: what it said of the caller was stale"
        elif said:
            age = datetime.fromisoformat(found["time"]).timestamp() - float(said)
            yield f"  ContextSource/{source}: said {max(0.0, age):.0f} s before"


def _verdict_lines(verdicts: Sequence[Verdict]) -> Iterator[str]:
    if verdicts:
        yield "policies, in the order of the chain:"
    for verdict in verdicts:
        said = painted(verdict.said, _COLOURS.get(verdict.said, "dim"))
        note = f" ({printable(verdict.note)})" if verdict.note else ""
        yield f"  {verdict.policy}: {said}{' (shadow)' if verdict.shadow else ''}{note}"
