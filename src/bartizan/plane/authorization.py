"""The authorization server within the control plane: served where the active revision says; people log in to the admin API by it."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from bartizan.admin.serving import bound, server
from bartizan.authorization.app import app
from bartizan.authorization.clients import ADMIN_API
from bartizan.authorization.here import Here
from bartizan.authorization.person import OUTSIDE, PHISHING_RESISTANT
from bartizan.authorization.tokens import audiences_of
from bartizan.errors import Forbidden, Unauthenticated, Unavailable
from bartizan.identity.accounts import Accounts
from bartizan.identity.brake import Brake
from bartizan.identity.operators import Role
from bartizan.identity.referred import secret_text
from bartizan.identity.token_keys import SigningKeys
from bartizan.model.authorization import AuthorizationServer
from bartizan.model.fields import SecretRef
from bartizan.model.named import Use
from bartizan.model.snapshot import Snapshot
from bartizan.plane.living import Living
from bartizan.plane.noting import Noting
from bartizan.store import Event, Store

BY = "authorization-server"
_LOOK_S = 0.2
_log = logging.getLogger("bartizan")


@dataclass(frozen=True, slots=True)
class Operating:
    """Who has logged in with a browser, and what they are at the admin API."""

    name: str
    role: Role
    team: str | None


class Authorization:
    """What the authorization server needs of the gateway, and what the gateway needs of it."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        keys: SigningKeys,
        around: tuple[Living, Noting, Path],
        active: Callable[[], Snapshot | None],
    ) -> None:
        """`around`: the live data, the audit log, and the folder in which files of secrets lie."""
        self._living, self._noting, self._base = around
        self._active, self._accounts = active, accounts
        self._here = Here(store.authorizations, accounts, keys, self)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._trouble = ""

    def declared(self) -> AuthorizationServer | None:
        """As the active revision declares it."""
        snapshot = self._active()
        return snapshot.gateway.authorization_server if snapshot is not None else None

    def gateway_name(self) -> str:
        """What people are shown as the gateway's name."""
        snapshot = self._active()
        return snapshot.gateway.name if snapshot is not None else ""

    def secret(self, reference: SecretRef, use: Use) -> str:
        """What a reference leads to, for this use."""
        return secret_text(reference, self._base, self._living.named, use)

    def block(self, claim: str, value: str, until: float, reason: str) -> None:
        """Has every node refuse tokens with this `jti` ("token") or `sid` ("session")."""
        self._living.brakes.brake(Brake("", "token" if claim == "token" else "session", value, reason[:256], BY, 0.0, until))
        self._soon(self._living.take_brakes)

    def refused(self, target: str, origin: str) -> None:
        """Notes in the audit log, bounded, that somebody failed to show who they are."""
        self._soon(lambda: self._noting.refused(Event("unknown", "authorization.login", target, origin, "refused")))

    def note(self, actor: str, action: str, target: str, origin: str, **details: str) -> None:
        """Notes in the audit log that somebody did something."""
        told = {name: value for name, value in details.items() if value}
        self._soon(lambda: self._noting.tell(Event(actor, action, target, origin, "done", dict(told))))

    def _soon(self, do: Callable[[], object]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(do)

    def warnings(self) -> tuple[str, ...]:
        """What is wrong with serving it."""
        return (self._trouble,) if self._trouble else ()

    async def run(self) -> None:
        """Serves it as long as it is declared, wherever that says. Never returns."""
        self._loop = asyncio.get_running_loop()
        while True:
            if (declared := self.declared()) is not None:
                await self._serve(declared.listen)
            await asyncio.sleep(_LOOK_S)

    async def _serve(self, address: str) -> None:
        try:
            listening = bound(address, "the authorization server")
        except Unavailable as error:
            if error.message != self._trouble:
                _log.error("%s", error.message)
            self._trouble = error.message
            return
        self._trouble = ""
        # It is on loopback behind Envoy: what Envoy says of the caller's address is believed by the handlers, and nothing else.
        running = server(app(self._here), proxy_headers=False, limit_concurrency=200)
        async with asyncio.TaskGroup() as group:
            group.create_task(running.serve([listening]))
            group.create_task(self._stop_when_moved(running, address))

    async def _stop_when_moved(self, running: uvicorn.Server, address: str) -> None:
        while not running.should_exit:
            declared = self.declared()
            if declared is None or declared.listen != address:
                running.should_exit = True
            await asyncio.sleep(_LOOK_S)

    def issuer(self) -> str | None:
        """Where people log in with a browser; None if there is no such place."""
        declared = self.declared()
        return declared.issuer if declared is not None else None

    def operator(self, token: str) -> Operating:
        """Who logs in to the admin API by a token that was made for it, which counts once. Unauthenticated or Forbidden."""
        declared = self._here.declared()
        claims = self._here.tokens.read(declared, token)
        if ADMIN_API not in audiences_of(claims) or "sid" not in claims or "act" in claims or not self._here.tokens.once(claims):
            raise Unauthenticated("This token isn't one to log in with.", code="token-unknown")
        ident, name = str(claims["sub"]), str(claims["preferred_username"])
        account = self._accounts.with_id(ident)
        if account is None and not ident.startswith(OUTSIDE):
            raise Unauthenticated("Whose token this is has no account any more.", code="token-unknown")
        if account is not None and account.role is not None:
            role, team = account.role, account.team
        else:
            groups = account.groups if account is not None else tuple(map(str, claims["groups"]))
            mapped = next((found for group, found in declared.operators.groups.items() if group in groups), None)
            if mapped is None:
                raise Forbidden("You have no role at the admin API.", code="role-none")
            role, team = mapped.role, mapped.team
        self.check_factor(role, str(claims.get("acr", "")))
        return Operating(name, role, team)

    def check_factor(self, role: Role, acr: str) -> None:
        """Forbidden if the policy asks for a passkey of those with this role, and this login was without one. So it is, too, as long as no
        revision is active: nobody knows then what the policy asks for."""
        if acr != PHISHING_RESISTANT and self._active() is None:
            raise Forbidden("No revision is active, so it isn't known how people may log in. The state's owner can act.", code="not-active")
        declared = self.declared()
        if declared is not None and role in declared.operators.phishing_resistant and acr != PHISHING_RESISTANT:
            told = f"The role {role} is only for who logs in with a passkey: `bartizan login --passkey`."
            raise Forbidden(told, code="passkey-needed")

    def end_logins(self, ident: str, reason: str) -> int:
        """Ends all sessions of somebody, with all that applications got in them. How many there were."""
        ended = self._here.sessions.end_all(ident, reason)  # first, so that no code of them comes to a family that wasn't looked at
        for family in self._here.tokens.families(ident):
            self._here.tokens.end_family(family, reason)
        return ended

    def rotate(self, *, lost: bool) -> str:
        """Has a new key sign. The key's id."""
        made, issuer = self._here.keys.rotate(lost=lost), self.issuer()
        if issuer is not None:
            self._soon(lambda: self._living.issuers.fetch_anew(issuer))
        return made
