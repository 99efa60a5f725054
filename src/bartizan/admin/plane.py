"""What the admin API asks of the control plane."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

from bartizan.identity.brake import Brake, Brakes
from bartizan.identity.operators import Operators
from bartizan.model.snapshot import Snapshot
from bartizan.rollout.asking import By
from bartizan.rollout.stages import Asked, Rollout
from bartizan.store import Commit, Store

Documents: TypeAlias = Mapping[tuple[str, str], bytes | None]


class Envoy(Protocol):
    """The gateway's own Envoy."""

    async def prometheus(self) -> str: ...
    async def ready(self) -> bool: ...


class Plane(Protocol):
    """The control plane."""

    @property
    def envoy(self) -> Envoy: ...
    @property
    def store(self) -> Store: ...
    @property
    def operators(self) -> Operators: ...
    @property
    def brakes(self) -> Brakes: ...
    @property
    def rollout(self) -> Rollout | None: ...

    def status(self) -> dict[str, Any]: ...
    def digests(self) -> dict[str, str]: ...
    def declared(self, kind: str, name: str) -> dict[str, Any] | None: ...
    def covering(self, api: str, route: str, method: str) -> dict[str, Any]: ...
    def active(self) -> Snapshot:
        """What is active. Unavailable if nothing is yet."""
        ...

    async def newest(self) -> Snapshot:
        """What the newest revision says that wasn't given up, be it active or on its way out. Unavailable if there is none yet."""
        ...

    async def audit(self, actor: str, action: str, target: str, origin: str, **details: Any) -> None:
        """Notes that somebody did something."""
        ...

    async def change(self, documents: Documents, by: By, parent: int | None, files: Mapping[str, bytes] = ...) -> Commit:
        """Documents put or, with None, taken away, as one change of what is newest; and contents of files that policies name."""
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
