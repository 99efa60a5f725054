"""What context sources have said, of whom, and how long ago.

A value that is older than its source's `max_age` has ended, by two clocks: the time, and a clock that only runs on, so that a clock that is
set back makes nothing young again. What has ended stays so until it is said anew. All of it is kept in one sealed file with its true age: a
restart renews nothing.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from bartizan.model.attributes import has_type
from bartizan.model.context import ContextSource
from bartizan.model.snapshot import Snapshot

Values = dict[str, Any]
"""Attributes with their values, as JSON has them."""
OTHER = "|"
"""Stands in the id of every principal that isn't a consumer."""
NOTHING: Mapping[str, Any] = {}


def running_s() -> float:
    """Seconds that count on while the machine sleeps, and that nobody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment by both clocks."""

    at: float
    """Seconds since the epoch."""
    since: float
    """By the clock that only runs on."""

    def age(self, now: "Moment") -> float:
        """How many seconds ago it was, by the clock that says more."""
        return max(now.at - self.at, now.since - self.since)


@dataclass(slots=True)
class Said:
    """What a source says of one subject."""

    values: Values
    when: Moment | None = None
    """When it was said by itself; None: with all that its source says."""
    ended: bool = False


@dataclass(slots=True)
class Heard:
    """What one source has said."""

    whole: Moment | None = None
    """When it said all at once; None: it never did."""
    ended: bool = True
    """What it said all at once counts no more."""
    epoch: int = 0
    """How often that began to count. Tables are written with it, so that none of before counts by what was said since."""
    version: int = 0
    """How often what it says has changed."""
    subjects: dict[str, Said] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)
    """Those of whom something was said by itself, and hasn't ended."""


