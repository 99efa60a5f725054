"""What came of a replay, counted: in all, and by who asked, where, and which policy makes the difference."""

from collections import Counter
from dataclasses import dataclass, field

from bartizan.replay.judging import Change, Judged

SAMPLES = 5
"""Ids of requests that are kept of each group."""
_MOST_GROUPS = 50_000
_OTHERS = "(others)"
_SHOWN: tuple[Change, ...] = ("newly refused", "newly allowed", "refused by another", "untold")


@dataclass(frozen=True, slots=True)
class Where:
    """Where a request went, and who sent it."""

    who: str
    api: str
    route: str
    method: str


@dataclass(frozen=True, slots=True)
class Group:
    """Requests that are alike."""

    change: Change
    policy: str
    where: Where
    lacks: tuple[str, ...] = ()


@dataclass(slots=True)
class Seen:
    """How many there were, and some of their ids."""

    count: int = 0
    samples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Tally:
    """The counts. What is kept is bounded, however many requests there are."""

    counts: Counter[Change] = field(default_factory=Counter)
    groups: dict[Group, Seen] = field(default_factory=dict)
    no_decision: Counter[str] = field(default_factory=Counter)
    """Requests of which policies had no say, by the reason."""
    asked: int = 0
    """Questions that were put to the candidate: equal ones are put once."""
    callers: Counter[str] = field(default_factory=Counter)
    """Who is covered: callers of whose requests it can be told, and of how many. Empty for those without a good credential."""
    now: int = 0
    """Requests that were judged by attributes that their consumer has now, because nobody asked for them then."""

    @property
    def records(self) -> int:
        """All that were read."""
        return self.counts.total() + self.no_decision.total()

    @property
    def judged(self) -> int:
        """Those of which it can be told what the candidate decides."""
        return self.counts.total() - self.counts["untold"]

    @property
    def changed(self) -> int:
        """Those that gain or lose access."""
        return self.counts["newly refused"] + self.counts["newly allowed"]

    def add(self, judged: Judged, where: Where, ident: str) -> None:
        """Counts a request."""
        self.counts[judged.change] += 1
        if judged.change != "untold" and (where.who in self.callers or len(self.callers) < _MOST_GROUPS):
            self.callers[where.who] += 1
        if judged.change == "same":
            return
        group = Group(judged.change, judged.policy, where, judged.lacks)
        if group not in self.groups and len(self.groups) >= _MOST_GROUPS:
            group = Group(judged.change, judged.policy, Where(_OTHERS, where.api, where.route, where.method), judged.lacks)
        seen = self.groups.setdefault(group, Seen())
        seen.count += 1
        if ident and len(seen.samples) < SAMPLES:
            seen.samples.append(ident)

    def of(self, change: Change) -> list[tuple[Group, Seen]]:
        """The groups of this change, the largest first."""
        found = [(group, seen) for group, seen in self.groups.items() if group.change == change]
        return sorted(found, key=lambda one: (-one[1].count, one[0].policy, one[0].where.api, one[0].where.route, one[0].where.who))

    def untold(self) -> list[tuple[str, tuple[str, ...], int]]:
        """What can't be told: by which policy, for what the records lack, and how often; the most frequent first."""
        found: Counter[tuple[str, tuple[str, ...]]] = Counter()
        for group, seen in self.groups.items():
            if group.change == "untold":
                found[group.policy, group.lacks] += seen.count
        return [(policy, lacks, count) for (policy, lacks), count in found.most_common()]
