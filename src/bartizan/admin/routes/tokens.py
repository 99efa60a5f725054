"""Tokens of the admin API: made, listed, ended."""

import asyncio
import time
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from bartizan.admin.answers import documented
from bartizan.admin.asked import Admin, Maker, The
from bartizan.admin.bodies import JsonRoute
from bartizan.errors import Invalid
from bartizan.identity.operators import Of, Role

Ident = Annotated[str, Path(pattern=r"^tok_[0-9a-f]{1,32}$")]


class Token(BaseModel):
    """A token, without its text."""

    id: str
    name: str
    role: Role
    created: float
    expires: float | None
    once: bool = Field(description="It only makes another, and ends with that.")
    team: str | None = Field(description="The team whose things alone it may change; null: everybody's.")
    session: bool = Field(description="It was given to somebody who logged in.")
    source: str | None = Field(description="The ContextSource that it speaks for, if it does nothing else.")


class NewToken(Token):
    """A token with its text, which is shown this once."""

    token: str


class WantedToken(BaseModel):
    """The token that is to be made."""

    name: str = Field(min_length=1, max_length=256, description="Whose it is: the audit log names it.")
    role: Role
    team: str | None = Field(
        default=None, max_length=63, pattern=r"^[a-z0-9-]*$", description="The team whose APIs and policies alone it may change."
    )
    source: str | None = Field(
        default=None, max_length=63, pattern=r"^[a-z0-9-]*$", description="The ContextSource that a token with the role context speaks for."
    )
    seconds: float | None = Field(
        default=None, gt=0, le=10 * 365 * 86400, allow_inf_nan=False, description="For how long; by default for good."
    )


router = APIRouter(tags=["tokens"], route_class=JsonRoute)


@router.get("/v1/tokens", operation_id="listTokens", responses=documented())
async def listed(plane: The, _: Admin) -> list[Token]:
    """Every token that wasn't ended."""
    return [Token(**asdict(one)) for one in await asyncio.to_thread(plane.operators.all)]


@router.post("/v1/tokens", operation_id="makeToken", responses=documented())
async def make(plane: The, wanted: WantedToken, caller: Maker) -> NewToken:
    """Makes a token and shows it, once. The first token of a gateway makes one other, and ends."""
    if wanted.team is not None and wanted.team not in (await plane.newest()).gateway.teams:
        raise Invalid(f"The Gateway declares no team {wanted.team!r}.", code="team-unknown")
    if wanted.source is not None and wanted.source not in (await plane.newest()).contexts:
        raise Invalid(f"There is no ContextSource {wanted.source!r}.", code="context-unknown")
    of = Of(wanted.team, wanted.source)
    expires = None if wanted.seconds is None else time.time() + wanted.seconds
    first = caller.operator if caller.operator is not None and caller.operator.once else None
    if first is not None:
        made, text = await asyncio.to_thread(plane.operators.exchange, first, wanted.name, wanted.role, expires, of=of)
    else:
        made, text = await asyncio.to_thread(plane.operators.new, wanted.name, wanted.role, expires, of=of)
    told = {"name": made.name, "role": made.role, "team": made.team, **({"source": made.source} if made.source else {})}
    await plane.audit(caller.name, "token.make", made.id, caller.origin, **told)
    return NewToken(**asdict(made), token=text.reveal())


@router.delete("/v1/tokens/{ident}", operation_id="endToken", responses=documented(404, 409))
async def end(plane: The, ident: Ident, caller: Admin) -> Token:
    """Ends a token for good."""
    ended = await asyncio.to_thread(plane.operators.end, ident)
    await plane.audit(caller.name, "token.end", ended.id, caller.origin, name=ended.name)
    return Token(**asdict(ended))
