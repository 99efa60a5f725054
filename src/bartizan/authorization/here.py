"""All parts of the authorization server, as handlers are given them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bartizan.authorization.oauth.codes import Codes, DeviceCodes
from bartizan.authorization.oauth.server import Server
from bartizan.authorization.people.pages import Pages
from bartizan.authorization.person import Person
from bartizan.authorization.rows import Rows, digest
from bartizan.authorization.sessions import Session, Sessions
from bartizan.authorization.surroundings import Around
from bartizan.authorization.tokens import Tokens
from bartizan.errors import NotFound, Unauthenticated
from bartizan.identity.accounts import Accounts
from bartizan.identity.lockout import Lockout
from bartizan.identity.passkeys import COUNTS_S, RelyingParty
from bartizan.identity.token_keys import SigningKeys
from bartizan.model.authorization import AuthorizationServer
from bartizan.store import Authorization, Authorizations

T = TypeVar("T")
_INTERACTION_S = 3600.0


@dataclass(slots=True)
class Here:
    """The authorization server of one gateway."""

    store: Authorizations
    accounts: Accounts
    keys: SigningKeys
    around: Around
    pages: Pages = field(default_factory=Pages)
    lockout: Lockout = field(default_factory=Lockout)
    sessions: Sessions = field(init=False)
    tokens: Tokens = field(init=False)
    interactions: Rows = field(init=False)
    """What somebody was about to do when they had to log in."""
    challenges: Rows = field(init=False)
    """What a passkey is to answer."""
    _server: Server | None = None

    def __post_init__(self) -> None:
        self.sessions = Sessions(self.store, self.accounts, self.around)
        self.tokens = Tokens(self.keys, self.store, self.sessions, self.around)
        self.interactions, self.challenges = Rows(self.store, "interaction"), Rows(self.store, "challenge")

    def declared(self) -> AuthorizationServer:
        """As it is declared now. NotFound if it isn't."""
        found = self.around.declared()
        if found is None:
            raise NotFound("This gateway has no authorization server.", code="authorization-none")
        return found

    def server(self) -> Server:
        """Authlib's server on what is declared now."""
        declared = self.declared()
        if self._server is None or self._server.declared is not declared:
            self._server = Server(declared, self.tokens, Codes(self.store), DeviceCodes(self.store), self.around)
        return self._server

    def relying(self) -> RelyingParty:
        """To whom passkeys are given."""
        declared = self.declared()
        return RelyingParty(declared.host, self.around.gateway_name(), declared.issuer)

    def tries(self, origin: str, name: str, attempt: Callable[[], T]) -> T:
        """What an attempt to log in comes to. Those that fail count against the address and the name. TooMany."""
        named = f"name {digest(name)}"  # names are as long as whoever made them up wants
        for one in (origin, named):
            self.lockout.check(one)
        try:
            return attempt()
        except Unauthenticated:
            self.lockout.wrong(origin)
            self.lockout.wrong(named)
            self.around.refused(self._told(name), origin)
            raise

    def _told(self, name: str) -> str:
        """An account as the audit log tells it. What is no name may be a password in the wrong place."""
        try:
            return f"account/{self.accounts.called(name).name}"
        except NotFound:
            return "account/unknown"

    def begin(self, value: dict[str, Any]) -> str:
        """Keeps what somebody is about to do, and returns what leads to it."""
        return self.interactions.hidden({**value, "since": self.interactions.clock()}, _INTERACTION_S)

    def challenge(self, state: str, of: str = "") -> str:
        """Keeps what a passkey of somebody is to answer, and returns what leads to it."""
        return self.challenges.hidden({"state": state, "of": of}, COUNTS_S)

    def challenged(self, secret: str, of: str = "") -> str:
        """What a passkey was to answer: once. Unauthenticated if that was too long ago, or somebody else's."""
        row = self.challenges.behind(secret)
        taken = self.challenges.take(row.id) if row is not None else None
        if taken is None or taken.value["of"] != of:
            raise Unauthenticated("That took too long. Try again.", code="challenge-ended")
        return str(taken.value["state"])

    def interaction(self, secret: str) -> Authorization | None:
        """What somebody was about to do."""
        return self.interactions.behind(secret) if secret else None

    def session(self, cookie: str) -> Session | None:
        """Who is logged in."""
        return self.sessions.of(cookie)

    def logged_in(self, who: Person, agent: str, before: str) -> tuple[str, Person]:
        """Takes in somebody who has just logged in: the cookie, and the person with their session."""
        return self.sessions.begin(who, self.declared().session.total_seconds(), agent, before)
