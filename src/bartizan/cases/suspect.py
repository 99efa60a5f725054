"""Invariants against what is compiled: who may get where they must not, over all consumers, routes and methods at once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from bartizan.cases.invariant import ANONYMOUS, ANYONE, Invariant, Reach
from bartizan.cases.read import FoundInvariant
from bartizan.compile import Compiled
from bartizan.condition import ConditionError, Schema, parse
from bartizan.condition.tree import Attribute, Size, asked
from bartizan.meaning.access import COMMON, Access, Asked, Point, Verdict, hosts_over
from bartizan.meaning.comparison import points_of
from bartizan.meaning.formula import FALSE, TRUE, Formula, every, negation
from bartizan.meaning.people import Person, people_of
from bartizan.meaning.reading import read_predicate
from bartizan.meaning.settle import settled
from bartizan.meaning.who import Teller, Who
from bartizan.meaning.words import policies, words
from bartizan.meaning.world import Where, World
from bartizan.model.places import is_place
from bartizan.model.policy import within
from bartizan.model.problem import Problem

_MOST = 12
_SORTS = ("anonymous", "consumer", "token", "certificate")


@dataclass(frozen=True, slots=True)
class Suspect:
    """Someone who gets where they must not, if what is open of it holds."""

    person: Person
    point: Point
    method: str | None
    """None: one that nobody names."""
    needs: Formula
    """What must hold for it: `TRUE` if it is so in any case."""
    who: Formula
    """What must hold of the caller for the invariant to mean them: of a token it isn't known beforehand."""
    conditions: tuple[tuple[str, str], ...]
    """The policies on which it hangs, with what they say."""

    @property
    def certain(self) -> bool:
        """Whether it is so whatever else the request holds."""
        return self.needs == TRUE


@dataclass(frozen=True, slots=True)
class Suspicion:
    """All that speaks against an invariant: the worst of it, and how much there is."""

    suspects: tuple[Suspect, ...] = ()
    who: Who | None = None
    spots: int = 0
    """Routes, each with one method."""


@dataclass(slots=True)
class Judge:
    """A compiled configuration, asked about invariants."""

    compiled: Compiled
    access: Access = field(init=False)
    world: World = field(init=False)
    _asked: Asked = field(init=False)

    def __post_init__(self) -> None:
        self.access = Access(self.compiled)
        self.world = World(self.compiled.snapshot, people_of((self.compiled.snapshot,)))
        self._asked = Asked(self.world)

    def problems(self, found: Iterable[FoundInvariant]) -> Iterator[Problem]:
        """What is wrong with these invariants: an invariant about nothing would hold, and show nothing."""
        for one in found:
            reach, at = one.invariant.reach, (one.invariant.verb,)
            yield from _who_problems(one, self._schema())
            if not any(self._spots(reach)):
                where = f"{reach.host or ''}{reach.path}"
                yield Problem(one.place(*at, "path"), "invariant-nowhere", f"no API answers on {where}", "Then nobody gets there.")

    def suspicion(self, invariant: Invariant) -> Suspicion:
        """Who breaks it, as far as can be told without asking Envoy."""
        suspects: dict[tuple[object, ...], Suspect] = {}
        bits = spots = 0
        for point, method in self._spots(invariant.reach):
            before = bits
            found = list(self._breaking(invariant, point, method))
            for held, suspect in found:
                bits |= held
                suspects.setdefault((suspect.person, suspect.certain, suspect.needs), suspect)
            spots += bool(found) or bits != before
        worst = sorted(suspects.values(), key=lambda one: (not one.certain, one.method is None, _SORTS.index(one.person.sort)))
        return Suspicion(tuple(worst[:_MOST]), Teller(self.world).who(bits) if bits else None, spots)

    def _schema(self) -> Schema:
        return Schema.of(self.compiled.snapshot.gateway)

    def _spots(self, reach: Reach) -> Iterator[tuple[Point, str | None]]:
        """Every route there, with every method."""
        named = self.access.methods()
        methods: tuple[str | None, ...] = reach.method or (*COMMON, *sorted(named - set(COMMON)), None)
        for point in self._points(reach):
            for method in methods:
                if self.access.route(point, method) is not None:
                    yield point, method

    def _points(self, reach: Reach) -> Iterator[Point]:
        every_one = points_of(self.access)
        hosts = [reach.host] if reach.host is not None else list(dict.fromkeys(point.host for point in every_one))
        found: dict[Point, None] = {}
        for host in hosts:
            above = set(hosts_over(host))
            found[Point(host, reach.path)] = None
            found.update((Point(host, one.path), None) for one in every_one if one.host in above and within(one.path, reach.path))
        yield from found

    def _breaking(self, invariant: Invariant, point: Point, method: str | None) -> Iterator[tuple[int, Suspect]]:
        route, where = self.access.route(point, method), Where(method, point.path)
        for verdict, held in self._asked.verdicts(route, where).items():
            if verdict.refused:
                continue
            for who, meant in self._meant(invariant, held, where).items():
                needs = settled(every((who, verdict.formula())))
                if needs != FALSE:
                    person = self._first(meant)
                    yield meant, Suspect(person, point, method, needs, who, tuple(self._conditions(verdict)))

    def _meant(self, invariant: Invariant, mask: int, where: Where) -> dict[Formula, int]:
        """Those whom it is broken by if they get there, by what must hold for that."""
        who = invariant.reach.who
        if who == ANYONE:
            return {TRUE: mask}
        if who == ANONYMOUS:
            inside = mask & self.world.anonymous
            found = inside if invariant.never else mask & ~inside
            return {TRUE: found} if found else {}
        formula = read_predicate(parse(who, self._schema()).predicate())
        split = self.world.split(formula if invariant.never else negation(formula), mask, where)
        return {left: held for left, held in split.items() if left != FALSE}

    def _first(self, bits: int) -> Person:
        return min((person for _, person in self.world.people.of(bits)), key=lambda one: _SORTS.index(one.sort))

    def _conditions(self, verdict: Verdict) -> Iterator[tuple[str, str]]:
        held = policies(self.compiled)
        for policy, _ in verdict.open:
            yield policy, words(held[policy]) if policy in held else ""


def _who_problems(one: FoundInvariant, schema: Schema) -> Iterator[Problem]:
    who, at = one.invariant.reach.who, one.place(one.invariant.verb, "who")
    if who in {ANONYMOUS, ANYONE}:
        return
    try:
        condition = parse(who, schema)
    except ConditionError as error:
        for mistake in error.mistakes:
            hint = mistake.hint or f"Or write `{ANONYMOUS}` or `{ANYONE}`."
            yield Problem(at, mistake.code, f"{mistake.message} (line {mistake.line}, column {mistake.column} of the condition)", hint)
        return
    for test in asked(condition.node):
        terms = [getattr(test, slot, None) for slot in ("of", "left", "right")]
        terms = [term.of if isinstance(term, Size) else term for term in terms]
        read = [term for term in terms if term is not None and not isinstance(term, str | int | float)]
        if not read or not all(isinstance(term, Attribute) and not is_place(term.name) for term in read):
            hint = "When, from where and with which method it comes is what an invariant leaves open."
            yield Problem(at, "who-not-principal", "who may ask for the principal, and for nothing else of the request", hint)
            return
