"""What is asked of named secrets: set, deleted, listed; each deed noted, no value told."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from bartizan.compile.referring import Reference, references
from bartizan.errors import Conflict
from bartizan.identity.named import Key, NamedSecret, Wanted, missing
from bartizan.model.snapshot import Snapshot
from bartizan.plane.desk import Desk
from bartizan.plane.living import Living
from bartizan.plane.publishing import Publisher
from bartizan.rollout.asking import By
from bartizan.secrets.sealed import Secret
from bartizan.store import Event


@dataclass(slots=True)
class Named:
    """The named secrets of one gateway."""

    desk: Desk
    living: Living
    publisher: Publisher

    def all(self) -> list[dict[str, Any]]:
        """Every secret, without its value."""
        return [self._told(one) for one in self.living.named.all()]

    def _told(self, one: NamedSecret) -> dict[str, Any]:
        """All but the value; also what uses it, and the key by which it is sealed."""
        return {**one.told(), "used_by": self._users((one.team, one.name)), "key": self.living.named.key_id}

    def _users(self, key: Key) -> list[str]:
        return sorted({f"{one.kind}/{one.owner}" for one in self._references() if one.key == key})

    async def set(self, key: Key, to: tuple[str, ...], value: str, by: By) -> dict[str, Any]:
        """Makes a secret, or gives it another value and other destinations."""
        team, name = key
        made = await asyncio.to_thread(self.living.named.set, Wanted(name, Secret(value), by.author, team, to))
        self.living.take_secrets()
        await self.desk.line.audit(Event(by.author, "secret.set", made.target, by.origin, "done", {"to": list(made.to)}))
        return self._told(made)

    async def delete(self, key: Key, by: By, *, force: bool) -> dict[str, Any]:
        """Takes a secret away. Conflict if something that is active or on its way refers to it, unless by `force`."""
        team, name = key
        if key not in self.living.named.grants():
            raise missing(name)
        users = self._users(key)
        if users and not force:
            told = f"The secret {name} is used by {', '.join(users)}. Take it out there first, or delete it by force."
            raise Conflict(told, code="secret-in-use")
        gone = await asyncio.to_thread(self.living.named.delete, team, name, by.author)
        self.living.take_secrets()
        details: dict[str, JsonValue] = {"forced": bool(users), "used_by": list(users)}
        await self.desk.line.audit(Event(by.author, "secret.delete", gone.target, by.origin, "done", details))
        return {**self._told(gone), "used_by": list(users)}

    def _references(self) -> Iterator[Reference]:
        """Of all that is active, on its way, or declared in the files."""
        for snapshot in self._snapshots():
            yield from references(snapshot)

    def _snapshots(self) -> Iterator[Snapshot]:
        if self.publisher.state is not None:
            yield self.publisher.state.compiled.snapshot
        yield from (one.snapshot for one in (self.desk.compiled, self.desk.candidate) if one is not None)
        if self.desk.files is not None:
            yield self.desk.files
