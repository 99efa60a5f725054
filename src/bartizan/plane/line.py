"""One team's line of revisions as the store keeps it: what is newest, what is active, what is on its way out."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from pydantic import JsonValue

from bartizan.errors import BartizanError, Conflict, NotFound, Unavailable
from bartizan.model.snapshot import Snapshot
from bartizan.rollout.kept import content_of
from bartizan.rollout.stages import Rollout, noted
from bartizan.store import Change, Commit, Content, Event, Note, Store

_log = logging.getLogger("bartizan")
_NOTE = "line/default"
_MOST_SERVED = 500
_LET_PUBLISH_S = 0.05
"""What an edit of the files changed is given to the nodes first, and kept after."""
_AGAIN_S = 0.5
_Done = TypeVar("_Done")


@dataclass(frozen=True, slots=True)
class _Soon:
    """What is to be kept."""

    snapshot: Snapshot
    change: Change


@dataclass(frozen=True, slots=True)
class _Untold:
    """A commit that isn't in the audit log yet."""

    commit: Commit
    origin: str


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
        self.unbegun: Commit | None = None
        """When it was loaded, the newest commit hadn't begun its rollout: a crash came between."""
        self._stuck = False
        """The store can't be used just now, and what was taken waits for it."""
        self._head: Commit | None = None
        self._kept_base: str | None = None
        """`base`, as far as it is on the disk: a base whose commit is lost in a crash would make the files look old."""
        self._note: Note | None = None
        self._active = ""
        self._soon: asyncio.Queue[_Soon | _Untold | None] = asyncio.Queue()
        """What is to be kept; None: only which revision is active, and how the rollout stands."""
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
        self._look_for_unbegun()
        self._active = self.active.revision if self.active else ""
        self.served = dict.fromkeys([*kept.get("served", ()), *([self._active] if self._active else [])])
        self.loaded = True

    def _look_for_unbegun(self) -> None:
        """A crash may have come between the newest commit and what was to follow on it."""
        head, last, active = self._head, self.rollout, self.active
        if head is None or active is None or head.number <= max(active.number, last.number if last is not None else 0):
            return
        if last is not None and not last.ended:
            why = f"revision {head.revision} is newer"
            self.rollout = noted(last, time.time(), why, "superseded", why)
        if head.door == "rollback":
            self.active = head  # it decides at once
        elif head.revision != active.revision:
            self.unbegun = head

    async def run(self) -> None:
        """Keeps what was taken from the files, in its order. Never returns."""
        while True:
            one = await self._soon.get()
            async with self._writing:
                if isinstance(one, _Untold):
                    await self._insist(lambda one=one: self._tell(one.commit, one.origin), "a commit's entry in the audit log")  # type: ignore[misc]
                elif one is not None and await self._kept(one):
                    self.error = ""
                if self._soon.empty():
                    await self._insist(self._settle, "which revision is active")

    async def _insist(self, work: Callable[[], Awaitable[_Done]], what: str) -> _Done:
        """Again and again until the store can be used: what decides already isn't forgotten for a full disk. Meanwhile status tells."""
        before = self.error
        while True:
            try:
                done = await work()
            except Unavailable as error:
                if not self._stuck:
                    _log.error("%s can't be kept yet: %s", what, error.message)
                self.error, self._stuck = f"{what} can't be kept yet: {error.message}", True
                await asyncio.sleep(_AGAIN_S)
            else:
                self.error, self._stuck = before, False
                return done

    async def _kept(self, one: _Soon) -> bool:
        if self._soon.empty():
            await asyncio.sleep(_LET_PUBLISH_S)
        content = await asyncio.to_thread(content_of, one.snapshot)
        try:
            commit = await self._insist(lambda: self._commit(content, one.change), f"revision {one.snapshot.revision} of the files")
            await self._insist(lambda: self._tell(commit, ""), "a commit's entry in the audit log")
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
            if self._stuck:
                raise Unavailable(f"Nothing can be changed: {self.error}", code="store-unusable")
            await asyncio.sleep(0.01)
        async with self._writing:
            wanted = replace(change, parent=self._head.number if self._head else None) if any_parent else change
            await self._check_seen(wanted)
            commit = await self._commit(content, wanted)
            self.newest = commit.revision
            if change.door == "files":
                self.base = commit.revision
        try:
            await self._tell(commit, origin)
        except Unavailable as error:
            # It is kept, so it goes on; that it was made is noted as soon as it can be.
            _log.error("commit %d isn't in the audit log yet: %s", commit.number, error.message)
            self._soon.put_nowait(_Untold(commit, origin))
        return commit

    async def _check_seen(self, change: Change) -> None:
        """Conflict if its parent is a commit of another control plane that wasn't seen here: what is made on top would leave that out."""
        if change.parent is None or self._head is None or change.parent <= self._head.number:
            return
        self._head = await asyncio.to_thread(self.store.revisions.head)
        self.newest = self._head.revision if self._head else None
        told = f"Another control plane was faster: revision {self.newest} is the newest. Look at what changed, then try again from there."
        raise Conflict(told, code="commit-conflict")

    async def _commit(self, content: Content, change: Change) -> Commit:
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
        return commit

    async def _tell(self, commit: Commit, origin: str) -> None:
        details: dict[str, JsonValue] = {
            "commit": commit.number,
            "message": commit.message,
            "door": commit.door,
            "loosens": list(commit.loosens),
        }
        await self.audit(Event(commit.author, "revision.commit", f"revision/{commit.revision}", origin or commit.door, "done", details))

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
        """A rollout begins. Its commit is kept, so it goes on even if this can't be noted yet."""
        self.rollout = begun
        try:
            await self._save()
        except Unavailable as error:
            _log.error("the rollout of revision %s isn't noted yet: %s", begun.revision, error.message)
            self._soon.put_nowait(None)

    async def step(self, now: Rollout) -> None:
        """The rollout has come to this. Unavailable if that can't be kept: then it hasn't."""
        before = self.rollout
        if before is None or before.number != now.number:
            return
        self.rollout = now
        try:
            await self._save()
        except BartizanError:
            self.rollout = before if self.rollout is now else self.rollout
            raise

    def is_newest(self, number: int) -> bool:
        """Whether no commit came after the one of this number."""
        return self._head is not None and self._head.number == number

    async def _save(self) -> None:
        served: list[JsonValue] = []
        served += [*self.served][-_MOST_SERVED:]
        value: dict[str, JsonValue] = {
            "base": self._kept_base,
            "active": self.active.number if self.active else None,
            "rollout": asdict(self.rollout) if self.rollout else None,
            "served": served,
        }
        while True:
            try:
                self._note = await asyncio.to_thread(self.store.notes.put, _NOTE, value, self._note.version if self._note else 0)
                return
            except Conflict:  # another control plane writes to this store, perhaps several times meanwhile
                self._note = await asyncio.to_thread(self.store.notes.get, _NOTE)

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
