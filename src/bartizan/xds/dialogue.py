"""One Envoy's side of delta ADS, without the network: what it asks for and has been sent, answers in, answers out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bartizan.xds.redact import redacted
from bartizan.xds.release import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SECRET, Resource

_WILDCARD = "*"
_NAMED_AND_WAITED_FOR = frozenset({ENDPOINTS, ROUTES, SECRET})
"""Envoy waits 15 s for these unless told that they don't exist. A filter's configuration isn't one: its listener shall stay closed."""


@dataclass(frozen=True, slots=True)
class Request:
    """A DeltaDiscoveryRequest, in the fields that matter."""

    type_url: str
    subscribe: Sequence[str] = ()
    unsubscribe: Sequence[str] = ()
    held: dict[str, str] = field(default_factory=dict)
    """What Envoy has from an earlier stream: names and versions."""
    nonce: str = ""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """A DeltaDiscoveryResponse, in the fields that matter."""

    type_url: str
    nonce: str
    resources: tuple[Resource, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A response that Envoy didn't take, and what it said of it."""

    type_url: str
    names: tuple[str, ...]
    error: str

    def __str__(self) -> str:
        return f"Envoy refuses {self.type_url.rpartition('.')[2]} {', '.join(self.names[:3])}: {self.error}"


class _Subscription:
    """What one stream asks for of one type."""

    def __init__(self, subscribe: Sequence[str]) -> None:
        self.wildcard = not subscribe or _WILDCARD in subscribe
        self.names = {name for name in subscribe if name != _WILDCARD}

    def covers(self, name: str) -> bool:
        return self.wildcard or name in self.names


class Holding(Protocol):
    """What is held, by type and name."""

    def of(self, type_url: str) -> Mapping[str, Resource]: ...


class Dialogue:
    """The talk with one Envoy over one stream. `state` is the server's, which changes beneath it."""

    def __init__(self, state: Holding) -> None:
        self._state = state
        self._of: dict[str, _Subscription] = {}
        self._unanswered: dict[str, Response] = {}
        self._nonces = 0

    @property
    def quiet(self) -> bool:
        """Envoy has asked for all that it asks for at its start, and has answered all that it was sent.

        It subscribes to what a resource names before it acknowledges that resource, so nothing is on its way either.
        """
        return not self._unanswered and CLUSTER in self._of and LISTENER in self._of

    def receive(self, request: Request) -> tuple[list[Response], Refusal | None]:
        """What to answer, and what Envoy refused."""
        refusal = self._answered(request)
        known = self._of.get(request.type_url)
        if known is None:
            return self._first(request), refusal
        self._unsubscribe(known, request.unsubscribe)
        if not request.subscribe:
            return [], refusal
        return self._subscribed(request.type_url, known, request.subscribe), refusal

    def push(self, type_url: str, changed: Iterable[Resource], removed: Iterable[str]) -> list[Response]:
        """What of a change concerns this Envoy. What it has never asked for doesn't."""
        known = self._of.get(type_url)
        if known is None:
            return []
        send = tuple(one for one in changed if known.covers(one.name))
        gone = tuple(name for name in removed if known.covers(name))
        return [self._response(type_url, send, gone)] if send or gone else []

    def _first(self, request: Request) -> list[Response]:
        """A stream's first request of a type. What Envoy kept from an earlier stream isn't sent again."""
        known = self._of[request.type_url] = _Subscription(request.subscribe)
        of = self._state.of(request.type_url)
        asked = of.values() if known.wildcard else [of[name] for name in dict.fromkeys(request.subscribe) if name in of]
        send = tuple(one for one in asked if request.held.get(one.name) != one.version)
        missing = request.held.keys() | (known.names if request.type_url in _NAMED_AND_WAITED_FOR else set())
        gone = tuple(name for name in sorted(missing) if name not in of)
        if send or gone or (known.wildcard and not request.held):  # an empty wildcard is answered, or listeners wait 15 s
            return [self._response(request.type_url, send, gone)]
        return []

    def _subscribed(self, type_url: str, known: _Subscription, names: Sequence[str]) -> list[Response]:
        """Names asked for later. Each is sent, even one that was sent before: Envoy asks again when it has dropped it."""
        of = self._state.of(type_url)
        known.names.update(name for name in names if name != _WILDCARD)
        if _WILDCARD in names:
            known.wildcard = True
            return [self._response(type_url, tuple(of.values()), ())]
        send = tuple(of[name] for name in names if name in of)
        gone = tuple(name for name in names if name not in of) if type_url in _NAMED_AND_WAITED_FOR else ()
        return [self._response(type_url, send, gone)] if send or gone else []

    @staticmethod
    def _unsubscribe(known: _Subscription, names: Sequence[str]) -> None:
        for name in names:
            known.names.discard(name)
            if name == _WILDCARD:
                known.wildcard = False

    def _answered(self, request: Request) -> Refusal | None:
        sent = self._unanswered.pop(request.nonce, None)
        if request.error is None:
            return None
        names = tuple(one.name for one in sent.resources) + sent.removed if sent else ()
        return Refusal(request.type_url, names, redacted(request.error))

    def _response(self, type_url: str, resources: tuple[Resource, ...], removed: tuple[str, ...]) -> Response:
        self._nonces += 1
        response = Response(type_url, str(self._nonces), resources, removed)
        self._unanswered[response.nonce] = response
        return response
