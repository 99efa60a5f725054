"""Resources, all kinds alike: read, put, deleted, or several at once. Nothing is half done."""

import base64
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Response
from pydantic import BaseModel, Field, JsonValue

from bartizan.admin.access import Caller
from bartizan.admin.answers import PRINTABLE, documented
from bartizan.admin.asked import Editor, The, Viewer
from bartizan.admin.bodies import JsonRoute
from bartizan.admin.plane import Plane
from bartizan.admin.teams import check_live, readable
from bartizan.admin.trusted import check_trusted
from bartizan.compile.read import TYPES
from bartizan.errors import BartizanError, Forbidden, Invalid, NotFound
from bartizan.model.snapshot import LIVE_KINDS, Key, Resource, Snapshot
from bartizan.rollout.asking import By
from bartizan.store import Commit
from bartizan.store.model import canonical

Kind = Annotated[str, Path(max_length=64, description="Such as Authorize.")]
Name = Annotated[str, Path(max_length=64)]
Message = Annotated[str, Header(alias="x-message", max_length=200, pattern=PRINTABLE, description="Why: it is kept with the revision.")]
IfMatch = Annotated[str | None, Header(alias="if-match", max_length=100, description="The ETag that you have seen.")]
IfNone = Annotated[str | None, Header(alias="if-none-match", max_length=100, description="`*`: only if it isn't there yet.")]
Document = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class At:
    """Which resource, why, and what the caller has seen of it."""

    kind: Kind
    name: Name
    message: Message = ""
    if_match: IfMatch = None
    if_none: IfNone = None


class NotSeen(BartizanError):
    """It isn't what the caller has seen."""

    status = 412
    code = "not-what-you-saw"


class Item(BaseModel):
    """One resource."""

    kind: str
    name: str
    etag: str = Field(description="Changes with each change of it.")
    live: bool = Field(description="It is live data, no part of a revision.")
    document: Document


class Page(BaseModel):
    """Some of the resources, in order."""

    items: list[Item]
    next: str | None = Field(description="What to give as `after` for the next page; null behind the last.")


class Kept(BaseModel):
    """A change that was kept as a revision."""

    number: int = Field(description="Of the commit.")
    revision: str
    author: str
    message: str
    time: float
    door: str
    parent: int | None
    loosens: list[str] = Field(description="What it lets through that was refused before.")


class Declared(BaseModel):
    """A change of live data: it is no revision, holds within a second, and no rollback undoes it."""

    kind: str
    name: str
    live: Literal[True] = True
    generation: int = Field(description="How often such live data has changed.")


class Edits(BaseModel):
    """Documents put and taken away."""

    put: list[Document] = Field(default_factory=list, max_length=10_000, description="Documents with their kind and name.")
    delete: list[str] = Field(default_factory=list, max_length=10_000, description="What is taken away, as kind/name.")
    replace: bool = Field(default=False, description="All policies, APIs and the gateway that aren't put are taken away.")
    files: dict[str, str] = Field(default_factory=dict, max_length=1000, description="Contents, in base64, of files that policies name.")

    def documents(self, before: Snapshot) -> dict[tuple[str, str], bytes | None]:
        """What is put, and with None what is taken away of what was there."""
        found: dict[tuple[str, str], bytes | None] = {}
        if self.replace:
            found = {key: None for key, one in before.resources.items() if one.kind not in LIVE_KINDS}
        for text in self.delete:
            kind, _, name = text.partition("/")
            found[_policy_key(kind, name)] = None
        for document in self.put:
            kind, name = str(document.get("kind")), str(document.get("name"))
            found[_policy_key(kind, name)] = _written(kind, name, document)
        return found

    def contents(self) -> dict[str, bytes]:
        """What the files hold."""
        try:
            return {name: base64.b64decode(text, validate=True) for name, text in self.files.items()}
        except ValueError as error:
            raise Invalid("The contents of files are given in base64.") from error


class Changes(Edits):
    """Several changes at once: all of them or none."""

    message: str = Field(default="", max_length=200, pattern=PRINTABLE)
    parent: int | None = Field(default=None, ge=0, le=2**31, description="The commit that the change was made from; by default the newest.")
    emergency: bool = Field(default=False, description="Passes approval, windows and stages. Needs an admin, and is loud.")


def kept(commit: Commit) -> Kept:
    """A commit as it is told."""
    fields = {name: getattr(commit, name) for name in Kept.model_fields if name != "loosens"}
    return Kept(**fields, loosens=list(commit.loosens))


def _etag(resource: Resource) -> str:
    return f'"{resource.digest}"'


def _item(one: Resource, caller: Caller) -> Item:
    document = {str(name): value for name, value in one.document.value.items()} if isinstance(one.document.value, dict) else {}
    told = readable(caller, one.kind, document)
    return Item(kind=one.kind, name=one.name, etag=_etag(one), live=one.kind in LIVE_KINDS, document=told)


