"""What is asked of the API keys of consumers: listed, made, rotated, revoked; each deed noted, a key's text told once."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bartizan.errors import Invalid, Unavailable
from bartizan.identity.declared import Declared
from bartizan.identity.key_record import KeyRecord, WantedKey
from bartizan.identity.scopes import HINT, SCOPES, TYPE, are_declared
from bartizan.model.snapshot import Snapshot
from bartizan.plane.desk import Desk
from bartizan.plane.living import Living
from bartizan.rollout.asking import By
from bartizan.store import Event


@dataclass(slots=True)
class Keys:
    """The keys of one gateway's consumers."""

    desk: Desk
    living: Living
    declared: Callable[[], Declared]

    def some(self, consumer: str | None, after: str, most: int) -> tuple[list[dict[str, Any]], bool]:
        """Keys in the order of their ids, without their text, from behind `after` on; and whether there are more."""
        wanted = (one for one in self.living.tables.store.records() if one.id > after and consumer in {None, one.consumer})
        found = sorted(wanted, key=lambda one: one.id)
        return [self._told(one) for one in found[:most]], len(found) > most

    def owners(self, ident: str) -> bool:
        """Whether this key is of a consumer that the gateway's owner declares in the files. NotFound if there is no such key."""
        return self.owners_consumer(self.living.tables.store.record(ident).consumer)

    def owners_consumer(self, name: str) -> bool:
        """The same of a consumer."""
        key = "Consumer", name
        return self.desk.files is not None and key in self.desk.files.resources and key not in self.declared()

    async def make(self, wanted: WantedKey, by: By) -> dict[str, Any]:
        """Makes a key. Its text is told here, and never again. Invalid if there is no such consumer, or nothing asks for scopes."""
        declared = self._declared()
        if wanted.consumer not in declared.consumers:
            raise Invalid(f"There is no Consumer {wanted.consumer!r}: declare it first.", code="consumer-unknown")
        if wanted.scopes and not are_declared(declared.gateway.attributes):
            raise Invalid(f"The Gateway declares no attribute `{SCOPES}` of type `{TYPE}`. {HINT}", code="scopes-undeclared")
        store = self.living.tables.store
        made = await asyncio.to_thread(store.new, wanted.consumer, name=wanted.name, expires=wanted.expires, scopes=wanted.scopes)
        self.living.take_keys()
        record = store.record(made.id)
        await self._note("key.new", record, by)
        return {**self._told(record), "key": made.key.reveal()}

    async def rotate(self, ident: str, overlap: float, expires: float | None, by: By) -> dict[str, Any]:
        """Makes a key that takes the place of another; that one ends after `overlap` seconds. The new one's text is told this once."""
        store = self.living.tables.store
        made, old = await asyncio.to_thread(store.rotate, ident, overlap, expires)
        self.living.take_keys()
        await self._note("key.rotate", old, by)
        return {**self._told(store.record(made.id)), "key": made.key.reveal(), "replaces": old.id, "replaced_ends": old.expires}

    async def revoke(self, ident: str, by: By) -> dict[str, Any]:
        """Ends a key for good."""
        gone = await asyncio.to_thread(self.living.tables.store.revoke, ident)
        self.living.take_keys()
        await self._note("key.revoke", gone, by)
        return self._told(gone)

    def _told(self, one: KeyRecord) -> dict[str, Any]:
        return {**one.told(), "last_used": self.living.uses.of(one.id)}

    async def _note(self, action: str, one: KeyRecord, by: By) -> None:
        await self.desk.line.audit(Event(by.author, action, f"key/{one.id}", by.origin, "done", one.details()))

    def _declared(self) -> Snapshot:
        if self.desk.files is None:
            raise Unavailable("Nothing is active yet: the gateway has no files that are in order.", code="nothing-active")
        return self.desk.files
