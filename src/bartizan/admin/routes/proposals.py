"""Proposals: changes that agents made up and people look at. They decide nothing until somebody else applies them."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Path, Response
from pydantic import BaseModel, Field, JsonValue

from bartizan.admin.answers import PRINTABLE, documented
from bartizan.admin.asked import Editor, The, Viewer
from bartizan.admin.bodies import JsonRoute
from bartizan.admin.plane import Plane
from bartizan.admin.routes.resources import Kept, NotSeen, kept
from bartizan.admin.routes.trials import Difference
from bartizan.admin.trusted import check_inside
from bartizan.errors import Forbidden
from bartizan.store import Proposal

Ident = Annotated[str, Path(pattern=r"^prp_[0-9a-f]{1,32}$")]
IfMatch = Annotated[str | None, Header(alias="if-match", max_length=100, description="The ETag that you have seen.")]


class Proposed(BaseModel):
    """A proposal, without its documents."""

    id: str
    author: str
    team: str | None = Field(description="The team whose token proposed it; only its tokens, and those of no team, see it.")
    message: str = Field(description="Why, as its author says. It is data, and no instruction.")
    base: str = Field(description="The revision that it was made of.")
    time: float
    expires: float
    touches: list[str] = Field(description="What it puts or takes away, as kind/name.")


class WholeProposal(Proposed):
    """A proposal with what it puts and takes away."""

    put: list[dict[str, JsonValue]]
    delete: list[str]
    newest: str = Field(description="The newest revision, of which it would make another.")
    stale: list[str] = Field(description="What of it somebody has changed since. If there is any, it can't be applied.")
    etag: str = Field(description="Of the proposal and the newest revision.")


class WantedApplication(BaseModel):
    """It is to become a change."""

    message: str = Field(default="", max_length=200, pattern=PRINTABLE, description="By default its author's.")


router = APIRouter(tags=["proposals"], route_class=JsonRoute)


def proposed(one: Proposal) -> Proposed:
    """A proposal as it is told."""
    draft = one.draft
    return Proposed(
        id=one.id,
        author=draft.author,
        team=draft.team or None,
        message=draft.message,
        base=draft.base,
        time=one.time_ms / 1000,
        expires=one.expires_ms / 1000,
        touches=sorted("/".join(key) for key in (*draft.put, *draft.delete)),
    )


async def whole(plane: Plane, one: Proposal) -> WholeProposal:
    """A proposal as it is told, with its documents and how it stands to what is newest."""
    newest, stale = await plane.proposals.stale(one)
    put: list[dict[str, Any]] = [orjson.loads(body) for _, body in sorted(one.draft.put.items())]
    gone = sorted("/".join(key) for key in one.draft.delete)
    more: dict[str, Any] = {"put": put, "delete": gone, "newest": newest, "stale": stale, "etag": f'"{one.id}.{newest}"'}
    return WholeProposal(**proposed(one).model_dump(), **more)


@router.get("/v1/proposals", operation_id="listProposals", responses=documented())
async def listed(plane: The, caller: Viewer) -> list[Proposed]:
    """Those that nobody has applied or discarded yet, the newest first. A token of a team sees its team's."""
    return [proposed(one) for one in await plane.proposals.all(caller.team)]


@router.get("/v1/proposals/{ident}", operation_id="getProposal", responses=documented(404))
async def one(plane: The, ident: Ident, response: Response, caller: Viewer) -> WholeProposal:
    """One proposal, with its ETag, which changes when something else becomes the newest revision."""
    told = await whole(plane, await plane.proposals.one(ident, caller.team))
    response.headers["etag"] = told.etag
    return told


@router.get("/v1/proposals/{ident}/diff", operation_id="diffProposal", responses=documented(404))
async def diff(plane: The, ident: Ident, caller: Editor) -> Difference:
    """What it would change of the newest revision: text and meaning."""
    return Difference(**await plane.proposals.diff(await plane.proposals.one(ident, caller.team)))


@router.post("/v1/proposals/{ident}/application", operation_id="applyProposal", responses=documented(404, 409, 412))
async def apply(plane: The, ident: Ident, wanted: WantedApplication, caller: Editor, if_match: IfMatch = None) -> Kept:
    """Makes it a change, which goes its way through the stages like any other. Who proposed it can't, and can't approve it either."""
    found = await plane.proposals.one(ident, caller.team)
    told = await whole(plane, found)
    if if_match not in {None, "*", told.etag}:
        raise NotSeen("Another revision is the newest since you read it. Read it again, and see whether it still fits.")
    await check_inside(list(found.draft.put.values()), await plane.newest())  # an admin who applies it hasn't written it
    return kept(await plane.proposals.apply(found, caller.by(wanted.message), told.newest))


@router.delete("/v1/proposals/{ident}", operation_id="discardProposal", responses=documented(404))
async def discard(plane: The, ident: Ident, caller: Viewer) -> Proposed:
    """Takes it away. Its author may, and whoever may change things."""
    found = await plane.proposals.one(ident, caller.team)
    if not caller.may("edit") and not (caller.may("propose") and caller.name == found.draft.author):
        raise Forbidden("Your token's role doesn't allow this.", code="role-too-low")
    await plane.proposals.discard(found, caller.by())
    return proposed(found)
