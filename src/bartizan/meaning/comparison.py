"""Two compiled configurations side by side, wherever either has a route."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from bartizan.meaning.access import COMMON, Access, Asked, Point, Verdict, hosts_over
from bartizan.meaning.chain import Route
from bartizan.meaning.changes import OTHER_METHODS, Change, Condition, Group, Kind, LimitChange, Moved, Place, State, Status, What
from bartizan.meaning.formula import Formula
from bartizan.meaning.tiers import Tiers
from bartizan.meaning.who import Teller
from bartizan.meaning.words import limits, words
from bartizan.meaning.world import Where
from bartizan.model.policy import within
from bartizan.policies import PolicyKind

_ORDER = ("loses", "gains", "conditions")


@dataclass(frozen=True, slots=True)
class _Told:
    """A verdict as it is told: alike for policies that say the same, whose names stand beside it."""

    state: State
    names: tuple[str, ...]
    """The policy of each condition."""
    needs: Formula
    """What must hold for it to be let through."""


@dataclass(slots=True)
class Side:
    """A configuration and the people that it is asked about."""

    access: Access
    asked: Asked
    held: Mapping[str, PolicyKind]
    """Its policies, by their ids."""
    _told: dict[Verdict, _Told] = field(default_factory=dict)
    _words: dict[str, str] = field(default_factory=dict)
    limits: dict[str, PolicyKind] = field(init=False)
    """What limits how often one may call, by the name under which routes count."""
    tiers: Tiers = field(init=False)

    def __post_init__(self) -> None:
        self.limits, self.tiers = limits(self.held), Tiers(self.asked.world)

    def told(self, verdict: Verdict) -> _Told:
        """A verdict in the policies' words."""
        if verdict not in self._told:
            names = (verdict.refused_by,) if verdict.refused else tuple(policy for policy, _ in verdict.open)
            kind: Kind = "refused" if verdict.refused else "conditional" if names else "allowed"
            state = State(kind, tuple(Condition(self.words(name)) for name in names))
            self._told[verdict] = _Told(state, names, verdict.formula())
        return self._told[verdict]

    def words(self, policy: str) -> str:
        """What a policy says; what else may refuse is told by its name."""
        if policy not in self._words:
            self._words[policy] = words(self.held[policy]) if policy in self.held else policy
        return self._words[policy]


_Line = tuple[What, int, State, State]
_Limit = tuple[str, tuple[str, str], tuple[tuple[int, str, str], ...]]
"""A limit's id, what it said and says, and who falls under something else."""
_Names = tuple[tuple[str, ...], ...]
"""Of each line the policies of its conditions, before and after."""


