"""Who gets through, as told by one compiled configuration: for everyone at once, on a route, with a method."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bartizan.compile import Compiled
from bartizan.meaning.chain import Route, routes_of
from bartizan.meaning.formula import FALSE, TRUE, Formula, every
from bartizan.meaning.world import Where, World
from bartizan.model.policy import within

COMMON = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_METHOD = re.compile("[A-Z-]+")
NO_ROUTE, CREDENTIALS = "no route", "credentials"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a request, as far as it is known who sends it where. Refused by the first that refuses whatever else comes; or let
    through if what is open holds."""

    refused_by: str = ""
    open: tuple[tuple[str, Formula], ...] = ()
    """What is left to hold, by the policy that asks it."""

    @property
    def refused(self) -> bool:
        """Whether it is refused whatever else it holds."""
        return bool(self.refused_by)

    @property
    def allowed(self) -> bool:
        """Whether it is let through whatever else it holds."""
        return not self.refused_by and not self.open

    def formula(self) -> Formula:
        """What must hold for it to be let through."""
        return FALSE if self.refused_by else every(formula for _, formula in self.open)


Verdicts = dict[Verdict, int]
"""People by what becomes of their request."""


@dataclass(frozen=True, slots=True)
class Point:
    """Where requests go: a host, or a pattern for hosts, and a path with what lies below it."""

    host: str
    path: str


@dataclass(slots=True)
class Access:
    """A compiled configuration that can be asked."""

    compiled: Compiled
    _scopes: dict[str, dict[str, tuple[Route, ...]]] = field(default_factory=dict)
    """By host and path."""

    def __post_init__(self) -> None:
        for part in self.compiled.parts.values():
            read: dict[str, tuple[Route, ...]] = {}
            for scope in part.scopes:  # those of several hosts say the same
                if scope.path not in read:
                    read[scope.path] = routes_of(scope)
                self._scopes.setdefault(scope.host, {})[scope.path] = read[scope.path]

    def points(self) -> Iterator[Point]:
        """Every place where a route begins."""
        for host, paths in self._scopes.items():
            for routes in paths.values():
                yield from (Point(host, route.path) for route in routes)

    def routes(self) -> Iterator[tuple[str, Route]]:
        """Every route, with its path; those of several hosts once for each."""
        for paths in self._scopes.values():
            for routes in paths.values():
                yield from ((route.path, route) for route in routes)

    def methods(self) -> frozenset[str]:
        """The methods that something tells apart, without those that the gate refuses on every route."""
        found = {method for api in self.compiled.snapshot.apis.values() for method in api.methods}
        for paths in self._scopes.values():
            for routes in paths.values():
                for route in routes:
                    found.update(route.named())
        return frozenset(method for method in found if _METHOD.fullmatch(method))

    def route(self, point: Point, method: str | None) -> Route | None:
        """The route of requests there; None if there is none. `method` None is one that nobody names."""
        for host in hosts_over(point.host):
            paths = self._scopes.get(host, {})
            path = _longest(paths, point.path)
            if path is not None:
                return next((one for one in paths[path] if within(point.path, one.path) and one.answers(method)), None)
        return None


def hosts_over(host: str) -> Iterator[str]:
    """The host, and the patterns that it lies in, the narrowest first: in this order a gateway looks for a path."""
    yield host
    rest = host.removeprefix("*.")
    while "." in rest:
        rest = rest.partition(".")[2]
        yield f"*.{rest}"
    if host != "*":
        yield "*"


def _longest(paths: Mapping[str, object], path: str) -> str | None:
    """The longest of the paths that `path` lies in."""
    while path != "/":
        if path in paths:
            return path
        path = path.rpartition("/")[0] or "/"
    return "/" if "/" in paths else None


_Outcome = tuple[int, tuple[tuple[int, Formula], ...]]
"""Which question refuses, or -1; and what is left of which."""


@dataclass(slots=True)
class Asked:
    """Routes asked about the people of a world. Routes that ask the same are asked once."""

    world: World
    _outcomes: dict[tuple[object, ...], dict[_Outcome, int]] = field(default_factory=dict)

    def verdicts(self, route: Route | None, where: Where) -> Verdicts:
        """What becomes of everyone's requests on this route."""
        everyone = self.world.people.everyone
        if route is None:
            return {Verdict(NO_ROUTE): everyone}
        found: Verdicts = {}
        for (refuser, left), held in self._asked(route, where).items():
            open_ones = tuple((route.asks[place][0], formula) for place, formula in left)
            verdict = Verdict(route.asks[refuser][0]) if refuser >= 0 else Verdict(open=open_ones)
            found[verdict] = found.get(verdict, 0) | held
        absent = everyone & ~self.world.present
        if absent and not route.public:
            found[Verdict(CREDENTIALS)] = absent
        return found

    def _asked(self, route: Route, where: Where) -> dict[_Outcome, int]:
        formulas = tuple(formula for _, formula in route.asks)
        key = (formulas, route.public, where.method if route.of_method else "", where.path if route.of_path else "")
        found = self._outcomes.get(key)
        if found is None:
            mask = self.world.anonymous if route.public else self.world.present
            found = self._split(formulas, mask, where)
            if route.public:  # credentials are taken off: what becomes of anonymous callers becomes of all
                found = {outcome: self.world.people.everyone for outcome in found}
            self._outcomes[key] = found
        return found

    def _split(self, formulas: tuple[Formula, ...], mask: int, where: Where) -> dict[_Outcome, int]:
        open_ones: dict[tuple[tuple[int, Formula], ...], int] = {(): mask}
        refused: dict[_Outcome, int] = {}
        for place, formula in enumerate(formulas):
            found: dict[tuple[tuple[int, Formula], ...], int] = {}
            for before, held in open_ones.items():
                for left, some_of in self.world.split(formula, held, where).items():
                    after = before if left == TRUE else (*before, (place, left))
                    if left == FALSE or (after is not before and every(one for _, one in after) == FALSE):
                        refused[place, ()] = refused.get((place, ()), 0) | some_of
                    else:
                        found[after] = found.get(after, 0) | some_of
            open_ones = found
        return {**{(-1, left): held for left, held in open_ones.items()}, **refused}
