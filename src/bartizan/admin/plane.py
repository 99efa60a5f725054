"""What the admin API asks of the control plane."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeAlias

from bartizan.identity.accounts import Accounts
from bartizan.identity.brake import Brake, Brakes
from bartizan.identity.key_record import WantedKey
from bartizan.identity.operators import Operators
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Key, Snapshot
from bartizan.rollout.asking import By
from bartizan.rollout.stages import Asked, Rollout
from bartizan.store import Commit, Event, Proposal, Store
from bartizan.telemetry.callers import History, Sees

Documents: TypeAlias = Mapping[tuple[str, str], bytes | None]


class Envoy(Protocol):
    """The gateway's own Envoy."""

    async def prometheus(self) -> str: ...
    async def ready(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class HypotheticalRequest:
    """A request that hasn't happened, and who sends it: a consumer, or a token of an issuer, or a certificate of a CA, or nobody."""

    method: str
    path: str
    host: str = "localhost"
    headers: tuple[tuple[str, str], ...] = ()
    consumer: str = ""
    issuer: str = ""
    subject: str = ""
    claims: Mapping[str, Any] = field(default_factory=dict)
    ca: str = ""
    san: str = ""
    fingerprint: str = ""
    device: str = ""
    at: datetime | None = None
    source: str = "127.0.0.1"
    listener: str = ""
    size: int = 0
    place: Mapping[str, str] = field(default_factory=dict)
    context: Mapping[str, Any] | None = None
    """What context sources say of who asks; None: what they say now."""


class Trials(Protocol):
    """What can be tried out; nothing of it decides anything."""

    async def tests(self, revision: str | None) -> dict[str, Any]: ...
    async def diff(
        self, revision: str | None, documents: Callable[[Snapshot], Documents] | None, files: Mapping[str, bytes], against: str | None
    ) -> dict[str, Any]: ...
    async def explain(self, wanted: HypotheticalRequest, revision: str | None) -> dict[str, Any]: ...
    async def replay(self, revision: str | None, last: timedelta, most: int) -> dict[str, Any]: ...
    def replayed(self, ident: str) -> dict[str, Any]: ...


class Named(Protocol):
    """The named secrets. No value is ever told."""

    def all(self) -> list[dict[str, Any]]: ...
    async def set(self, key: tuple[str | None, str], to: tuple[str, ...], value: str, by: By) -> dict[str, Any]: ...
    async def delete(self, key: tuple[str | None, str], by: By, *, force: bool) -> dict[str, Any]: ...


class Keys(Protocol):
    """The API keys of consumers. A text is told when a key is made or rotated, and never again."""

    def some(self, consumer: str | None, after: str, most: int) -> tuple[list[dict[str, Any]], bool]: ...
    def owners(self, ident: str) -> bool: ...
    def owners_consumer(self, name: str) -> bool: ...
    async def make(self, wanted: WantedKey, by: By) -> dict[str, Any]: ...
    async def rotate(self, ident: str, overlap: float, expires: float | None, by: By) -> dict[str, Any]: ...
    async def revoke(self, ident: str, by: By) -> dict[str, Any]: ...


class Proposals(Protocol):
    """Changes that somebody proposes. None of them decides anything; `team`: whose alone are seen, None for all."""

    async def make(self, documents: Documents, by: By) -> Proposal: ...
    async def all(self, team: str | None) -> tuple[Proposal, ...]: ...
    async def one(self, ident: str, team: str | None) -> Proposal: ...
    async def stale(self, one: Proposal) -> tuple[str, list[str]]: ...
    async def diff(self, one: Proposal) -> dict[str, Any]: ...
    async def apply(self, one: Proposal, by: By, on: str) -> Commit: ...
    async def discard(self, one: Proposal, by: By) -> None: ...


class Hygiene(Protocol):
    """What is no good any more of what is active."""

    async def findings(self) -> tuple[Problem, ...]: ...


class Contexts(Protocol):
    """What context sources say."""

    def all(self) -> list[dict[str, Any]]: ...
    def told(self, name: str) -> dict[str, Any]: ...
    def etag(self, name: str) -> str: ...
    def some(self, name: str, after: str, most: int) -> tuple[list[dict[str, Any]], bool]: ...
    def one(self, name: str, subject: str) -> dict[str, Any]: ...
    def subject_tag(self, name: str, subject: str) -> str | None: ...
    async def push_all(self, name: str, said: Mapping[str, Any], check: Callable[[], None]) -> dict[str, Any]: ...
    async def push_one(self, name: str, subject: str, values: dict[str, Any] | None) -> dict[str, Any]: ...


class Plane(Protocol):
    """The control plane."""

    @property
    def proposals(self) -> Proposals: ...

    @property
    def hygiene(self) -> Hygiene: ...

    @property
    def contexts(self) -> Contexts: ...

    @property
    def keys(self) -> Keys: ...

    @property
    def named(self) -> Named: ...

    @property
    def trials(self) -> Trials: ...

    @property
    def envoy(self) -> Envoy: ...
    @property
    def store(self) -> Store: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def operators(self) -> Operators: ...
    @property
    def brakes(self) -> Brakes: ...
    @property
    def rollout(self) -> Rollout | None: ...

    def status(self) -> dict[str, Any]: ...
    def gateway_name(self) -> str: ...
    def digests(self) -> dict[str, str]: ...
    def declared(self, kind: str, name: str) -> dict[str, Any] | None: ...
    def covering(self, api: str, route: str, method: str, revision: str = "") -> dict[str, Any]: ...
    async def explained(self, request_id: str) -> dict[str, Any]:
        """The decision on a request that has happened, by its record. NotFound if there is none."""
        ...

    def active(self) -> Snapshot:
        """What is active. Unavailable if nothing is yet."""
        ...

    async def newest(self) -> Snapshot:
        """What the newest revision says that wasn't given up, be it active or on its way out. Unavailable if there is none yet."""
        ...

    def refused(self, event: Event) -> None:
        """Notes that somebody was refused. Bounded, and nobody waits for it."""
        ...

    async def audit(self, actor: str, action: str, target: str, origin: str, **details: Any) -> None:
        """Notes that somebody did something."""
        ...

    async def change(
        self, documents: Documents, by: By, parent: int | None, files: Mapping[str, bytes] = ..., seen: str | None = None
    ) -> Commit:
        """Documents put or, with None, taken away, as one change of what is newest; and contents of files that policies name. `seen`: the
        revision on which all was looked at; Conflict if it isn't the newest any more."""
        ...

    async def judged(self, documents: Documents, by: By) -> tuple[Snapshot, Snapshot]:
        """What is newest, and what these documents would make of it; nothing is kept. Invalid with every problem."""
        ...

    async def met_again(self, record: Mapping[str, Any], sees: Sees) -> History:
        """What else the caller of this recorded request did of late, as far as whoever asks may see it."""
        ...

    async def declare(self, key: Key, body: bytes | None, by: By) -> int:
        """A consumer or an issuer declared or, with None, taken away. It holds within a second; the generation that holds it."""
        ...

    async def roll_back(self, to: str | None, by: By, *, owner: bool) -> dict[str, Any]:
        """Back to a revision that has decided before; returns when it is enforced. `owner`: past other rules of releases, too."""
        ...

    async def ask(self, what: Asked, by: By) -> Rollout:
        """Something is asked of the rollout that is under way."""
        ...

    async def brake(self, wanted: Brake, by: By, *, emergency: bool, dry: bool) -> dict[str, Any]:
        """Sets a brake, after looking at how much of yesterday's traffic it would have refused; `dry`: only looks."""
        ...