@dataclass(slots=True)
class Comparison:
    """What becomes of the same people on both sides."""

    left: Side
    right: Side
    teller: Teller

    def groups(self) -> tuple[Group, ...]:
        """Places by what changes there."""
        places: dict[tuple[_Line, ...], list[Place]] = {}
        named: dict[tuple[_Line, ...], dict[_Names, None]] = {}
        for point, methods in self._spots():
            by_lines: dict[tuple[_Line, ...], list[str]] = {}
            for method in methods:
                lines, policies = self._compared(point, method)
                if lines:
                    by_lines.setdefault(lines, []).append(method or OTHER_METHODS)
                    named.setdefault(lines, {})[policies] = None
            for lines, found in by_lines.items():
                places.setdefault(lines, []).append(self._place(point, tuple(found), len(found) == len(methods)))
        return tuple(Group(_merged(places[lines]), tuple(self._changes(lines, named[lines]))) for lines in places)

    def _changes(self, lines: tuple[_Line, ...], named: Iterable[_Names]) -> Iterator[Change]:
        for (what, bits, before, after), names in zip(lines, zip(*named, strict=True), strict=True):
            policies = [tuple(dict.fromkeys(each)) for each in zip(*names, strict=True)]
            split = len(before.conditions)
            yield Change(what, self.teller.who(bits), _named(before, policies[:split]), _named(after, policies[split:]))

    def _spots(self) -> Iterator[tuple[Point, tuple[str | None, ...]]]:
        named = self.left.access.methods() | self.right.access.methods()
        methods = (*COMMON, *sorted(named - set(COMMON)), None)
        for point in points_of(self.left.access, self.right.access):
            yield point, methods

    def _routes(self, point: Point, method: str | None) -> tuple[Route | None, Route | None]:
        return self.left.access.route(point, method), self.right.access.route(point, method)

    def _compared(self, point: Point, method: str | None) -> tuple[tuple[_Line, ...], _Names]:
        before, after = self._routes(point, method)
        same_world = self.left.asked is self.right.asked
        alike = before is not None and after is not None and before.asks_the_same(after)
        if (same_world and alike) or (before is None and after is None):
            return (), ()
        where = Where(method, point.path)
        found: dict[tuple[What, State, State], tuple[int, tuple[str, ...]]] = {}
        was, will = self.left.asked.verdicts(before, where), self.right.asked.verdicts(after, where)
        for old, some in was.items():
            for new, others in will.items():
                both = some & others
                what = self._what(old, new) if both else None
                if what is not None:
                    left, right = self.left.told(old), self.right.told(new)
                    bits, names = found.get((what, left.state, right.state), (0, (*left.names, *right.names)))
                    found[what, left.state, right.state] = bits | both, names
        lines = sorted(found.items(), key=lambda one: _ORDER.index(one[0][0]))
        return tuple((what, bits, old, new) for (what, old, new), (bits, _) in lines), tuple(names for _, (_, names) in lines)

    def _what(self, old: Verdict, new: Verdict) -> What | None:
        if self.left.told(old).needs == self.right.told(new).needs:
            return None
        return "gains" if old.refused else "loses" if new.refused else "conditions"

    def _place(self, point: Point, methods: tuple[str, ...], any_method: bool) -> Place:
        routes = [self._routes(point, None if one == OTHER_METHODS else one) for one in methods]
        before, after = next((old, new) for old, new in routes if old or new)
        status: Status = "new" if before is None else "removed" if after is None else "kept"
        api = after.api if after is not None else before.api if before is not None else ""
        return Place(api, point.host, point.path, () if any_method else methods, status)

    def limits(self) -> tuple[LimitChange, ...]:
        """The limits that are others, or others' than before, by place. Those of routes that come or go are told by the routes."""
        found: dict[_Limit, dict[Point, list[str]]] = {}
        every = 0
        for point, methods in self._spots():
            every = len(methods)
            for method in methods:
                before, after = self._routes(point, method)
                if before is not None and after is not None and (before.limits or after.limits):
                    for change in self._other_limits((before, after), Where(method, point.path)):
                        found.setdefault(change, {}).setdefault(point, []).append(method or OTHER_METHODS)
        return tuple(
            LimitChange(
                policy,
                *texts,
                _merged(self._place(at, tuple(names), len(names) == every) for at, names in where.items()),
                tuple(Moved(self.teller.who(bits), old, new) for bits, old, new in moved),
            )
            for (policy, texts, moved), where in found.items()
        )

    def _other_limits(self, routes: tuple[Route, Route], where: Where) -> Iterator[_Limit]:
        before, after = routes
        for name in dict.fromkeys((*before.limits, *after.limits)):
            was = self.left.limits.get(name) if name in before.limits else None
            will = self.right.limits.get(name) if name in after.limits else None
            if was is will and self.left.asked is self.right.asked:
                continue
            texts = self.left.words(was.id) if was else "", self.right.words(will.id) if will else ""
            if texts[0] != texts[1] or self.left.asked is not self.right.asked:
                moved = self._moved((was, will), where)
                if (texts[0] != texts[1] or moved) and (known := will or was):
                    yield known.id, texts, moved

    def _moved(self, limits: tuple[PolicyKind | None, PolicyKind | None], where: Where) -> tuple[tuple[int, str, str], ...]:
        among = self.left.asked.world.present & self.right.asked.world.present
        sides = zip((self.left, self.right), limits, strict=True)
        old, new = (side.tiers.held_to(one, where) if one is not None else {"": among} for side, one in sides)
        pairs = ((some & others & among, was, will) for was, some in old.items() for will, others in new.items() if was != will)
        everyone = self.teller.world.people.everyone
        return tuple((everyone if bits == among else bits, was, will) for bits, was, will in pairs if bits)


def _named(state: State, policies: Iterable[tuple[str, ...]]) -> State:
    return State(state.kind, tuple(Condition(one.text, names) for one, names in zip(state.conditions, policies, strict=True)))


def _merged(places: Iterable[Place]) -> tuple[Place, ...]:
    """Places in order, each once."""
    return tuple(dict.fromkeys(sorted(places, key=lambda one: (one.api, one.path, one.host))))


def points_of(*sides: Access) -> tuple[Point, ...]:
    """Every place where a route of one of them begins; for a host of its own also those of wider patterns that lie within its paths."""
    found = dict.fromkeys(point for side in sides for point in side.points())
    by_host: dict[str, set[str]] = {}
    for point in found:
        by_host.setdefault(point.host, set()).add(point.path)
    for host, own in by_host.items():
        for wider in list(hosts_over(host))[1:]:
            for path in by_host.get(wider, set()) - own:
                if any(within(path, one) for one in own):
                    found.setdefault(Point(host, path))
    return tuple(found)
