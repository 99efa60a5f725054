"""Context from outside: what sources say of principals. They bring it here, each with a token that is good for nothing else."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, Field, JsonValue

from bartizan.admin.access import Caller
from bartizan.admin.answers import PRINTABLE, documented
from bartizan.admin.asked import Speaker, The, Viewer
from bartizan.admin.bodies import JsonRoute
from bartizan.admin.plane import Plane
from bartizan.admin.routes.resources import IfMatch, IfNone, NotSeen
from bartizan.admin.teams import check_whole
from bartizan.errors import Forbidden

Name = Annotated[str, Path(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", description="The ContextSource.")]
Subject = Annotated[
    str, Query(min_length=1, max_length=256, pattern=PRINTABLE, description="A Consumer's name, or a principal's id: `issuer|subject`.")
]
Attributes = dict[str, JsonValue]


class Standing(BaseModel):
    """How it stands with a source."""

    name: str
    way: str = Field(description="pull, file or push.")
    attributes: list[str]
    max_age: float = Field(description="For how many seconds a value counts.")
    stale: str = Field(description="What holds then: deny, keep or defaults.")
    subjects: int
    unknown: int = Field(description="Of how many of them nothing is known here: they may be declared yet.")
    unknown_first: list[str]
    said: float | None = Field(description="When all was said at once last, in seconds since the epoch; null if it never was.")
    age: float | None = Field(description="How many seconds ago that was.")
    counts: bool = Field(description="Whether what was said then counts still.")
    stale_subjects: int = Field(description="Of how many subjects nothing counts any more.")
    error: str = Field(description="Why nothing newer is there; empty if all is well.")
    etag: str


class OfSubject(BaseModel):
    """What a source says of one subject."""

    subject: str
    attributes: Attributes
    said: float | None = Field(description="When, in seconds since the epoch.")
    age: float | None = Field(description="How many seconds ago.")
    counts: bool
    known: bool = Field(description="Whether there is such a Consumer, or an issuer or a CA of such principals.")
    etag: str


class Subjects(BaseModel):
    """Some of the subjects of a source, in order."""

    items: list[OfSubject]
    next: str | None = Field(description="What to give as `after` for the next page; null behind the last.")


class Whole(BaseModel):
    """All that a source says: of whom it says nothing here, it says nothing any more."""

    subjects: dict[str, Attributes] = Field(max_length=100_000, description="Attributes with their values, by subject.")


class One(BaseModel):
    """All that a source says of one subject."""

    attributes: Attributes = Field(max_length=50)


@dataclass(frozen=True, slots=True)
class At:
    """Which source, and what the caller has seen of it."""

    name: Name
    if_match: IfMatch = None
    if_none: IfNone = None

    def check(self, there: str | None) -> None:
        """NotSeen if it isn't what is there."""
        if self.if_none == "*" and there is not None:
            raise NotSeen("It is there already.")
        if self.if_match is not None and (there is None or self.if_match not in {there, "*"}):
            raise NotSeen("It has changed since you read it. Read it again, and see whether your change still fits.")


@dataclass(frozen=True, slots=True)
class OfOne(At):
    """Which subject of a source, and what the caller has seen of what is said of it."""

    subject: Subject = ""


@dataclass(frozen=True, slots=True)
class Some:
    """Which page."""

    after: Annotated[str, Query(max_length=256)] = ""
    limit: Annotated[int, Query(ge=1, le=1000)] = 100


router = APIRouter(tags=["context"], route_class=JsonRoute)


def _check(caller: Caller, name: str) -> None:
    """Forbidden if the caller may not speak for this source."""
    check_whole(caller.team, "what a context source says")
    if caller.source not in {None, name}:
        raise Forbidden("Your token speaks for another context source.", code="not-your-source")


async def _note(plane: Plane, caller: Caller, name: str, **details: Any) -> None:
    await plane.audit(caller.name, "context.push", f"ContextSource/{name}", caller.origin, **details)


@router.get("/v1/context", operation_id="listContext", responses=documented())
async def listed(plane: The, _: Viewer) -> list[Standing]:
    """How it stands with each source."""
    return [Standing(**one) for one in plane.contexts.all()]


@router.get("/v1/context/{name}", operation_id="getContext", responses=documented(404))
async def source(plane: The, name: Name, response: Response, _: Viewer, some: Annotated[Some, Depends()]) -> Subjects:
    """What a source says of subjects, with the ETag of all of it."""
    found, more = plane.contexts.some(name, some.after, some.limit)
    response.headers["etag"] = plane.contexts.etag(name)
    return Subjects(items=[OfSubject(**one) for one in found], next=found[-1]["subject"] if more else None)


@router.put("/v1/context/{name}", operation_id="putContext", responses=documented(404, 412))
async def put_all(plane: The, at: Annotated[At, Depends()], wanted: Whole, response: Response, caller: Speaker) -> Standing:
    """A source says all that it has to say: it holds within a second, without a new revision. The same again makes it young again."""
    _check(caller, at.name)
    before = plane.contexts.etag(at.name)
    at.check(before)
    told = await plane.contexts.push_all(at.name, wanted.subjects, lambda: at.check(plane.contexts.etag(at.name)))
    if told["etag"] != before:
        await _note(plane, caller, at.name, subjects=told["subjects"])
    response.headers["etag"] = told["etag"]
    return Standing(**told)


@router.get("/v1/context/{name}/subject", operation_id="getContextSubject", responses=documented(404))
async def one(plane: The, name: Name, subject: Subject, response: Response, _: Viewer) -> OfSubject:
    """What a source says of one subject, with its ETag."""
    told = plane.contexts.one(name, subject)
    response.headers["etag"] = told["etag"]
    return OfSubject(**told)


@router.put("/v1/context/{name}/subject", operation_id="putContextSubject", responses=documented(404, 412))
async def put_one(plane: The, at: Annotated[OfOne, Depends()], wanted: One, response: Response, caller: Speaker) -> OfSubject:
    """A source says this of one subject. The same again makes it young again."""
    _check(caller, at.name)
    before = plane.contexts.subject_tag(at.name, at.subject)
    at.check(before)
    told = await plane.contexts.push_one(at.name, at.subject, wanted.attributes)
    if told["etag"] != before:
        await _note(plane, caller, at.name, subject=at.subject)
    response.headers["etag"] = told["etag"]
    return OfSubject(**told)


@router.delete("/v1/context/{name}/subject", operation_id="deleteContextSubject", responses=documented(404, 412))
async def delete_one(plane: The, at: Annotated[OfOne, Depends()], caller: Speaker) -> OfSubject:
    """A source says nothing of a subject any more. What it said is missing from now on."""
    _check(caller, at.name)
    at.check(plane.contexts.subject_tag(at.name, at.subject))
    told = await plane.contexts.push_one(at.name, at.subject, None)
    await _note(plane, caller, at.name, subject=at.subject, gone=True)
    return OfSubject(**told)
