"""Policies that decide nothing: taken away, they would change nothing, whoever calls. Told from the predicates that Envoy is given.

Nothing is known of anybody here but how they show who they are: a rule that refuses none of the consumers of today may be needed for
one of tomorrow, and isn't dead.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from bartizan.compile import Compiled
from bartizan.compile.coverage import nearness
from bartizan.condition.schema import DEVICE
from bartizan.meaning.access import COMMON, CREDENTIALS, Access, Asked
from bartizan.meaning.chain import Asks, Route
from bartizan.meaning.formula import Formula
from bartizan.meaning.implied import lean
from bartizan.meaning.people import ANONYMOUS, KEY, Known, People, Person, client_cas
from bartizan.meaning.settle import settled
from bartizan.meaning.values import UNKNOWN, Begins, Value
from bartizan.meaning.world import Where, World
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot
from bartizan.policies import Phase, PolicyKind

Why = Literal["dead", "allows everything", "covers nothing"]
_SOMEONE = "someone"
_MOST_NAMED = 3
_DECIDING = frozenset({Phase.BEFORE_AUTHENTICATION, Phase.AUTHORIZATION})


@dataclass(frozen=True, slots=True)
class Idle:
    """A policy that decides nothing."""

    policy: PolicyKind
    why: Why
    covered_by: tuple[str, ...] = ()
    """Of a dead one: a policy that refuses at least as much alone; or, if none does alone, those that do so together."""


@dataclass(frozen=True, slots=True)
class _Spot:
    """A route asked about requests with one method."""

    route: Route
    where: Where

    def asks(self, policy: str) -> bool:
        return any(name == policy for name, _ in self.route.asks)

    def only(self, keep: Mapping[str, bool]) -> Route:
        """The route without those that aren't to be kept."""
        return replace(self.route, asks=tuple(one for one in self.route.asks if keep.get(one[0], True)))


def idle(compiled: Compiled) -> tuple[Idle, ...]:
    """All that decide nothing, in the order of their ids. Of two that say the same, the one with the narrower target is dead."""
    return tuple(sorted(_Finder(compiled).found(), key=lambda one: one.policy.id))


def problem_of(made: Compiled, one: Idle) -> Problem:
    """What there is to say of it, and where it stands."""
    at = made.snapshot.resource(one.policy).place()
    if one.why == "allows everything":
        return Problem(
            at, "rule-allows-everything", "it lets everything through that comes to it", "Say whom it may let through, or take it out."
        )
    if one.why == "covers nothing":
        return Problem(at, "rule-covers-nothing", "no request can come to it", "Look at its target: no route is left of it.")
    others = ", ".join(one.covered_by[:_MOST_NAMED])
    if len(one.covered_by) == 1:
        told = f"it is dead: {others} refuses all that it would refuse"
    else:
        more = f" and {len(one.covered_by) - _MOST_NAMED} more" if len(one.covered_by) > _MOST_NAMED else ""
        told = f"it is dead: {others}{more} together refuse all that it would refuse"
    return Problem(at, "rule-dead", told, "Take it out, or mend what it says: without it nothing changes for anybody.")


