"""Consumers and issuers declared through the admin API: checked with everything else, kept, and in force within a second."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bartizan.compile import compile
from bartizan.errors import Conflict, Invalid, NotFound, Unavailable
from bartizan.identity.declared import Declared
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Key, Snapshot
from bartizan.plane.changed import changed
from bartizan.plane.desk import Desk
from bartizan.rollout.asking import By
from bartizan.rollout.folder import Folder
from bartizan.store import Event


@dataclass(slots=True)
class Declaring:
    """What the API declares, beside the files. `problems`: what else may be wrong with a snapshot that comes after another."""

    declared: Declared
    desk: Desk
    folder: Folder
    problems: Callable[[Snapshot, Snapshot], Iterable[Problem]]
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def declare(self, key: Key, body: bytes | None, by: By) -> int:
        """Declares this or, with None, takes it away. Returns the generation that holds it. Invalid with every problem; Conflict if the
        files declare it."""
        async with self._turn:
            return await self._declare(key, body, by)

    async def _declare(self, key: Key, body: bytes | None, by: By) -> int:
        files = self.desk.files
        if files is None:
            raise Unavailable("Nothing is active yet: the gateway has no files that are in order.", code="nothing-active")
        there = files.resources.get(key)
        if there is not None and key not in self.declared:
            raise Conflict(f"{key[0]}/{key[1]} is declared in {there.file}: change it there.", code="declared-in-files")
        if body is None and there is None:
            raise NotFound(f"There is no {key[0]} {key[1]}.")
        after = changed(files, {key: body}, {})
        if there is not None and (now := after.resources.get(key)) is not None and now.digest == there.digest:
            return self.declared.generation
        made = await asyncio.to_thread(compile, after, before=self.desk.compiled)
        if problems := (*made.problems, *self.problems(after, files)):
            raise Invalid("The change can't be taken.", problems=problems)
        await self.desk.take_live(made, files, lambda: self._keep(key, body, by))
        self.folder.beside(self.declared.read())
        what = "live.put" if body is not None else "live.delete"
        await self.desk.line.audit(Event(by.author, what, "/".join(key), by.origin, "done", {"message": by.message}))
        return self.declared.generation

    def _keep(self, key: Key, body: bytes | None, by: By) -> None:
        if body is None:
            self.declared.delete(key, by.author, time.time())
        else:
            self.declared.put(key, body, by.author, time.time())
