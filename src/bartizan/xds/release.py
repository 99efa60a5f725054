"""A release: what changes in Envoy, in which order, and under which revision and generation."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from bartizan.xds.tree import Key, Tree

TYPE = "type.googleapis.com/"
CLUSTER = TYPE + "envoy.config.cluster.v3.Cluster"
ENDPOINTS = TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment"
SECRET = TYPE + "envoy.extensions.transport_sockets.tls.v3.Secret"
EXTENSION = TYPE + "envoy.config.core.v3.TypedExtensionConfig"
LISTENER = TYPE + "envoy.config.listener.v3.Listener"
ROUTES = TYPE + "envoy.config.route.v3.RouteConfiguration"
SCOPE = TYPE + "envoy.config.route.v3.ScopedRouteConfiguration"
NOTE = TYPE + "bartizan.v1.Note"
"""What a node is told beside what its Envoy gets."""

ORDER = (CLUSTER, ENDPOINTS, SECRET, EXTENSION, LISTENER, ROUTES, SCOPE)
"""How the changes of one step are sent: what is named before what names it. Removals go the other way round."""

_VERSION_BYTES = 8

Versions: TypeAlias = dict[str, dict[str, str]]
"""Type URL -> name -> version."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of Envoy's as it travels: `body` is the serialized message, `digest` its SHA-256."""

    type_url: str
    name: str
    digest: bytes = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def key(self) -> Key:
        return self.type_url, self.name

    @property
    def version(self) -> str:
        """What Envoy is told that it has."""
        return self.digest[:_VERSION_BYTES].hex()


@dataclass(frozen=True, slots=True)
class Step:
    """Changes that are sent together. The next step is sent when Envoy has acknowledged this one."""

    changed: tuple[Resource, ...] = ()
    removed: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Position:
    """Where a state stands: the policies' revision, the live data's generation, and a number that only grows."""

    sequence: int = 0
    revision: str = ""
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Release:
    """What leads from one state to the next."""

    sequence: int
    revision: str
    generation: int
    steps: tuple[Step, ...]

    @property
    def position(self) -> Position:
        return Position(self.sequence, self.revision, self.generation)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a release. Neither acknowledged nor an error: it is held, and no Envoy was there to take it."""

    acknowledged: bool
    error: str | None = None
    took_s: float = 0.0


class State:
    """All resources that are held, by type and name."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, Resource]] = {}
        self._tree = Tree()

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def __iter__(self) -> Iterator[Resource]:
        for named in self._of.values():
            yield from named.values()

    def of(self, type_url: str) -> Mapping[str, Resource]:
        return self._of.get(type_url, {})

    def versions(self) -> Versions:
        return {type_url: {name: held.version for name, held in named.items()} for type_url, named in self._of.items() if named}

    @property
    def digest(self) -> str:
        """A hash over all that is held."""
        return self._tree.root().hex()

    def digest_after(self, steps: Iterable[Step]) -> str:
        """What `digest` would be after these steps."""
        changes: dict[Key, bytes | None] = {}
        for step in steps:
            changes |= {one.key: one.digest for one in step.changed}
            changes |= dict.fromkeys(step.removed)
        return self._tree.root(changes).hex()

    def take(self, step: Step) -> Step:
        """Makes the step's changes. Returns the step that leads back."""
        before: dict[Key, Resource | None] = {}
        for new in step.changed:
            named = self._of.setdefault(new.type_url, {})
            before.setdefault(new.key, named.get(new.name))
            named[new.name] = new
            self._tree.put(new.key, new.digest)
        for type_url, name in step.removed:
            gone = self._of.get(type_url, {}).pop(name, None)
            if gone:
                before.setdefault(gone.key, gone)
                self._tree.drop(gone.key)
        return Step(tuple(old for old in before.values() if old), tuple(key for key, old in before.items() if old is None))

    def lacking(self, held: Versions) -> Step:
        """What leads from a state with these versions to this one."""
        changed = tuple(one for one in self if held.get(one.type_url, {}).get(one.name) != one.version)
        removed = tuple((type_url, name) for type_url, names in held.items() for name in names if name not in self.of(type_url))
        return Step(changed, removed)


def resource(type_url: str, name: str, body: bytes) -> Resource:
    return Resource(type_url, name, hashlib.sha256(body).digest(), body)


def rank(type_url: str) -> int:
    """The place of a type in `ORDER`; one that isn't in it comes last."""
    return ORDER.index(type_url) if type_url in ORDER else len(ORDER)


__all__ = ["Key", "Outcome", "Position", "Release", "Resource", "State", "Step", "Versions", "rank", "resource"]
