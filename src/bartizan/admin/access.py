"""Who asks the admin API, and what they may: a token over TCP, the owner of the state's folder over its unix socket."""

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from bartizan.admin.answers import answer_to
from bartizan.errors import BartizanError, Forbidden, Unauthenticated
from bartizan.identity.lockout import Lockout
from bartizan.identity.operators import Operator, Operators
from bartizan.rollout.asking import By

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    name: str
    origin: str
    operator: Operator | None
    """None: the owner of the folder, who may do everything."""

    def may(self, what: str) -> bool:
        """Whether it is allowed."""
        return self.operator is None or self.operator.may(what)

    @property
    def team(self) -> str | None:
        """The team whose things alone may be changed; None: everybody's."""
        return self.operator.team if self.operator is not None else None

    @property
    def source(self) -> str | None:
        """The context source that alone is spoken for; None: any."""
        return self.operator.source if self.operator is not None else None

    def by(self, message: str = "", *, emergency: bool = False) -> By:
        """As the control plane is told who asks."""
        return By(self.name, message, self.origin, emergency, self.team)


class Access:
    """Tells who asks, for one door: the unix socket if `local`, else TCP."""

    def __init__(self, operators: Operators, *, local: bool) -> None:
        self._operators = operators
        self.lockout = Lockout()
        self._owner = f"local:{getpass.getuser()}" if local else ""

    def origin(self, request: Request) -> str:
        """From where somebody asks. TooMany if that is locked out."""
        if self._owner:
            return "local"
        origin = request.client.host if request.client else "unknown"
        self.lockout.check(origin)
        return origin

    async def caller(self, request: Request) -> Caller:
        """Who asks. Unauthenticated or TooMany."""
        if self._owner:
            return Caller(self._owner, "local", None)
        origin = self.origin(request)
        token = _token(request)
        try:
            operator = await asyncio.to_thread(self._operators.who, token)
        except Unauthenticated:
            self.lockout.wrong(origin)
            raise
        return Caller(operator.name, origin, operator)


@dataclass(frozen=True, slots=True)
class Unknown:
    """Somebody who isn't known yet, and tries to become so."""

    origin: str
    lockout: Lockout

    async def tries(self, name: str, attempt: Callable[[], T]) -> T:
        """What the attempt comes to. Those that fail count against the address and against the name, whoever may be called so."""
        named = f"name {name}"
        self.lockout.check(named)
        try:
            return await asyncio.to_thread(attempt)
        except Unauthenticated:
            self.lockout.wrong(self.origin)
            self.lockout.wrong(named)
            raise


def _token(request: Request) -> str:
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not text or not text.isascii():
        raise Unauthenticated("A valid token is needed.", code="token-unknown")
    return text


class Known:
    """Lets nobody in who isn't known: before a path is looked up, and before anything of a body is read. `public`: paths for anybody;
    `logins`: those where somebody tries to become known."""

    def __init__(self, app: ASGIApp, access: Access, public: frozenset[str], logins: frozenset[str]) -> None:
        self._app, self._access, self._public, self._logins = app, access, public, logins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in self._public:
            state, request = scope.setdefault("state", {}), Request(scope)
            try:
                if scope["path"] in self._logins:
                    state["stranger"] = Unknown(self._access.origin(request), self._access.lockout)
                else:
                    state["caller"] = await self._access.caller(request)
            except BartizanError as error:
                await answer_to(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def check_may(caller: Caller, what: str) -> None:
    """Forbidden if this isn't allowed to whoever asks."""
    if caller.operator is not None and caller.operator.once and what != "make-token":
        raise Forbidden("The first token only makes another: POST /v1/tokens.", code="first-token")
    if not caller.may("administer" if what == "make-token" else what):
        raise Forbidden("Your token's role doesn't allow this.", code="role-too-low")


def allowed(what: str) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency of an operation: who asks, if that is allowed."""

    async def who(request: Request) -> Caller:
        caller: Caller = request.state.caller
        check_may(caller, what)
        return caller

    return who
