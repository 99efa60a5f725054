"""The audit log: who did what, when, from where, with which result."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, JsonValue

from bartizan.admin.answers import PRINTABLE, documented
from bartizan.admin.asked import Overseer, The
from bartizan.admin.bodies import JsonRoute
from bartizan.store import Entry
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
async def listed(
    plane: The,
    _: Overseer,
    after: Annotated[int, Query(ge=0, le=2**31)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    actor: Annotated[str, Query(max_length=256, pattern=PRINTABLE)] = "",
    action: Annotated[str, Query(max_length=64, pattern=PRINTABLE)] = "",
) -> Log:
    """Entries in their order. A token of a team doesn't see what everybody did."""
    wanted = Wanted(after=after, actor=actor, action=action, limit=limit)
    found = await asyncio.to_thread(plane.store.audit.entries, wanted)
    return Log(items=[_noted(one) for one in found], next=found[-1].number if len(found) == limit else None)
