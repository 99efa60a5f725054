"""Tried out before anything decides: tests, what a change means, and recorded requests judged again."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from bartizan.admin.answers import documented
from bartizan.admin.asked import Editor, The
from bartizan.admin.bodies import JsonRoute
from bartizan.admin.routes.resources import Edits
from bartizan.errors import Invalid

_REVISION = r"^[0-9a-f]{1,64}$"
_NAMED = "A commit's number, a revision, or 4 or more of its first characters"
Ident = Annotated[str, Path(pattern=r"^rpl_[0-9a-f]{1,32}$")]


class WantedTests(BaseModel):
    """Of which revision the tests are asked."""

    revision: str | None = Field(default=None, pattern=_REVISION, description=f"{_NAMED}; by default the newest.")


class Tested(BaseModel):
    """What came of the tests beside the policies."""

    revision: str
    passed: int
    failed: int
    seconds: float
    cases: list[dict[str, Any]]
    invariants: list[dict[str, Any]]


class WantedDiff(Edits):
    """What is compared: documents put or taken away, or a revision."""

    revision: str | None = Field(default=None, pattern=_REVISION, description=f"{_NAMED}, instead of documents.")
    against: str | None = Field(default=None, pattern=_REVISION, description=f"{_NAMED}; by default what is active.")


class Difference(BaseModel):
    """What is written otherwise, and what that means. Consumers and issuers are those of now on both sides."""

    against: str
    revision: str
    added: list[str]
    changed: list[str]
    removed: list[str]
    loosened: list[str]
    meaning: dict[str, Any] = Field(description="As `bartizan diff --json` tells it: who gains and who loses access, and where.")


class WantedReplay(BaseModel):
    """Which recorded requests are judged by which revision."""

    revision: str | None = Field(default=None, pattern=_REVISION, description=f"{_NAMED}; by default the newest.")
    seconds: float = Field(default=86400, gt=0, le=366 * 86400, allow_inf_nan=False, description="How far back.")
    most: int = Field(default=100_000, ge=1, le=1_000_000, description="So many of them at most, chosen alike.")


class Replayed(BaseModel):
    """A replay, and what came of it."""

    id: str
    status: Literal["running", "done", "failed"]
    why: str = Field(description="Why it failed.")
    result: dict[str, Any] | None = Field(description="As `bartizan replay --json` tells it.")


router = APIRouter(tags=["trials"], route_class=JsonRoute)


@router.post("/v1/tests", operation_id="test", responses=documented(404))
async def tests(plane: The, wanted: WantedTests, _: Editor) -> Tested:
    """Runs the policy tests of the files in a scratch instance of the real Envoy. Nothing that runs is touched."""
    return Tested(**await plane.trials.tests(wanted.revision))


@router.post("/v1/diff", operation_id="diff", responses=documented(404))
async def diff(plane: The, wanted: WantedDiff, _: Editor) -> Difference:
    """Compares a revision or documents with another revision: text and meaning."""
    edits = bool(wanted.put or wanted.delete or wanted.replace)
    if edits == (wanted.revision is not None):
        raise Invalid("Give either documents or a revision.", code="diff-of-what")
    documents = wanted.documents if edits else None
    return Difference(**await plane.trials.diff(wanted.revision, documents, wanted.contents(), wanted.against))


@router.post(
    "/v1/replays",
    operation_id="replay",
    responses={202: {"model": Replayed, "description": "It takes longer: ask for it."}, **documented(404)},
)
async def replay(plane: The, wanted: WantedReplay, response: Response, _: Editor) -> Replayed:
    """Has recorded requests judged by a revision. Answers when that is done or, if it takes longer, with where to ask."""
    told = Replayed(**await plane.trials.replay(wanted.revision, timedelta(seconds=wanted.seconds), wanted.most))
    if told.status == "running":
        response.status_code = 202
        response.headers["location"] = f"/v1/replays/{told.id}"
    return told


@router.get("/v1/replays/{ident}", operation_id="getReplay", responses=documented(404))
async def replayed(plane: The, ident: Ident, _: Editor) -> Replayed:
    """How a replay stands."""
    return Replayed(**plane.trials.replayed(ident))