class Context:
    """What all sources say. `now` and `running` are the two clocks. Methods are called by one thread."""

    def __init__(self, now: Callable[[], float] = time.time, running: Callable[[], float] = running_s) -> None:
        self._now, self._running = now, running
        self.heard: dict[str, Heard] = {}
        self.sources: Mapping[str, ContextSource] = {}
        self.types: Mapping[str, str] = {}
        """The attributes that the Gateway declares."""
        self.tellers: Mapping[str, str] = {}
        """The source that tells each attribute."""
        self.changes = 0
        """How often anything here has changed, renewals too."""

    def moment(self, ago: float = 0.0) -> Moment:
        """Now, or so many seconds ago."""
        return Moment(round(self._now() - ago, 3), self._running() - ago)

    def declare(self, sources: Mapping[str, ContextSource], types: Mapping[str, str], tellers: Mapping[str, str] | None = None) -> None:
        """The sources that there are now, and the attributes with their types. What others said is forgotten. `tellers`: the source of each
        attribute, if one revision follows on another in which it was told by another source."""
        for name in self.heard.keys() - sources.keys():
            del self.heard[name]
        for name in sources:
            self.heard.setdefault(name, Heard())
        self.sources, self.types = sources, types
        self.tellers = {name: one.name for one in sources.values() for name in one.attributes} if tellers is None else tellers
        self.changes += 1

    def take_all(self, name: str, said: Mapping[str, Values], ago: float = 0.0) -> frozenset[str]:
        """A source says all that it has to say, or did so many seconds ago. The subjects of whom it says something else than before."""
        heard = self.heard[name]
        begins = self._renew(heard, ago)
        before = heard.subjects
        changed = {one for one in before.keys() | said.keys() if one not in said or one not in before or before[one].values != said[one]}
        touched = changed | {one for one, told in before.items() if told.when is not None}
        if changed:
            heard.version += 1
        heard.subjects = {one: Said(values) for one, values in said.items()}
        heard.own = set()
        return frozenset(touched | heard.subjects.keys() if begins else touched)

    def renew(self, name: str, ago: float = 0.0) -> frozenset[str]:
        """A source says that all is as it said last. What was said by itself since then stays as it is."""
        heard = self.heard[name]
        begins = self._renew(heard, ago)
        return frozenset(one for one, told in heard.subjects.items() if told.when is None) if begins else frozenset()

    def _renew(self, heard: Heard, ago: float) -> bool:
        """Whether what it says all at once begins to count with this."""
        begins, heard.whole, heard.ended = heard.ended, self.moment(ago), False
        heard.epoch += begins
        self.changes += 1
        return begins

    def take_one(self, name: str, subject: str, values: Values | None) -> frozenset[str]:
        """A source says this of one subject or, with None, nothing more."""
        heard = self.heard[name]
        before = heard.subjects.pop(subject, None)
        heard.own.discard(subject)
        if values is not None:
            heard.subjects[subject] = Said(values, self.moment())
            heard.own.add(subject)
        if (before.values if before is not None else None) != values:
            heard.version += 1
        self.changes += 1
        return frozenset({subject})

    def look(self) -> tuple[bool, frozenset[str]]:
        """What has ended by now: whether something that was said all at once has, and the subjects of whom something by itself has."""
        now, whole, subjects = self.moment(), False, set()
        for name, heard in self.heard.items():
            source = self.sources[name]
            if source.stale == "keep":
                continue
            longest = source.max_age.total_seconds()
            if not heard.ended and (heard.whole is None or heard.whole.age(now) > longest):
                heard.ended = whole = True
            for subject in [one for one in heard.own if _age(heard.subjects[one], now) > longest]:
                heard.subjects[subject].ended = True
                heard.own.discard(subject)
                subjects.add(subject)
        if whole or subjects:
            self.changes += 1
        return whole, frozenset(subjects)

    def of(self, subject: str) -> Values:
        """What tables tell of a subject: what sources say, each with its stamp: when that was said by itself (seconds since the epoch), or
        the epoch of what was said all at once; 0 if it has ended."""
        found: Values = {}
        for name, heard in self.heard.items():
            told, source = heard.subjects.get(subject), self.sources[name]
            if told is None:
                continue
            if not told.ended:
                found.update(self._fitting(told.values, source))
            found[source.stamp] = 0.0 if told.ended else float(heard.epoch) if told.when is None else told.when.at
        return found

    def others(self) -> tuple[str, ...]:
        """The subjects that are no consumers, in order."""
        return tuple(sorted({one for heard in self.heard.values() for one in heard.subjects if OTHER in one}))

    def counting(self) -> dict[str, tuple[int, float]]:
        """The sources of which all that they said at once counts: its epoch, and when it was said."""
        return {name: (one.epoch, one.whole.at) for name, one in self.heard.items() if one.whole is not None and not one.ended}

    def fresh(self, subject: str) -> Values:
        """What holds of a subject now: what counts, and what stands in for the rest."""
        found: Values = {}
        for name, heard in self.heard.items():
            told, source = heard.subjects.get(subject), self.sources[name]
            if told is None:
                continue
            ended = told.ended or (told.when is None and heard.ended)
            kept = told.values if not ended or source.stale == "keep" else source.defaults
            found.update(self._fitting(kept, source))
        return found

    def _fitting(self, values: Mapping[str, Any], source: ContextSource) -> Iterator[tuple[str, Any]]:
        """What was said of attributes that this source tells, and no other, and that are still of that type."""
        for name, value in values.items():
            if self.tellers.get(name) == source.name and has_type(value, self.types.get(name, "")):
                yield name, value

    def dump(self) -> bytes:
        """All of it, as it is kept."""
        sources = {
            name: {
                **{"at": one.whole.at if one.whole else None, "ended": one.ended, "epoch": one.epoch, "version": one.version},
                "subjects": {who: [said.values, said.when.at if said.when else None, said.ended] for who, said in one.subjects.items()},
            }
            for name, one in self.heard.items()
        }
        return orjson.dumps({"seen": self._now(), "sources": sources})

    def load(self, kept: bytes) -> None:
        """Takes up what `dump` gave. Its age goes on from the latest time that was seen, whatever the clock says now."""
        whole = orjson.loads(kept)
        now = Moment(max(self._now(), float(whole["seen"])), self._running())
        for name, one in whole["sources"].items():
            heard = Heard(_moment(one["at"], now), one["ended"], one["epoch"], one["version"])
            for who, (values, at, ended) in one["subjects"].items():
                heard.subjects[who] = Said(values, _moment(at, now), ended)
            heard.own = {who for who, said in heard.subjects.items() if said.when is not None and not said.ended}
            self.heard[name] = heard


def _age(said: Said, now: Moment) -> float:
    return said.when.age(now) if said.when is not None else 0.0


def _moment(at: float | None, now: Moment) -> Moment | None:
    return None if at is None else Moment(at, now.since - (now.at - at))


def unknown(subjects: Iterable[str], snapshot: Snapshot) -> Iterator[str]:
    """Those of whom nothing here is known: no consumer, and no principal of an issuer or a CA that is declared."""
    issuers = {one.issuer for one in snapshot.issuers.values()}
    issuers |= {ca for policy in snapshot.policies for ca in getattr(policy, "client_cas", {})}
    for one in subjects:
        if (one.partition(OTHER)[0] not in issuers) if OTHER in one else one not in snapshot.consumers:
            yield one
