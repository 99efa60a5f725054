"""Kept revisions: their line, what each says, and the way back."""

import asyncio
import base64
from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field, JsonValue

from bartizan.admin.answers import PRINTABLE, documented
from bartizan.admin.asked import Editor, The, Viewer
from bartizan.admin.bodies import JsonRoute
from bartizan.admin.routes.resources import Kept, kept
from bartizan.admin.teams import readable

Text = Annotated[str, Path(pattern=r"^[0-9a-f]{1,64}$", description="A commit's number, a revision, or 4 or more of its first characters.")]


class Line(BaseModel):
    """Some commits, the newest first."""

    items: list[Kept]
    next: int | None = Field(description="What to give as `before` for the next page; null behind the last.")


class Whole(BaseModel):
    """A commit with what it says."""

    commit: Kept
    documents: list[dict[str, JsonValue]]
    files: dict[str, str] = Field(description="The files that policies name, in base64.")


class Back(BaseModel):
    """Where to go back to."""

    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{1,64}$", description="By default what was active before.")
    reason: str = Field(min_length=1, max_length=200, pattern=PRINTABLE)


class WentBack(BaseModel):
    """It is enforced everywhere."""

    revision: str
    commit: int
    enforced_ms: float | None
    nodes: int


router = APIRouter(tags=["revisions"], route_class=JsonRoute)


@router.get("/v1/revisions", operation_id="listRevisions", responses=documented())
async def listed(
    plane: The,
    _: Viewer,
    before: Annotated[int | None, Query(ge=1, le=2**31)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Line:
    """The commits, the newest first."""
    found = await asyncio.to_thread(plane.store.revisions.commits, before=before, limit=limit)
    return Line(items=[kept(one) for one in found], next=found[-1].number if len(found) == limit else None)


@router.get("/v1/revisions/{revision}", operation_id="getRevision", responses=documented(404))
async def one(plane: The, revision: Text, caller: Viewer) -> Whole:
    """What a revision says."""
    commit = await asyncio.to_thread(plane.store.revisions.find, revision)
    content = await asyncio.to_thread(plane.store.revisions.content, commit)
    documents = [readable(caller, kind, orjson.loads(body)) for (kind, _), body in sorted(content.resources.items())]
    files = {name: base64.b64encode(body).decode() for name, body in content.files.items()}
    return Whole(commit=kept(commit), documents=documents, files=files)


@router.post("/v1/rollback", operation_id="rollBack", responses=documented(404, 409))
async def roll_back(plane: The, wanted: Back, caller: Editor) -> WentBack:
    """Back to a kept revision, everywhere and at once. Keys, consumers and blocks don't go back with it."""
    return WentBack(**await plane.roll_back(wanted.revision, caller.by(wanted.reason), owner=caller.may("administer")))
