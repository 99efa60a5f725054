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
from bartizan.identity.accounts import MOST_GROUPS, Place, Shown
from bartizan.identity.accounts import Account as Held
from bartizan.identity.operators import Role
from bartizan.identity.passkeys import thumbprint
from bartizan.identity.totp import uri

LONGEST_SESSION_S = 86400.0
SESSION_S = 8 * 3600.0
Who = Annotated[str, Path(min_length=1, max_length=256)]
Name = Annotated[str, Field(min_length=1, max_length=256, pattern=PRINTABLE)]
Typed = Annotated[str, Field(max_length=1024)]
Lasting = Annotated[float, Field(gt=0, le=LONGEST_SESSION_S, allow_inf_nan=False, description="For how many seconds the session counts.")]


class Account(BaseModel):
    """Somebody who may log in, or was invited to."""

    id: str = Field(description="What tokens of the authorization server call them: `sub`.")
    name: str
    role: Role | None = Field(description="At the admin API; null: they are but users of the authorization server.")
    team: str | None = Field(description="The team whose things alone they may change; null: everybody's.")
    groups: list[str] = Field(description="As tokens of the authorization server tell them.")
    since: float
    enrolled: float | None = Field(description="When they chose a password and a second factor.")
    invited_until: float | None
    recovery_codes: int = Field(description="How many are left.")
    passkeys: int
    last: float | None = Field(description="When they logged in last.")
    locked_until: float | None


class WantedPlace(BaseModel):
    """What somebody is to be."""

    role: Role | None = Field(default=None, description="At the admin API; null: they are but users of the authorization server.")
    team: str | None = Field(default=None, max_length=63, pattern=r"^[a-z0-9-]*$")
    groups: list[Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9-]*$")]] = Field(default=[], max_length=MOST_GROUPS)

    def place(self) -> Place:
        """As accounts take it."""
        return Place(self.role, self.team, tuple(dict.fromkeys(self.groups)))


class WantedAccount(WantedPlace):
    """Who is invited."""

    name: Name


class PersonsPasskey(BaseModel):
    """A passkey of somebody."""

    passkey: str = Field(description="As a Device names it.")
    label: str = Field(description="What its owner calls it.")
    since: float
    last: float | None
    synced: bool = Field(description="Whether it exists outside of one device: then it tells none.")


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


class Enrolled(BaseModel):
    """A session, and the codes that count once each in the place of the second factor. They are shown this once."""

    session: Session | None = None
    no_session: str = Field(default="", description="Why there is no session: they log in elsewhere, or with a passkey.")
    recovery_codes: list[str]


class Ways(BaseModel):
    """How people log in."""

    issuer: str | None = Field(description="Where they do so with a browser: the authorization server; null if there is none.")


class AccessToken(BaseModel):
    """An access token of the authorization server, which was made for the admin API."""

    token: Annotated[str, Field(max_length=8192)]
    seconds: Lasting = SESSION_S


class KeyRotation(BaseModel):
    """How the signing key is replaced."""

    lost: bool = Field(default=False, description="Tokens of the old one count no more, at once.")


class SigningKey(BaseModel):
    """The new key."""

    kid: str


router = APIRouter(tags=["people"], route_class=JsonRoute)


@router.get("/v1/people", operation_id="listPeople", responses=documented())
async def listed(plane: The, _: Admin) -> list[Account]:
    """Everybody who may log in, or was invited to."""
    return [Account(**asdict(one)) for one in await asyncio.to_thread(plane.accounts.all)]


@router.post("/v1/people", operation_id="invite", responses=documented())
async def invite(plane: The, wanted: WantedAccount, caller: Admin) -> Invited:
    """Invites somebody; or anew: then what they logged in with, and their sessions, count no more."""
    await _check_team(plane, wanted.team)
    told, text = await asyncio.to_thread(plane.accounts.invite, wanted.name, wanted.place())
    ended = await _end(plane, told, "invited anew")
    await plane.audit(
        caller.name,
        "people.invite",
        told.name,
        caller.origin,
        role=told.role,
        team=told.team,
        groups=list(told.groups),
        sessions_ended=ended,
    )
    return Invited(**asdict(told), invitation=text.reveal())


@router.put("/v1/people/{name}", operation_id="putPerson", responses=documented(404))
async def put(plane: The, name: Who, wanted: WantedPlace, caller: Admin) -> Account:
    """Gives somebody another role, team or groups, and ends their sessions. What they log in with stays."""
    await _check_team(plane, wanted.team)
    told = await asyncio.to_thread(plane.accounts.put, name, wanted.place())
    ended = await _end(plane, told, "given another role, team or groups")
    await plane.audit(caller.name, "people.put", name, caller.origin, role=told.role, groups=list(told.groups), sessions_ended=ended)
    return Account(**asdict(told))


