"""People: invited, enrolled with a second factor, logged in, and taken out."""

import asyncio
import time
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from bartizan.admin.answers import PRINTABLE, documented
from bartizan.admin.asked import Admin, Stranger, The, Whoever
from bartizan.admin.bodies import JsonRoute
from bartizan.admin.plane import Plane
from bartizan.errors import Forbidden, Invalid
from bartizan.identity.accounts import Account as Held
from bartizan.identity.accounts import Shown, uri
from bartizan.identity.operators import Role

LONGEST_SESSION_S = 86400.0
SESSION_S = 8 * 3600.0
Who = Annotated[str, Path(min_length=1, max_length=256)]
Name = Annotated[str, Field(min_length=1, max_length=256, pattern=PRINTABLE)]
Typed = Annotated[str, Field(max_length=1024)]
Lasting = Annotated[float, Field(gt=0, le=LONGEST_SESSION_S, allow_inf_nan=False, description="For how many seconds the session counts.")]


class Account(BaseModel):
    """Somebody who may log in, or was invited to."""

    name: str
    role: Role
    team: str | None = Field(description="The team whose things alone they may change; null: everybody's.")
    since: float
    enrolled: bool = Field(description="Whether they have chosen a password and a second factor.")
    invited_until: float | None
    recovery_codes: int = Field(description="How many are left.")
    last: float | None = Field(description="When they logged in last.")
    locked_until: float | None


class WantedAccount(BaseModel):
    """Who is invited."""

    name: Name
    role: Role
    team: str | None = Field(default=None, max_length=63, pattern=r"^[a-z0-9-]*$")


class Invited(Account):
    """Somebody with their invitation, which is shown this once."""

    invitation: str


class Invitation(BaseModel):
    """Who enrols, and by which invitation."""

    name: Name
    invitation: Typed


class Factor(BaseModel):
    """The secret of the second factor that is to be taken into an app."""

    secret: str = Field(description="In base32.")
    uri: str = Field(description="The same as authenticator apps take it: otpauth://totp/...")


class Enrolment(Invitation):
    """The password, and a code of the second factor, which shows that it was taken."""

    password: Typed
    code: Typed
    seconds: Lasting = SESSION_S


class Credentials(BaseModel):
    """What somebody logs in with."""

    name: Name
    password: Typed
    code: Typed = Field(description="Of the second factor; or a recovery code.")
    seconds: Lasting = SESSION_S


class Session(BaseModel):
    """A token that ends soon."""

    id: str
    name: str
    role: Role
    team: str | None
    expires: float
    token: str


class Enrolled(Session):
    """A session, and the codes that count once each in the place of the second factor. They are shown this once."""

    recovery_codes: list[str]


router = APIRouter(tags=["people"], route_class=JsonRoute)


@router.get("/v1/people", operation_id="listPeople", responses=documented())
async def listed(plane: The, _: Admin) -> list[Account]:
    """Everybody who may log in, or was invited to."""
    return [Account(**asdict(one)) for one in await asyncio.to_thread(plane.accounts.all)]


@router.post("/v1/people", operation_id="invite", responses=documented())
async def invite(plane: The, wanted: WantedAccount, caller: Admin) -> Invited:
    """Invites somebody; or anew: then what they logged in with, and their sessions, count no more."""
    if wanted.team is not None and wanted.team not in (await plane.newest()).gateway.teams:
        raise Invalid(f"The Gateway declares no team {wanted.team!r}.", code="team-unknown")
    told, text = await asyncio.to_thread(plane.accounts.invite, wanted.name, wanted.role, wanted.team)
    ended = await asyncio.to_thread(plane.operators.end_sessions, wanted.name)
    await plane.audit(caller.name, "people.invite", told.name, caller.origin, role=told.role, team=told.team, sessions_ended=ended)
    return Invited(**asdict(told), invitation=text.reveal())


@router.delete("/v1/people/{name}", operation_id="removePerson", responses=documented(404))
async def remove(plane: The, name: Who, caller: Admin) -> Account:
    """Takes somebody out for good, and ends their sessions. Tokens that were made for them are ended apart."""
    told = await asyncio.to_thread(plane.accounts.remove, name)
    ended = await asyncio.to_thread(plane.operators.end_sessions, name)
    await plane.audit(caller.name, "people.remove", name, caller.origin, sessions_ended=ended)
    return Account(**asdict(told))


@router.post("/v1/login/factor", operation_id="offerFactor", responses=documented())
async def factor(plane: The, shown: Invitation, stranger: Stranger) -> Factor:
    """Shows whoever was invited the secret of a second factor. It counts for a quarter of an hour."""
    secret = await stranger.tries(shown.name, lambda: plane.accounts.offer(shown.name, shown.invitation))
    return Factor(secret=secret, uri=uri(shown.name, secret, f"Bartizan {plane.gateway_name()}".strip()))


@router.post("/v1/login/enrolment", operation_id="enrol", responses=documented(409))
async def enrol(plane: The, shown: Enrolment, stranger: Stranger) -> Enrolled:
    """Takes the password and the second factor of whoever was invited, and logs them in."""
    who = Shown(shown.name, shown.password, shown.code)
    codes = await stranger.tries(shown.name, lambda: plane.accounts.enrol(who, shown.invitation))
    told = next(one for one in await asyncio.to_thread(plane.accounts.all) if one.name == shown.name)
    await plane.audit(shown.name, "people.enrol", shown.name, stranger.origin)
    session = await _session(plane, told, shown.seconds)
    return Enrolled(**session.model_dump(), recovery_codes=codes)


@router.post("/v1/login", operation_id="logIn", responses=documented())
async def log_in(plane: The, shown: Credentials, stranger: Stranger) -> Session:
    """Gives whoever shows a password and a second factor a token that ends soon."""
    told = await stranger.tries(shown.name, lambda: plane.accounts.login(Shown(shown.name, shown.password, shown.code)))
    made = await _session(plane, told, shown.seconds)
    await plane.audit(told.name, "login", made.id, stranger.origin, recovery_codes=told.recovery_codes)
    return made


@router.post("/v1/logout", operation_id="logOut", responses=documented(404, 409))
async def log_out(plane: The, caller: Whoever) -> None:
    """Ends the session of whoever asks."""
    if caller.operator is None or not caller.operator.session:
        raise Forbidden("This isn't a session: an admin ends tokens.", code="no-session")
    await asyncio.to_thread(plane.operators.end, caller.operator.id)
    await plane.audit(caller.name, "logout", caller.operator.id, caller.origin)


async def _session(plane: Plane, told: Held, seconds: float) -> Session:
    made, text = await asyncio.to_thread(plane.operators.session, told.name, told.role, time.time() + seconds, team=told.team)
    return Session(id=made.id, name=made.name, role=made.role, team=made.team, expires=made.expires or 0.0, token=text.reveal())
