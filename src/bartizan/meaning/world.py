"""A world: who calls, with what is known of each, and the formulas of a configuration asked of all of them at once.

Sets of people are numbers with a bit for each, so a question about ten thousand costs as much as one about a few.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from bartizan.condition import patterns
from bartizan.meaning.expression import answered_cel
from bartizan.meaning.formula import (
    FALSE,
    TRUE,
    All,
    Any,
    Atom,
    Constant,
    Formula,
    Holds,
    Not,
    OfCel,
    OfHeader,
    OfPrincipal,
    StringTest,
    every,
    holds,
    negation,
    some,
)
from bartizan.meaning.people import ANONYMOUS, Known, People, Person, known_of, set_of, value_of
from bartizan.meaning.values import Begins, Missing, Test, Value, answered
from bartizan.model.places import is_place
from bartizan.model.snapshot import Snapshot

Split = dict[Formula, int]
"""People by what is left of a formula for them: true, false, or what depends on the request."""
_ALWAYS = frozenset({":method", ":path", ":authority", ":scheme"})


@dataclass(frozen=True, slots=True)
class Index:
    """Those who are present, by what one thing is of them."""

    values: Mapping[Value, int]
    odd: Mapping[Value, int]
    """The same for values that aren't a text or a number."""
    everyone: int


@dataclass(frozen=True, slots=True)
class Where:
    """What is known of a request: its method, or None for one that nobody names; and what its path begins with."""

    method: str | None
    path: str


@dataclass(slots=True)
class World:
    """People as one snapshot knows them."""

    snapshot: Snapshot
    people: People
    present: int = 0
    """Those with a good credential, and those without any."""
    anonymous: int = 0
    knows: Callable[[Person, Snapshot], Known | None] = known_of
    """What is known of each."""
    _known: Mapping[Person, Mapping[str, Value]] = field(default_factory=dict)
    _index: dict[str, Index] = field(default_factory=dict)
    _answers: dict[tuple[Atom, str | None, str | None], Split] = field(default_factory=dict)

    def __post_init__(self) -> None:
        found = [(place, person, self.knows(person, self.snapshot)) for place, person in enumerate(self.people.all)]
        self._known = {person: known for _, person, known in found if known is not None}
        self.present = set_of((place for place, _, known in found if known is not None), len(found))
        self.anonymous = 1 << self.people.all.index(ANONYMOUS)

    def known(self, person: Person) -> Mapping[str, Value] | None:
        """What is known of someone; None if no credential of theirs is good."""
        return self._known.get(person)

    def by_value(self, key: str) -> Index:
        """Those who are present, by what this is of them."""
        if key not in self._index:
            places: dict[Value, list[int]] = {}
            for place, person in enumerate(self.people.all):
                known = self._known.get(person)
                if known is not None:
                    places.setdefault(value_of(known, key), []).append(place)
            values = {value: set_of(held, len(self.people.all)) for value, held in places.items()}
            odd: dict[Value, int] = {value: held for value, held in values.items() if not isinstance(value, str | float)}
            self._index[key] = Index(values, odd, self.present)
        return self._index[key]

    def split(self, formula: Formula, mask: int, where: Where) -> Split:
        """The people of `mask`, by what is left of the formula for each when all that is known is filled in."""
        match formula:
            case Constant():
                return {formula: mask}
            case Not(inner):
                return _mapped(self.split(inner, mask, where), negation)
            case Holds(inner):
                return _mapped(self.split(inner, mask, where), holds)
            case All(parts):
                return self._joined(parts, mask, where, True)
            case Any(parts):
                return self._joined(parts, mask, where, False)
        return _within(self._answer(formula, where), mask)

    def _joined(self, parts: frozenset[Formula], mask: int, where: Where, conjunctive: bool) -> Split:
        join, decisive = (every, FALSE) if conjunctive else (some, TRUE)
        settled, open_ones = 0, {negation(decisive): mask}
        for part in parts:
            found: Split = {}
            for before, held in open_ones.items():
                for after, some_of in self.split(part, held, where).items():
                    left = join((before, after))
                    if left == decisive:
                        settled |= some_of
                    else:
                        found[left] = found.get(left, 0) | some_of
            open_ones = found
            if not open_ones:
                break
        return {**open_ones, decisive: settled} if settled else open_ones

    def _answer(self, atom: Atom, where: Where) -> Split:
        of_method = (isinstance(atom, OfCel) and atom.of_method) or (isinstance(atom, OfHeader) and atom.name == ":method")
        of_path = isinstance(atom, OfHeader) and atom.name == ":path"
        key = (atom, where.method if of_method else "", where.path if of_path else "")
        found = self._answers.get(key)
        if found is None:
            found = self._answers[key] = self._asked(atom, where)
        return found

    def _asked(self, atom: Atom, where: Where) -> Split:
        everyone = self.people.everyone
        match atom:
            case OfHeader():
                return {_settled(_of_header(atom, where), atom): everyone}
            case OfPrincipal(key, test) if not is_place(key):  # where it calls from depends on the request
                return _of_principal(atom, self.by_value(key), test)
            case OfCel() if atom.closed and not (atom.of_method and where.method is None):
                return self._of_cel(atom, where.method or "")
        return {atom: everyone}

    def _of_cel(self, atom: OfCel, method: str) -> Split:
        found: Split = {}
        for values, held in self._classes(atom.keys, self.present):
            known = {key: value for key, value in values.items() if not isinstance(value, Missing)}
            plain = {key: value for key, value in known.items() if isinstance(value, str | float)}
            answer = answered_cel(atom, plain, method) if len(plain) == len(known) else None
            left = atom if answer is None else answer
            found[left] = found.get(left, 0) | held
        return found

    def _classes(self, keys: tuple[str, ...], mask: int) -> Iterator[tuple[dict[str, Value], int]]:
        """The people of `mask` in classes of those of whom all these are the same."""
        if not keys:
            yield {}, mask
            return
        for value, held in self.by_value(keys[0]).values.items():
            if held & mask:
                for values, inner in self._classes(keys[1:], held & mask):
                    yield {keys[0]: value, **values}, inner


def _mapped(split: Split, change: Callable[[Formula], Formula]) -> Split:
    found: Split = {}
    for left, held in split.items():
        made = change(left)
        found[made] = found.get(made, 0) | held
    return found


def _within(split: Split, mask: int) -> Split:
    return {left: held & mask for left, held in split.items() if held & mask}


def _settled(answer: bool | None, atom: Atom) -> Formula:
    return atom if answer is None else TRUE if answer else FALSE


def _of_header(atom: OfHeader, where: Where) -> bool | None:
    if atom.name == ":method":
        if where.method is not None:
            return answered(atom.test, where.method)
        if atom.test.kind == "exact":
            return False  # a method that somebody names is asked for by its name
    if atom.name == ":path":
        return answered(atom.test, Begins(where.path))
    return True if atom.name in _ALWAYS and atom.test == StringTest("regex", patterns.ANYTHING) else None


def _of_principal(atom: OfPrincipal, index: Index, test: Test) -> Split:
    exact = isinstance(test, StringTest) and test.kind == "exact" and not test.ignore_case
    asked = index.odd if exact else index.values  # the others needn't be asked one by one
    found: Split = {TRUE: index.values.get(test.text, 0)} if isinstance(test, StringTest) and exact else {}
    told = found.get(TRUE, 0)
    for value, held in asked.items():
        left = _settled(answered(test, value), atom)
        found[left] = found.get(left, 0) | held
        told |= held
    found[FALSE] = found.get(FALSE, 0) | (index.everyone & ~told)
    return {left: held for left, held in found.items() if held}
