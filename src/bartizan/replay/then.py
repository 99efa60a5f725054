"""What was asked of principals when a record was written: an attribute that it lacks was missing only if somebody asked for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bartizan.compile import Compiled
from bartizan.compile.covering import scopes_of
from bartizan.condition.schema import NOTED

RevisionsOf = Callable[[str, str, str], frozenset[str]]
"""The revisions that brought the rules of a route, by its API, path and method, as the running gateway holds it."""


@dataclass(slots=True)
class Then:
    """What the active revision asks for, of those records that it judged. Of others nothing is known."""

    active: Compiled
    revisions: RevisionsOf = lambda api, route, method: frozenset()
    _known: dict[tuple[str, str, str, str], frozenset[str]] = field(default_factory=dict)

    def __call__(self, record: Mapping[str, Any]) -> frozenset[str]:
        where = tuple(str(record.get(name) or "") for name in ("revision", "api", "route", "http_method"))
        if where not in self._known:
            self._known[where] = self._asked(*where)  # type: ignore[index]
        return self._known[where]  # type: ignore[index]

    def _asked(self, revision: str, api: str, route: str, method: str) -> frozenset[str]:
        part = self.active.parts.get(api)
        if part is None or not revision:
            return frozenset()
        if revision != self.active.snapshot.revision and revision not in self.revisions(api, route, method):
            return frozenset()
        wanted = frozenset(scopes_of(self.active, api, route))
        texts = [scope.config.SerializeToString() for scope in part.scopes if scope.name in wanted]
        gateway = self.active.snapshot.gateway
        names = ("groups", *NOTED, *gateway.attributes, *gateway.places.told())
        # Whatever asks for an attribute names it; that is how the gateway itself tells which to note.
        return frozenset(name for name in names if texts and all(name.encode() in text for text in texts))
