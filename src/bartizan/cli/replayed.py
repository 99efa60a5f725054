"""What came of a replay: for people, and as JSON for build servers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bartizan.cli.output import painted, printable, say
from bartizan.replay import Tally
from bartizan.replay.judging import Change
from bartizan.replay.telling import told

_SHOWN = 20
_TOLD = 10_000
_COLOURS: dict[Change, str] = {"newly refused": "red", "newly allowed": "yellow", "refused by another": "dim", "untold": "dim"}
_BY: dict[Change, str] = {"newly refused": "refused by", "newly allowed": "was refused by", "refused by another": "now by"}


@dataclass(frozen=True, slots=True)
class Replayed:
    """The outcome of a replay."""

    revision: str
    """The candidate's."""
    tally: Tally
    failing: tuple[Change, ...]
    """Which changes make it differ."""
    tolerated: int
    """How many of them don't."""
    seconds: float
    skipped: int = 0

    @property
    def differs(self) -> bool:
        """Whether more changes than is tolerated."""
        return sum(self.tally.counts[change] for change in self.failing) > self.tolerated

    def show(self) -> None:
        """Prints it."""
        for line in self.lines():
            say(line)

    def lines(self) -> Iterator[str]:
        """The report: each change with its groups, then what can't be told, then the sum."""
        counts = self.tally.counts
        for change in ("newly refused", "newly allowed", "refused by another"):
            if counts[change]:
                yield painted(f"{change}: {_requests(counts[change])}", _COLOURS[change])
                yield from self._groups(change)
        yield from self._untold()
        if self.tally.now:
            yield painted(f"by attributes of now, because nobody asked for them then: {_requests(self.tally.now)}", "yellow")
        if self.tally.no_decision:
            yield painted(f"not decided by policies: {_requests(self.tally.no_decision.total())}", "dim")
            yield from (f"  {count} {reason}" for reason, count in self.tally.no_decision.most_common())
        if self.skipped:
            yield painted(f"{self.skipped} lines are no records", "dim")
        told = f"{self.tally.judged} of {_requests(self.tally.records)} judged: {counts['same']} the same"
        changes = [f"{counts[change]} {change}" for change in ("newly refused", "newly allowed", "refused by another")]
        rate = self.tally.judged / max(self.seconds, 1e-9)
        summary = f"{told}, {', '.join(changes)}, {counts['untold']} that can't be told"
        yield painted(summary, "red" if self.differs else "green")
        yield f"candidate {self.revision}: {'differs' if self.differs else 'ok'} ({self.seconds:.1f} s, {rate:,.0f} a second)"

    def _groups(self, change: Change) -> Iterator[str]:
        found = self.tally.of(change)
        for group, seen in found[:_SHOWN]:
            where = group.where
            place = f"{where.method} {where.api or 'no API'}{' ' + where.route if where.route else ''}"
            yield f"  {seen.count:>7} {printable(where.who)}: {printable(place)}, {_BY[change]} {group.policy}"
            yield painted(f"          such as {', '.join(seen.samples[:2])}", "dim")
        if len(found) > _SHOWN:
            yield f"          and {len(found) - _SHOWN} more groups: see --json"

    def _untold(self) -> Iterator[str]:
        if not self.tally.counts["untold"]:
            return
        yield painted(f"can't be told from the records: {_requests(self.tally.counts['untold'])}", "yellow")
        found = self.tally.untold()
        for policy, lacks, count in found[:_SHOWN]:
            asks = f"{policy} asks for " if policy else "for want of "
            yield f"  {count:>7} {asks}{printable(', '.join(lacks))}"
        if len(found) > _SHOWN:
            yield f"          and {len(found) - _SHOWN} more: see --json"

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "verdict": "differs" if self.differs else "ok",
            "candidate": self.revision,
            **told(self.tally, _TOLD),
            "skipped_lines": self.skipped,
            "seconds": round(self.seconds, 3),
        }


def _requests(count: int) -> str:
    return f"{count} request{'' if count == 1 else 's'}"
