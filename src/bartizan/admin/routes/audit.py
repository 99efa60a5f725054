"""The audit log: who did what, when, from where, with which result."""

import asyncio
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field, JsonValue

from bartizan.admin.answers import PRINTABLE, documented
from bartizan.admin.asked import Overseer, The
from bartizan.admin.bodies import JsonRoute
from bartizan.store import Entry, Head
from bartizan.store.audit import Wanted


class Noted(BaseModel):
    """One entry."""

    number: int
    time: float
    actor: str
    action: str
    target: str
    origin: str
    result: str
    details: dict[str, JsonValue]
    before: str = Field(description="The hash of the entry before.")
    hash: str
    signer: str
    signature: str = Field(description="Over the hash, in hex.")


class Log(BaseModel):
    """Some entries, in order."""

    items: list[Noted]
    next: int | None = Field(description="What to give as `after` for the next page; null at the end.")


class Fault(BaseModel):
    """One thing that is wrong."""

    number: int = Field(description="Of the entry or commit; 0 if it is of none.")
    message: str


class Point(BaseModel):
    """The last entry."""

    number: int
    hash: str


class Verification(BaseModel):
    """What came of it, by the keys that this gateway trusts."""

    good: bool
    head: Point | None = Field(description="Keep it elsewhere: it proves later that the log still holds all of this.")
    commits: dict[str, int] = Field(description="How many, by team.")
    audit: list[Fault]
    revisions: list[Fault]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which entries."""

    after: Annotated[int, Query(ge=0, le=2**31)] = 0
    limit: Annotated[int, Query(ge=1, le=1000)] = 100
    actor: Annotated[str, Query(max_length=256, pattern=PRINTABLE)] = ""
    action: Annotated[str, Query(max_length=64, pattern=PRINTABLE)] = ""
    since: Annotated[float, Query(ge=0, le=1e11, allow_inf_nan=False, description="Only entries since, in seconds since the epoch.")] = 0
    newest: Annotated[bool, Query(description="The last ones, if there are more than `limit`; there is no next page then.")] = False


def _noted(one: Entry) -> Noted:
    event = one.event
    return Noted(
        number=one.number,
        time=one.time_ms / 1000,
        actor=event.actor,
        action=event.action,
        target=event.target,
        origin=event.origin,
        result=event.result,
        details=dict(event.details),
        before=one.before,
        hash=one.hash,
        signer=one.signer,
        signature=one.signature.hex(),
    )


router = APIRouter(tags=["audit"], route_class=JsonRoute)


@router.get("/v1/audit", operation_id="audit", responses=documented())
async def listed(plane: The, _: Overseer, asked: Annotated[Asked, Depends()]) -> Log:
    """Entries in their order. A token of a team doesn't see what everybody did."""
    wanted = Wanted(asked.after, round(asked.since * 1000), asked.actor, asked.action, asked.limit, asked.newest)
    found = await asyncio.to_thread(plane.store.audit.entries, wanted)
    more = len(found) == asked.limit and not asked.newest
    return Log(items=[_noted(one) for one in found], next=found[-1].number if more else None)


@router.get("/v1/audit/verification", operation_id="verifyAudit", responses=documented())
async def verified(
    plane: The,
    _: Overseer,
    number: Annotated[int | None, Query(ge=1, le=2**31, description="An entry that the log must hold, as it was told earlier.")] = None,
    hash: Annotated[str | None, Query(pattern=r"^[0-9a-f]{64}$", description="Its hash.")] = None,
) -> Verification:
    """Looks at all entries and all commits again: what was changed, forged, put in another order, or taken away. It takes a while."""
    head = Head(number, hash) if number is not None and hash is not None else None
    return Verification(**(await asyncio.to_thread(plane.store.verified, head)).to_json())