def _found(snapshot: Snapshot, kind: str, name: str) -> Resource:
    if (one := snapshot.resources.get((kind, name))) is None:
        raise NotFound(f"There is no {kind} {name}.")
    return one


def _key(kind: str, name: str) -> Key:
    if kind not in TYPES:
        raise NotFound(f"There is no kind {kind}. Kinds: {', '.join(TYPES)}.", code="kind-unknown")
    return kind, name


def _policy_key(kind: str, name: str) -> Key:
    key = _key(kind, name)
    if kind in LIVE_KINDS:
        told = f"A {kind} is live data, no part of a revision: put it by itself, at /v1/resources/{kind}/{name}."
        raise Forbidden(told, code="live-kind")
    return key


def _seen(there: Resource | None, if_match: str | None, if_none: str | None) -> None:
    """NotSeen if it isn't what the caller knows."""
    if if_none == "*" and there is not None:
        raise NotSeen("It is there already.")
    if if_match is not None and (there is None or if_match not in {_etag(there), "*"}):
        raise NotSeen("It has changed since you read it. Read it again, and see whether your change still fits.")


def _written(kind: str, name: str, document: Document) -> bytes:
    given = {"kind": kind, "name": name, **document}
    if (given["kind"], given["name"]) != (kind, name):
        raise Invalid("The document says another kind or name than the address.")
    try:
        return canonical(given)
    except ValueError as error:
        raise Invalid(f"The document can't be kept: {error}.") from error


async def _taken(plane: Plane, key: Key, body: bytes | None, by: By, seen: str) -> Kept | Declared:
    if key[0] in LIVE_KINDS:
        return Declared(kind=key[0], name=key[1], generation=await plane.declare(key, body, by))
    return kept(await plane.change({key: body}, by, None, seen=seen))


router = APIRouter(tags=["resources"], route_class=JsonRoute)


@router.get("/v1/resources", operation_id="listResources", responses=documented())
async def listed(
    plane: The,
    caller: Viewer,
    kind: Annotated[str | None, Query(max_length=64)] = None,
    after: Annotated[str, Query(max_length=200)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Page:
    """What the newest revision and the live data hold."""
    snapshot = await plane.newest()
    wanted = sorted(f"{one.kind}/{one.name}" for one in snapshot.resources.values() if kind in {None, one.kind})
    chosen = [name for name in wanted if name > after]
    items = [_item(_found(snapshot, *name.split("/", 1)), caller) for name in chosen[:limit]]
    return Page(items=items, next=chosen[limit - 1] if len(chosen) > limit else None)


@router.get("/v1/resources/{kind}/{name}", operation_id="getResource", responses=documented(404))
async def one(plane: The, kind: Kind, name: Name, response: Response, caller: Viewer) -> Item:
    """One resource, with its ETag."""
    found = _found(await plane.newest(), kind, name)
    response.headers["etag"] = _etag(found)
    return _item(found, caller)


@router.put("/v1/resources/{kind}/{name}", operation_id="putResource", responses=documented(404, 409, 412))
async def put(plane: The, caller: Editor, at: Annotated[At, Depends()], document: Annotated[Document, Body()]) -> Kept | Declared:
    """Makes or replaces a resource: a new revision, which goes its way through the stages; or, for live data, in force within a second.
    Putting the same again changes nothing."""
    key, snapshot = _key(at.kind, at.name), await plane.newest()
    check_live(caller.team, [key])
    _seen(snapshot.resources.get(key), at.if_match, at.if_none)
    body = _written(at.kind, at.name, document)
    await check_trusted(caller, [body], snapshot)
    by = caller.by(at.message or f"put {at.kind}/{at.name}")
    return await _taken(plane, key, body, by, snapshot.revision)


@router.delete("/v1/resources/{kind}/{name}", operation_id="deleteResource", responses=documented(404, 409, 412))
async def delete(plane: The, caller: Editor, at: Annotated[At, Depends()]) -> Kept | Declared:
    """Takes a resource away."""
    key, snapshot = _key(at.kind, at.name), await plane.newest()
    check_live(caller.team, [key])
    _seen(_found(snapshot, at.kind, at.name), at.if_match, None)
    by = caller.by(at.message or f"deleted {at.kind}/{at.name}")
    return await _taken(plane, key, None, by, snapshot.revision)


@router.post("/v1/changes", operation_id="change", responses=documented(404, 409))
async def change(plane: The, wanted: Changes, caller: Editor) -> Kept:
    """Several changes as one revision."""
    if wanted.emergency and not caller.may("administer"):
        raise Forbidden("An emergency needs an admin.", code="role-too-low")
    before = await plane.newest()
    documents = wanted.documents(before)
    check_live(caller.team, documents)
    await check_trusted(caller, [body for body in documents.values() if body is not None], before)
    by = caller.by(wanted.message or "several changes", emergency=wanted.emergency)
    return kept(await plane.change(documents, by, wanted.parent, wanted.contents(), seen=before.revision))