async def _end(plane: Plane, told: Held, reason: str) -> int:
    """Ends the sessions of somebody, here and at the authorization server."""
    there = await asyncio.to_thread(plane.authorization.end_logins, told.id, reason)
    return there + await asyncio.to_thread(plane.operators.end_sessions, told.name)


@router.get("/v1/people/{name}/passkeys", operation_id="listPasskeys", responses=documented(404))
async def passkeys(plane: The, name: Who, _: Admin) -> list[PersonsPasskey]:
    """The passkeys of somebody: a Device that names one is told by tokens of logins with it."""
    found = await asyncio.to_thread(plane.accounts.passkeys, name)
    return [
        PersonsPasskey(passkey=thumbprint(one.passkey), label=one.label, since=one.since, last=one.last, synced=one.passkey.backed_up)
        for one in found
    ]


@router.post("/v1/people/{name}/logout", operation_id="logOutPerson", responses=documented(404))
async def log_out_person(plane: The, name: Who, caller: Admin) -> Account:
    """Ends the sessions of somebody, here and at the authorization server, with all that applications got in them."""
    told = await asyncio.to_thread(plane.accounts.called, name)
    ended = await _end(plane, told, "logged out by an admin")
    await plane.audit(caller.name, "people.logout", name, caller.origin, sessions_ended=ended)
    return Account(**asdict(told))


@router.post("/v1/authorization-server/keys", operation_id="rotateSigningKey", responses=documented())
async def rotate_key(plane: The, wanted: KeyRotation, caller: Admin) -> SigningKey:
    """Has the authorization server sign with a new key: in an hour, so that others learn of it first; at once, if the old one is lost."""
    kid = await asyncio.to_thread(lambda: plane.authorization.rotate(lost=wanted.lost))
    await plane.audit(caller.name, "authorization.rotate", f"key/{kid}", caller.origin, lost=wanted.lost)
    return SigningKey(kid=kid)


async def _check_team(plane: Plane, team: str | None) -> None:
    if team is not None and team not in (await plane.newest()).gateway.teams:
        raise Invalid(f"The Gateway declares no team {team!r}.", code="team-unknown")


@router.delete("/v1/people/{name}", operation_id="removePerson", responses=documented(404))
async def remove(plane: The, name: Who, caller: Admin) -> Account:
    """Takes somebody out for good, and ends their sessions. Tokens that were made for them are ended apart."""
    told = await asyncio.to_thread(plane.accounts.remove, name)
    ended = await _end(plane, told, "removed")
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
    try:
        session = await _session(plane, (told.name, told.role, told.team), shown.seconds)
    except Forbidden as error:
        return Enrolled(recovery_codes=codes, no_session=error.message)
    return Enrolled(session=session, recovery_codes=codes)


@router.post("/v1/login", operation_id="logIn", responses=documented())
async def log_in(plane: The, shown: Credentials, stranger: Stranger) -> Session:
    """Gives whoever shows a password and a second factor a token that ends soon."""
    told = await stranger.tries(shown.name, lambda: plane.accounts.login(Shown(shown.name, shown.password, shown.code)))
    made = await _session(plane, (told.name, told.role, told.team), shown.seconds)
    await plane.audit(told.name, "login", made.id, stranger.origin, recovery_codes=told.recovery_codes)
    return made


@router.get("/v1/login", operation_id="loginWays", responses=documented())
async def ways(plane: The, _: Stranger) -> Ways:
    """Tells how people log in."""
    return Ways(issuer=plane.authorization.issuer())


@router.post("/v1/login/token", operation_id="logInWithToken", responses=documented(404))
async def log_in_with_token(plane: The, shown: AccessToken, stranger: Stranger) -> Session:
    """Gives whoever has logged in to the authorization server with a browser a session here."""
    who = await stranger.tries(f"token {stranger.origin}", lambda: plane.authorization.operator(shown.token))
    made = await _session(plane, (who.name, who.role, who.team), shown.seconds, by_password=False)
    await plane.audit(who.name, "login", made.id, stranger.origin, browser=True)
    return made


@router.post("/v1/logout", operation_id="logOut", responses=documented(404, 409))
async def log_out(plane: The, caller: Whoever) -> None:
    """Ends the session of whoever asks."""
    if caller.operator is None or not caller.operator.session:
        raise Forbidden("This isn't a session: an admin ends tokens.", code="no-session")
    await asyncio.to_thread(plane.operators.end, caller.operator.id)
    await plane.audit(caller.name, "logout", caller.operator.id, caller.origin)


async def _session(plane: Plane, who: tuple[str, Role | None, str | None], seconds: float, *, by_password: bool = True) -> Session:
    name, role, team = who
    if role is None:
        raise Forbidden("You have no role at the admin API.", code="role-none")
    if by_password:
        plane.authorization.check_factor(role, "")
    made, text = await asyncio.to_thread(plane.operators.session, name, role, time.time() + seconds, team=team)
    return Session(id=made.id, name=made.name, role=made.role, team=made.team, expires=made.expires or 0.0, token=text.reveal())
