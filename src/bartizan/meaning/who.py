"""Sets of people told so that a person can read it: by an attribute where it tells them, by their names where they are few."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import orjson

from bartizan.condition.schema import LISTS
from bartizan.meaning.people import KEY, Person, set_of
from bartizan.meaning.values import Missing, Value
from bartizan.meaning.world import World

_FEW, _MOST_VALUES, _NAMED = 3, 4, 20


@dataclass(frozen=True, slots=True)
class Who:
    """A set of people."""

    text: str
    """As a person says it."""
    anonymous: bool
    issuers: tuple[str, ...]
    """The Issuers of whose tokens there is talk."""
    cas: tuple[str, ...]
    """The CAs of whose certificates there is talk that no consumer lists."""
    consumers: int
    """How many consumers."""
    names: tuple[str, ...]
    """The first of them."""


@dataclass(slots=True)
class Teller:
    """Tells sets of the people of a world."""

    world: World
    _told: dict[int, Who] = field(default_factory=dict)
    _ways: dict[str, int] = field(default_factory=dict)
    """Consumers by how they show who they are."""
    _lists: dict[str, dict[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        everyone = self.world.people.all
        for way in dict.fromkeys(one.by for one in everyone if one.sort == "consumer"):
            members = (place for place, one in enumerate(everyone) if one.sort == "consumer" and one.by == way)
            self._ways[way] = set_of(members, len(everyone))

    def who(self, bits: int) -> Who:
        """A set in words."""
        if bits not in self._told:
            self._told[bits] = self._who(bits)
        return self._told[bits]

    def _who(self, bits: int) -> Who:
        others = bits
        for members in self._ways.values():
            others &= ~members
        found = [one for _, one in self.world.people.of(others)]
        issuers, cas = _names(found, "token"), _names(found, "certificate")
        count, names = self._consumers_in(bits & ~others)
        parts = ["anonymous callers"] if any(one.sort == "anonymous" for one in found) else []
        parts += [part for way, members in self._ways.items() for part in self._consumers(bits & members, members, way)]
        parts += [f"tokens of {', '.join(issuers)}"] if issuers else []
        parts += [f"certificates of {', '.join(cas)} that no consumer lists"] if cas else []
        text = "everyone" if bits == self.world.people.everyone and len(parts) > 1 else ", ".join(parts)
        return Who(text, "anonymous callers" in parts, issuers, cas, count, names)

    def _consumers_in(self, bits: int) -> tuple[int, tuple[str, ...]]:
        """How many, each counted once whatever ways it has, and the first of them."""
        found = (one.name for _, one in self.world.people.of(bits))
        if len(self._ways) == 1:
            return bits.bit_count(), tuple(itertools.islice(found, _NAMED))
        every = tuple(dict.fromkeys(found))
        return len(every), every[:_NAMED]

    def _consumers(self, bits: int, among: int, way: str) -> Iterator[str]:
        if bits:
            by = f" by certificate of {way}" if way != KEY else " by key" if len(self._ways) > 1 else ""
            yield self._group(bits, among) + by

    def _group(self, bits: int, among: int) -> str:
        names = [one.name for _, one in itertools.islice(self.world.people.of(bits), _FEW)]
        count = bits.bit_count()
        if bits == among and count > 1:
            return f"all {count:,} consumers"
        if count <= _FEW:
            return ", ".join(names)
        told = next(self._described(bits, among), "")
        return f"consumers {told} ({count:,})" if told else f"{', '.join(names)} and {count - len(names):,} more consumers"

    def _described(self, bits: int, among: int) -> Iterator[str]:
        """What these have in common that no others have, in words; the simplest first."""
        declared = self.world.snapshot.gateway.attributes
        classes = {name: _classes(self.world.by_value(name).values, among) for name in declared if declared[name] not in LISTS}
        hulls: dict[str, tuple[str, int]] = {}
        for name, values in classes.items():
            hull = _hull(name, values, bits)
            if hull is not None:
                hulls[name] = hull
                if hull[1] == bits:
                    yield hull[0]
        for name in ("groups", *(name for name in declared if declared[name] in LISTS)):
            yield from self._holding(name, bits, among)
        for (left, some), (right, others) in itertools.combinations(hulls.values(), 2):
            if some & others == bits:
                yield f"{left} and {right.removeprefix('with ')}"

    def _holding(self, name: str, bits: int, among: int) -> Iterator[str]:
        for item, held in self._members(name).items():
            if held & among == bits:
                yield f"in the group {item}" if name == "groups" else f"with {item} among their {name}"

    def _members(self, name: str) -> dict[str, int]:
        """Those who have it, by what stands in this list of theirs."""
        if name not in self._lists:
            found: dict[str, int] = {}
            for value, held in self.world.by_value(name).values.items():
                for item in orjson.loads(value) if isinstance(value, str) else ():
                    found[item] = found.get(item, 0) | held
            self._lists[name] = found
        return self._lists[name]


def _names(found: list[Person], sort: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.name for one in found if one.sort == sort))


def _classes(values: Mapping[Value, int], among: int) -> dict[Value, int]:
    return {value: held & among for value, held in values.items() if held & among}


def _hull(name: str, classes: Mapping[Value, int], bits: int) -> tuple[str, int] | None:
    """Values of this attribute that all of these have, in words, and everyone who has them. None if words wouldn't be short."""
    touched = {value: held for value, held in classes.items() if held & bits}
    others = {value: held for value, held in classes.items() if value not in touched}
    if not others:
        return None
    if len(touched) <= _MOST_VALUES:
        return _is(name, touched), _union(touched.values())
    if len(others) <= _MOST_VALUES:
        return f"but those {_is(name, others)}", _union(touched.values())
    return _range(name, touched, classes)


def _union(sets: Iterable[int]) -> int:
    found = 0
    for held in sets:
        found |= held
    return found


def _is(name: str, values: Mapping[Value, int]) -> str:
    if len(values) == 1 and isinstance(next(iter(values)), Missing):
        return f"without {name}"
    return f"with {name}={' or '.join(_written(value) for value in values)}"


def _written(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else "(none)"


def _range(name: str, touched: Mapping[Value, int], classes: Mapping[Value, int]) -> tuple[str, int] | None:
    """The numbers from the least to the greatest."""
    numbers = [value for value in touched if isinstance(value, float)]
    if len(numbers) != len(touched):
        return None
    low, high = min(numbers), max(numbers)
    known = {value: held for value, held in classes.items() if isinstance(value, float)}
    hull = _union(held for value, held in known.items() if low <= value <= high)
    if all(value <= high for value in known):
        return f"with {name} of {low:g} and more", hull
    return (f"with {name} up to {high:g}" if all(value >= low for value in known) else f"with {name} from {low:g} to {high:g}"), hull
