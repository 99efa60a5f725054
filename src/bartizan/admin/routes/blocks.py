"""Emergency brakes: what is blocked for a while, whatever the policies say."""

import asyncio
import time
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from bartizan.admin.answers import documented
from bartizan.admin.asked import Approver, Editor, The, Viewer
from bartizan.admin.bodies import JsonRoute
from bartizan.admin.teams import check_whole
from bartizan.errors import Forbidden
from bartizan.identity.brake import Brake, What

Ident = Annotated[str, Path(pattern=r"^brk_[0-9a-f]{1,32}$")]


class Block(BaseModel):
    """What is blocked."""

    id: str
    what: What
    value: str
    reason: str
    by: str
    since: float
    until: float
    waits: bool = Field(description="A second person has to approve it before it holds.")
    approved_by: str


class WantedBlock(BaseModel):
    """What is to be blocked."""

    what: What
    value: str = Field(min_length=1, max_length=512)
    seconds: float = Field(gt=0, le=30 * 86400, allow_inf_nan=False, description="For how long.")
    reason: str = Field(min_length=1, max_length=256)
    emergency: bool = Field(default=False, description="Holds without a second person, however much it refuses. Needs an admin.")
    dry: bool = Field(default=False, description="Only tells how much it would refuse.")


class Impact(BaseModel):
    """What a block would have refused of the last 24 hours, and the block, if it was set."""

    requests: int = Field(description="Those that were looked at.")
    looked_at: float = Field(description="The share of the records that was looked at: of very many, a sample from all over the time.")
    matched: int
    share: float
    consumers: list[str] = Field(description="Those it would have met most, up to ten.")
    block: Block | None


router = APIRouter(tags=["blocks"], route_class=JsonRoute)


@router.get("/v1/blocks", operation_id="listBlocks", responses=documented())
async def listed(plane: The, _: Viewer) -> list[Block]:
    """Those that hold, or wait for a second person."""
    return [Block(**asdict(one)) for one in plane.brakes.held(time.time())]


@router.post("/v1/blocks", operation_id="block", responses=documented())
async def block(plane: The, wanted: WantedBlock, caller: Editor) -> Impact:
    """Blocks an address, a consumer, a key, a token, a session or a path, on every node within a second, for a while."""
    check_whole(caller.team, "a block")
    if wanted.emergency and not caller.may("administer"):
        raise Forbidden("An emergency needs an admin.", code="role-too-low")
    brake = Brake("", wanted.what, wanted.value, wanted.reason, caller.name, 0.0, time.time() + wanted.seconds)
    by = caller.by(wanted.reason)
    return Impact(**await plane.brake(brake, by, emergency=wanted.emergency, dry=wanted.dry))


@router.post("/v1/blocks/{ident}/approval", operation_id="approveBlock", responses=documented(404, 409))
async def approve(plane: The, ident: Ident, caller: Approver) -> Block:
    """Lets a waiting block hold. Who asked for it can't."""
    check_whole(caller.team, "a block")
    held = await asyncio.to_thread(plane.brakes.approve, ident, caller.name)
    await plane.audit(caller.name, "block.approve", ident, caller.origin)
    return Block(**asdict(held))


@router.delete("/v1/blocks/{ident}", operation_id="unblock", responses=documented(404))
async def lift(plane: The, ident: Ident, caller: Editor) -> Block:
    """Ends a block before its time."""
    check_whole(caller.team, "a block")
    held = await asyncio.to_thread(plane.brakes.lift, ident, caller.name)
    await plane.audit(caller.name, "block.lift", ident, caller.origin, what=held.what, value=held.value)
    return Block(**asdict(held))
