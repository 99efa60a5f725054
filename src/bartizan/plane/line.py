"""One team's line of revisions as the store keeps it: what is newest, what is active, what is on its way out."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import JsonValue

from bartizan.errors import Conflict, NotFound
from bartizan.model.snapshot import Snapshot
from bartizan.rollout.kept import content_of
from bartizan.rollout.stages import Rollout
from bartizan.store import Change, Commit, Content, Event, Note, Store

_log = logging.getLogger("bartizan")
_NOTE = "line/default"
_MOST_SERVED = 500
_LET_PUBLISH_S = 0.05
"""What an edit of the files changed is given to the nodes first, and kept after."""


@dataclass(frozen=True, slots=True)
class _Soon:
    snapshot: Snapshot
    change: Change


class Line:
    """The line. Its methods are called from one event loop; the store's work is done in threads."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.loaded = False
        self.base: str | None = None
        """What the files said when they were taken last."""
        self.newest: str | None = None
        """The newest revision; it may be on its way to the disk."""
        self.active: Commit | None = None
        """What decides everywhere."""
        self.rollout: Rollout | None = None
        self.served: dict[str, None] = {}
        """The revisions that have decided everywhere, the newest last: there is a way back to these alone."""
        self.error = ""
        self._head: Commit | None = None
        self._kept_base: str | None = None
        """`base`, as far as it is on the disk: a base whose commit is lost in a crash would make the files look old."""
        self._note: Note | None = None
        self._active = ""
        self._soon: asyncio.Queue[_Soon | None] = asyncio.Queue()
        """What is to be kept; None: only which revision is active."""
        self._writing = asyncio.Lock()

    async def load(self) -> None:
        """Reads what was kept."""
        self._note = await asyncio.to_thread(self.store.notes.get, _NOTE)
        self._head = await asyncio.to_thread(self.store.revisions.head)
        self.newest = self._head.revision if self._head else None
        kept: Any = self._note.value if self._note else {}
        self.base = self._kept_base = kept.get("base")
        self.rollout = _rollout(kept["rollout"]) if kept.get("rollout") else None
        if number := kept.get("active"):
            self.active = await self.commit_of(number)
        elif self._head is not None:
            self.active = self._head  # a crash came before it was noted
        self._active = self.active.revision if self.active else ""
        self.served = dict.fromkeys([*kept.get("served", ()), *([self._active] if self._active else [])])
        self.loaded = True

    async def run(self) -> None:
        """Keeps what was taken from the files, in its order. Never returns."""
        while True:
            one = await self._soon.get()
            async with self._writing:
                if one is not None and await self._kept(one):
                    self.error = ""
                if self._soon.empty():
                    await self._settle()

    async def _kept(self, one: _Soon) -> bool:
        if self._soon.empty():
            await asyncio.sleep(_LET_PUBLISH_S)
        try:
            await self._commit(await asyncio.to_thread(content_of, one.snapshot), one.change)
        except Conflict as error:
            # Another control plane was faster. What the files say is served here; status tells.
            self.error = f"revision {one.snapshot.revision} of the files isn't in the store: {error.message}"
            _log.error("%s", self.error)
            return False
        return True

    def commit_soon(self, snapshot: Snapshot, change: Change) -> None:
        """Keeps what the files say, without anybody waiting for it."""
        self.newest = self.base = snapshot.revision
        self._soon.put_nowait(_Soon(snapshot, change))

    async def commit(self, content: Content, change: Change, *, any_parent: bool, origin: str = "") -> Commit:
        """Keeps a change that came from `origin`. Conflict if someone was faster; `any_parent` follows whatever is the newest."""
        while not self._soon.empty() or self._writing.locked():
            await asyncio.sleep(0.01)
        async with self._writing:
            if change.door == "files":
                self.base = content.revision
            wanted = replace(change, parent=self._head.number if self._head else None) if any_parent else change
            commit = await self._commit(content, wanted, origin)
            self.newest = commit.revision
            return commit

    async def _commit(self, content: Content, change: Change, origin: str = "") -> Commit:
        if change.door == "files":
            change = replace(change, parent=self._head.number if self._head else None)
        try:
            commit = await asyncio.to_thread(self.store.revisions.commit, content, change)
        except Conflict:
            # Another control plane writes to this store: from now on its commit is the newest here too.
            self._head = await asyncio.to_thread(self.store.revisions.head)
            self.newest = self._head.revision if self._head else None
            raise
        self._head = commit
        if commit.door == "files":
            self._kept_base = commit.revision
        details: dict[str, JsonValue] = {
            "commit": commit.number,
            "message": commit.message,
            "door": commit.door,
            "loosens": list(commit.loosens),
        }
        await self.audit(Event(commit.author, "revision.commit", f"revision/{commit.revision}", origin or commit.door, "done", details))
        return commit

    async def audit(self, event: Event) -> None:
        """Notes in the audit log what was done."""
        await asyncio.to_thread(self.store.audit.append, event)

    @property
    def stands(self) -> str | None:
        """The newest revision that wasn't given up."""
        last = self.rollout
        given_up = last is not None and last.status in {"failed", "aborted"} and last.revision == self.newest
        return last.before if last is not None and given_up else self.newest

    async def in_step(self, revision: str) -> None:
        """The files say what is the newest."""
        if self.base != revision:
            self.base = self._kept_base = revision
            await self._save()

    def activate(self, revision: str) -> None:
        """This revision decides everywhere now."""
        if self._active != revision:
            self._active = revision
            self.served.pop(revision, None)
            self.served[revision] = None
            self._soon.put_nowait(None)

    async def _settle(self) -> None:
        """Notes which commit is active, as soon as it is kept."""
        if self._active and (self.active is None or self.active.revision != self._active):
            try:
                self.active = await asyncio.to_thread(self.store.revisions.find, self._active)
            except NotFound:
                return  # it is on its way to the disk
        await self._save()

    async def begin(self, begun: Rollout) -> None:
        """A rollout begins."""
        self.rollout = begun
        await self._save()

    async def step(self, now: Rollout) -> None:
        """The rollout has come to this."""
        if self.rollout is not None and self.rollout.number == now.number:
            self.rollout = now
            await self._save()

    async def _save(self) -> None:
        served: list[JsonValue] = []
        served += [*self.served][-_MOST_SERVED:]
        value: dict[str, JsonValue] = {
            "base": self._kept_base,
            "active": self.active.number if self.active else None,
            "rollout": asdict(self.rollout) if self.rollout else None,
            "served": served,
        }
        try:
            self._note = await asyncio.to_thread(self.store.notes.put, _NOTE, value, self._note.version if self._note else 0)
        except Conflict:
            there = await asyncio.to_thread(self.store.notes.get, _NOTE)
            self._note = await asyncio.to_thread(self.store.notes.put, _NOTE, value, there.version if there else 0)

    async def commit_of(self, number: int) -> Commit:
        """The commit of this number."""
        return await asyncio.to_thread(self.store.revisions.find, str(number))

    async def before(self, text: str | None) -> Commit:
        """The commit that `text` names; by default the newest before the active one that says something else. NotFound if there is none;
        Conflict if it never decided: what failed its tests, or waits for somebody, has no way round them."""
        if text is not None:
            found = await asyncio.to_thread(self.store.revisions.find, text)
            if found.revision not in self.served:
                told = f"Revision {found.revision} never decided everywhere, so there is no way back to it: `bartizan dump` and `apply` it."
                raise Conflict(told, code="revision-never-active")
            return found
        active = self.active
        below = active.number if active is not None else 0
        while active is not None and below > 1:
            for commit in await asyncio.to_thread(self.store.revisions.commits, before=below):
                if commit.revision != active.revision and commit.revision in self.served:
                    return commit
                below = commit.number
        raise NotFound("There is no revision before the one that is active.", code="revision-missing")

    async def content(self, commit: Commit) -> Content:
        """What a commit holds."""
        return await asyncio.to_thread(self.store.revisions.content, commit)


def _rollout(kept: Mapping[str, Any]) -> Rollout:
    made = Rollout(**kept)
    return replace(
        made,
        stages=tuple(made.stages),
        approved=tuple(made.approved),
        also=tuple(made.also),
        history=tuple((float(at), str(told)) for at, told in made.history),
    )
