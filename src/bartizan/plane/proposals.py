"""Changes that somebody proposes, and that another person applies or discards. Nothing here decides anything before that."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from pydantic import JsonValue

from bartizan.admin.plane import Documents
from bartizan.errors import Conflict, Forbidden, Invalid
from bartizan.model.snapshot import Snapshot
from bartizan.rollout.asking import By
from bartizan.store import Commit, Draft, Event, Proposal, Store
from bartizan.store.proposals import missing

_MOST_NAMED = 20
_LONGEST, _LONGEST_NAME = 200, 40
Judge = Callable[[Documents, By], Awaitable[tuple[Snapshot, Snapshot]]]
"""What is newest, and what documents would make of it."""


@dataclass(slots=True)
class Proposals:
    """The proposals of one gateway."""

    store: Store
    newest: Callable[[], Awaitable[Snapshot]]
    judged: Judge
    change: Callable[..., Awaitable[Commit]]
    compared: Callable[..., Awaitable[dict[str, Any]]]

    async def make(self, documents: Documents, by: By) -> Proposal:
        """Keeps what somebody proposes. Invalid if it couldn't be taken as it stands, or changes nothing."""
        before, after = await self.judged(documents, by)
        if before.revision == after.revision:
            raise Invalid("It changes nothing: what is newest says that already.", code="proposal-empty")
        put = {key: body for key, body in documents.items() if body is not None}
        gone = tuple(key for key, body in documents.items() if body is None)
        seen = {key: before.resources[key].digest for key in documents if key in before.resources}
        draft = Draft(by.author, by.team or "", by.origin, by.message, before.revision, put, gone, seen)
        made = await asyncio.to_thread(self.store.proposals.add, draft)
        await self._tell("make", made, by)
        return made

    async def all(self, team: str | None) -> tuple[Proposal, ...]:
        """Those that a token of this team may see, the newest first."""
        found = await asyncio.to_thread(self.store.proposals.all)
        return tuple(one for one in found if team in {None, one.draft.team})

    async def one(self, ident: str, team: str | None) -> Proposal:
        """The proposal. NotFound if there is none, or it is another team's."""
        found = await asyncio.to_thread(self.store.proposals.get, ident)
        if team not in {None, found.draft.team}:
            raise missing(ident)
        return found

    async def stale(self, one: Proposal) -> tuple[str, list[str]]:
        """The newest revision, and what of it was changed by somebody else since it was proposed."""
        newest, draft = await self.newest(), one.draft
        now = {key: newest.resources[key].digest for key in (*draft.put, *draft.delete) if key in newest.resources}
        other = (key for key in (*draft.put, *draft.delete) if now.get(key) != draft.seen.get(key))
        return newest.revision, sorted("/".join(key) for key in other)

    async def diff(self, one: Proposal) -> dict[str, Any]:
        """What it changes of what is newest, and what that means."""
        newest = await self.newest()
        return await self.compared(None, lambda _: documents_of(one), {}, newest.revision)

    async def apply(self, one: Proposal, by: By, on: str) -> Commit:
        """Makes a change of it, which goes its way like any other. `on`: the newest revision when it was looked at. Forbidden to who
        proposed it; Conflict if somebody was faster."""
        draft = one.draft
        if by.author == draft.author:
            raise Forbidden(f"{by.author} proposed this; a second person applies it.", code="second-person-needed")
        _, stale = await self.stale(one)
        if stale:
            told = f"Since it was proposed, {', '.join(stale[:_MOST_NAMED])} changed. Discard it, and have it proposed anew."
            raise Conflict(told, code="proposal-stale")
        documents = documents_of(one)
        await self.judged(documents, replace(by, team=draft.team or None))  # it is within what its author may, still
        told = f" ({one.id}, proposed by {draft.author[:_LONGEST_NAME]})"
        message = (by.message or draft.message)[: _LONGEST - len(told)] + told
        commit = await self.change(documents, replace(by, message=message, beside=(draft.author,)), None, seen=on)
        await asyncio.to_thread(self.store.proposals.remove, one.id)
        await self._tell("apply", one, by, commit=commit.number)
        return commit

    async def discard(self, one: Proposal, by: By) -> None:
        """Takes it away."""
        await asyncio.to_thread(self.store.proposals.remove, one.id)
        await self._tell("discard", one, by)

    async def _tell(self, what: str, one: Proposal, by: By, **more: JsonValue) -> None:
        names = sorted("/".join(key) for key in (*one.draft.put, *one.draft.delete))
        details: dict[str, JsonValue] = {
            "author": one.draft.author,
            "message": one.draft.message,
            "base": one.draft.base,
            "touches": [*names[:_MOST_NAMED]],
            **more,
        }
        event = Event(by.author, f"proposal.{what}", f"proposal/{one.id}", by.origin, "done", details)
        await asyncio.to_thread(self.store.audit.append, event)


def documents_of(one: Proposal) -> Documents:
    """What it puts and, with None, what it takes away."""
    return {**one.draft.put, **dict.fromkeys(one.draft.delete)}