@dataclass(slots=True)
class _Finder:
    compiled: Compiled
    _asked: Asked = field(init=False)
    _spots: tuple[_Spot, ...] = field(init=False)
    _gone: dict[str, bool] = field(default_factory=dict)
    """The dead: what covers one of them must not be another."""

    def __post_init__(self) -> None:
        self._asked = Asked(_world(self.compiled.snapshot))
        self._spots = tuple(dict.fromkeys(_spots(Access(self.compiled))))

    def found(self) -> Iterator[Idle]:
        dead: list[tuple[PolicyKind, list[_Spot]]] = []
        for policy in sorted(_deciding(self.compiled.snapshot), key=_order):
            spots = [spot for spot in self._spots if spot.asks(policy.id)]
            if not spots:
                yield Idle(policy, "covers nothing")
            elif all(self._lets_all_through(spot, policy.id) for spot in spots):
                yield Idle(policy, "allows everything")
            elif all(self._same_without(spot, policy.id) for spot in spots):
                self._gone[policy.id] = False
                dead.append((policy, spots))
        for policy, spots in dead:
            yield Idle(policy, "dead", self._covering(spots, policy.id))

    def _lets_all_through(self, spot: _Spot, policy: str) -> bool:
        alone = replace(spot.route, asks=_of(spot.route.asks, {policy}))
        verdicts = [verdict for verdict, held in self._asked.verdicts(alone, spot.where).items() if held]
        return all(verdict.allowed or verdict.refused_by == CREDENTIALS for verdict in verdicts)

    def _same_without(self, spot: _Spot, policy: str) -> bool:
        return self._becomes(spot.only(self._gone), spot.where) == self._becomes(spot.only({**self._gone, policy: False}), spot.where)

    def _covering(self, spots: list[_Spot], policy: str) -> tuple[str, ...]:
        others = [name for name, _ in spots[0].route.asks if name != policy and self._gone.get(name, True)]
        alone = [name for name in others if all(self._covers(spot, name, policy) for spot in spots)]
        refusing = (name for spot in spots for name, _ in spot.route.asks if name != policy and self._gone.get(name, True))
        return (alone[0],) if alone else tuple(dict.fromkeys(refusing))

    def _covers(self, spot: _Spot, name: str, policy: str) -> bool:
        one, both = (replace(spot.route, asks=_of(spot.route.asks, names)) for names in ({name}, {name, policy}))
        return spot.asks(name) and self._becomes(one, spot.where) == self._becomes(both, spot.where)

    def _becomes(self, route: Route, where: Where) -> dict[Formula, int]:
        """People by what must hold for them to be let through."""
        found: dict[Formula, int] = {}
        for verdict, held in self._asked.verdicts(route, where).items():
            formula = lean(settled(verdict.formula()))
            found[formula] = found.get(formula, 0) | held
        return {formula: held for formula, held in found.items() if held}


def _of(asks: tuple[Asks, ...], names: set[str]) -> tuple[Asks, ...]:
    return tuple(one for one in asks if one[0] in names)


def _order(policy: PolicyKind) -> tuple[bool, tuple[bool, int, bool], str]:
    """The narrowest first: of two that say the same, the wider one stays; and the owner's stays in any case."""
    near = nearness(policy)
    return policy.floor, (not near[0], -near[1], not near[2]), policy.id


def _deciding(snapshot: Snapshot) -> Iterator[PolicyKind]:
    """The policies that only let through or refuse. One that says who calls does more than that."""
    kinds = (one for one in snapshot.policies if isinstance(one, PolicyKind) and one.phase in _DECIDING)
    yield from (one for one in kinds if one.mode == "enforce" and not one.of_listener and not one.nearest)


def _spots(access: Access) -> Iterator[_Spot]:
    named = access.methods()
    for path, route in access.routes():
        every: tuple[str | None, ...] = (*COMMON, *sorted(named - set(COMMON)), None)
        answered = [method for method in every if route.answers(method)] or list(route.methods)
        for method in answered if route.of_method else answered[:1]:
            yield _Spot(route, Where(method, path))


def _world(snapshot: Snapshot) -> World:
    """One of each sort of callers, of whom nothing else is known."""
    cas = client_cas(snapshot)
    people = (
        ANONYMOUS,
        *(Person("token", issuer) for issuer in snapshot.issuers),
        *(Person("certificate", ca) for ca in cas),
        *(Person("consumer", _SOMEONE, way) for way in (KEY, *cas)),
    )
    return World(snapshot, People(people), knows=_barely)


def _barely(person: Person, snapshot: Snapshot) -> Known | None:
    said = {} if person.sort == "anonymous" else dict.fromkeys(snapshot.contextual(), UNKNOWN)
    return {**dict.fromkeys(DEVICE, UNKNOWN), **_who(person, snapshot), **said}


def _who(person: Person, snapshot: Snapshot) -> Known:
    unknown: dict[str, Value] = {name: UNKNOWN for name in ("id", "key", "groups", *snapshot.gateway.attributes)}
    match person.sort:
        case "anonymous":
            return {}
        case "token":
            issuer = snapshot.issuers[person.name]
            claims = {name: UNKNOWN for name in issuer.attributes if name in snapshot.gateway.attributes}
            return {
                "method": "jwt",
                "issuer": person.name,
                "id": Begins(f"{issuer.issuer}|"),
                "groups": UNKNOWN,
                "bound": UNKNOWN,
                **claims,
            }
        case "certificate":
            return {"method": "mtls", "issuer": person.name, "id": Begins(f"{person.name}|")}
    way: dict[str, Value] = {"method": KEY} if person.by == KEY else {"method": "mtls", "issuer": person.by}
    return {**unknown, **way}
