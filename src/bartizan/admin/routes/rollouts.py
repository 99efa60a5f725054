"""The rollout that is under way, or the last: how it stands, and what people ask of it."""

from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from bartizan.admin.answers import documented
from bartizan.admin.asked import Approver, Editor, The, Viewer
from bartizan.admin.bodies import JsonRoute
from bartizan.errors import NotFound
from bartizan.rollout.stages import Rollout


class Step(BaseModel):
    """What it came to."""

    time: float
    what: str


class Out(BaseModel):
    """A rollout."""

    number: int = Field(description="Of its commit.")
    revision: str
    before: str = Field(description="The revision that is active until this one is.")
    author: str
    stages: list[str]
    at: int = Field(description="The stage it is in, from 0.")
    stage: str
    status: str
    why: str = Field(description="Why it waits, is paused or has ended.")
    began: float
    since: float
    approved: list[str]
    also: list[str] = Field(description="Who made changes that it brings along, beside its author.")
    emergency: bool
    history: list[Step]
    figures: dict[str, dict[str, Any]] = Field(description="What each stage has found; the second of one name is called `canary 2`.")


class Asking(BaseModel):
    """What is asked of it."""

    what: Literal["pause", "resume", "promote", "abort"]


def told(one: Rollout) -> Out:
    """A rollout as it is told."""
    fields = {**asdict(one), "history": [Step(time=at, what=what) for at, what in one.history]}
    return Out(**fields, stage=one.stage)


router = APIRouter(tags=["rollouts"], route_class=JsonRoute)


@router.get("/v1/rollout", operation_id="rollout", responses=documented(404))
async def current(plane: The, _: Viewer) -> Out:
    """The rollout that is under way, or the last one."""
    if plane.rollout is None:
        raise NotFound("There was no rollout yet: the first revision is active at once.", code="rollout-missing")
    return told(plane.rollout)


@router.post("/v1/rollout", operation_id="askRollout", responses=documented(404, 409))
async def ask(plane: The, wanted: Asking, caller: Editor) -> Out:
    """Pauses, resumes, promotes past its stage, or aborts it."""
    return told(await plane.ask(wanted.what, caller.by()))


@router.post("/v1/rollout/approval", operation_id="approveRollout", responses=documented(404, 409))
async def approve(plane: The, caller: Approver) -> Out:
    """Approves it. Its author can't."""
    return told(await plane.ask("approve", caller.by()))
