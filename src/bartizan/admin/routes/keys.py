"""API keys of consumers: made and rotated, each shown once; listed without their text; revoked."""

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from bartizan.admin.access import Caller
from bartizan.admin.answers import PRINTABLE, documented
from bartizan.admin.asked import Editor, The, Viewer
from bartizan.admin.bodies import JsonRoute
from bartizan.admin.teams import check_whole
from bartizan.errors import Forbidden
from bartizan.identity.key_record import WantedKey

_LONGEST_S = 100 * 365 * 86400
Ident = Annotated[str, Path(pattern=r"^key_[a-z2-7]{12}$")]
Lasting = Annotated[float | None, Field(gt=0, le=_LONGEST_S, allow_inf_nan=False)]


class Key(BaseModel):
    """A key, without its text."""

    id: str
    consumer: str
    name: str
    created: float = Field(description="In seconds since the epoch, as all times here.")
    expires: float | None = Field(description="When it ends; null: by revocation alone.")
    scopes: list[str] = Field(description="What it says as `principal.scopes`; empty: what its consumer's attribute says.")
    successor: str = Field(description="The key that takes its place; empty if it wasn't rotated.")
    last_used: int | None = Field(description="The minute of its last use, as far as records tell; null if they don't.")


class NewKey(Key):
    """A key with its text, which is shown this once."""

    key: str


class Rotated(NewKey):
    """The key that takes another's place."""

    replaces: str
    replaced_ends: float = Field(description="When the key ends whose place it takes.")


class Keys(BaseModel):
    """Some of the keys, in the order of their ids."""

    items: list[Key]
    next: str | None = Field(description="What to give as `after` for the next page; null behind the last.")


class WantedKeyOf(BaseModel):
    """The key that is to be made."""

    consumer: str = Field(min_length=1, max_length=63, pattern=PRINTABLE, description="The Consumer it is for.")
    name: str = Field(default="", max_length=256, pattern=PRINTABLE, description="What it is for.")
    seconds: Lasting = Field(default=None, description="For how long; by default for good.")
    scopes: list[Annotated[str, Field(min_length=1, max_length=128)]] = Field(
        default_factory=list, max_length=64, description="What it says as `principal.scopes`, instead of what its consumer says."
    )


class Rotation(BaseModel):
    """How a key is rotated."""

    overlap: float = Field(gt=0, le=366 * 86400, allow_inf_nan=False, description="For how many seconds the old one still counts.")
    seconds: Lasting = Field(default=None, description="For how long the new one lasts; by default as long as the old one was to.")


router = APIRouter(tags=["keys"], route_class=JsonRoute)


def _check_maker(caller: Caller, owners: bool) -> None:
    """Forbidden if the caller may not act as this consumer: who makes a key, can."""
    if owners and not caller.may("administer"):
        told = "This consumer is declared in the files: an admin makes its keys. An editor makes those of consumers that the API declares."
        raise Forbidden(told, code="owners-own")


def _ends(seconds: float | None) -> float | None:
    return None if seconds is None else time.time() + seconds


@router.get("/v1/keys", operation_id="listKeys", responses=documented())
async def listed(
    plane: The,
    _: Viewer,
    consumer: Annotated[str | None, Query(max_length=63)] = None,
    after: Annotated[str, Query(max_length=64)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Keys:
    """Every key that wasn't revoked, expired ones too, without their text."""
    found, more = await asyncio.to_thread(plane.keys.some, consumer, after, limit)
    return Keys(items=[Key(**one) for one in found], next=found[-1]["id"] if more else None)


@router.post("/v1/keys", operation_id="makeKey", responses=documented())
async def make(plane: The, wanted: WantedKeyOf, caller: Editor) -> NewKey:
    """Makes a key and shows it, once. It counts within a second, without a new revision."""
    check_whole(caller.team, "a key of a consumer")
    _check_maker(caller, plane.keys.owners_consumer(wanted.consumer))
    made = WantedKey(wanted.consumer, wanted.name, _ends(wanted.seconds), tuple(wanted.scopes))
    return NewKey(**await plane.keys.make(made, caller.by()))


@router.post("/v1/keys/{ident}/rotation", operation_id="rotateKey", responses=documented(404, 409))
async def rotate(plane: The, ident: Ident, wanted: Rotation, caller: Editor) -> Rotated:
    """Makes a key of the same consumer, name and scopes and shows it, once. The old one still counts for the overlap, and ends then."""
    check_whole(caller.team, "a key of a consumer")
    _check_maker(caller, plane.keys.owners(ident))
    return Rotated(**await plane.keys.rotate(ident, wanted.overlap, _ends(wanted.seconds), caller.by()))


@router.delete("/v1/keys/{ident}", operation_id="revokeKey", responses=documented(404))
async def revoke(plane: The, ident: Ident, caller: Editor) -> Key:
    """Ends a key for good. It is refused everywhere within a second."""
    check_whole(caller.team, "a key of a consumer")
    return Key(**await plane.keys.revoke(ident, caller.by()))
