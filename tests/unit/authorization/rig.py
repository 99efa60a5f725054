"""An authorization server without its HTTP: a store in a file, people who have enrolled, and a gateway around it."""

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from bartizan.authorization.clients import Known, client
from bartizan.authorization.here import Here
from bartizan.authorization.person import Person
from bartizan.identity.accounts import FILE as PEOPLE
from bartizan.identity.accounts import Account, Accounts, Place, Shown
from bartizan.identity.token_keys import FILE, SigningKeys
from bartizan.model.authorization import AuthorizationServer
from bartizan.model.fields import SecretRef
from bartizan.model.named import Use
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.seal import Signatures
from bartizan.secrets.signing import SigningKey
from bartizan.store import embedded, open_store

ISSUER = "https://login.example.com"
DECLARED: dict[str, Any] = {
    "issuer": ISSUER,
    "scopes": {"orders.read": "see your orders"},
    "session": "1h",
    "refresh_token": "10h",
    "clients": {
        "web": {
            "redirect_uris": ["https://app.example.com/callback"],
            "secret": {"env": "WEB"},
            "scopes": ["openid", "profile", "groups", "offline_access", "orders.read"],
            "audiences": ["orders", "stock"],
        },
        "phone": {"redirect_uris": ["com.example.app:/callback", "http://127.0.0.1/back"], "title": "An app"},
        "tv": {"grants": ["device_code"], "scopes": ["orders.read"]},
    },
    "outside": {"google": {"issuer": "https://accounts.example.org", "client_id": "us", "client_secret": {"env": "GOOGLE"}}},
}
PASSWORD = "correct horse battery"


@dataclass
class Gateway:
    """What is around the authorization server."""

    is_declared: AuthorizationServer | None = field(default_factory=lambda: AuthorizationServer.model_validate(DECLARED))
    blocked: list[tuple[str, str, float, str]] = field(default_factory=list)
    noted: list[tuple[str, str, str, str, dict[str, str]]] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=lambda: {"WEB": "s3cret"})

    def declared(self) -> AuthorizationServer | None:
        return self.is_declared

    def gateway_name(self) -> str:
        return "edge"

    def secret(self, reference: SecretRef, use: Use) -> str:
        return self.secrets[str(reference.env)]

    def block(self, claim: str, value: str, until: float, reason: str) -> None:
        self.blocked.append((claim, value, until, reason))

    def refused(self, target: str, origin: str) -> None:
        self.noted.append(("unknown", "authorization.login", target, origin, {}))

    def note(self, actor: str, action: str, target: str, origin: str, **details: str) -> None:
        self.noted.append((actor, action, target, origin, details))


def enrolled(accounts: Accounts, name: str, place: Place, now: float) -> Account:
    """Somebody who was invited and has enrolled."""
    _, invitation = accounts.invite(name, place)
    secret, text = accounts.offer(name, invitation.reveal()), invitation.reveal()
    code = TOTP(base64.b32decode(secret), 6, SHA1(), 30).generate(int(now)).decode()  # noqa: S303 - what apps can do
    accounts.enrol(Shown(name, PASSWORD, code), text)
    return accounts.called(name)


class Rig:
    """The parts, on a clock that is set."""

    def __init__(self, folder: Path) -> None:
        self.now = 1_800_000_000.0
        self.gateway = Gateway()

        def clock() -> float:
            return self.now

        envelope = Envelope(bytes(range(32)))
        self.store = open_store(embedded(folder), Signatures(SigningKey(folder / "signing.key", envelope)), clock=clock)
        self.accounts = Accounts(folder / PEOPLE, envelope, clock)
        self.here = Here(self.store.authorizations, self.accounts, SigningKeys(folder / FILE, envelope, clock), self.gateway)
        self.tokens, self.sessions = self.here.tokens, self.here.sessions

    def close(self) -> None:
        self.store.close()
        self.accounts.close()
        self.here.keys.close()

    @property
    def declared(self) -> AuthorizationServer:
        return self.here.declared()

    def declare(self, **more: Any) -> None:
        """Another revision."""
        self.gateway.is_declared = AuthorizationServer.model_validate({**DECLARED, **more})

    def client(self, name: str = "web") -> Known:
        found = client(self.declared, name, self.gateway)
        assert found is not None
        return found

    def account(self, name: str = "ann", *groups: str) -> Account:
        """Somebody who has enrolled."""
        return enrolled(self.accounts, name, Place(None, None, groups), self.now)

    def person(self, name: str = "ann", **more: Any) -> Person:
        """Somebody who has just logged in, and isn't kept yet."""
        account = next((one for one in self.accounts.all() if one.name == name), None) or self.account(name)
        fields = {"acr": "mfa", "amr": ("pwd", "otp"), "at": self.now, "sid": "", "until": 0.0}
        return Person(account.id, account.name, account.name, account.groups, **{**fields, **more})

    def logged_in(self, name: str = "ann", before: str = "", **more: Any) -> tuple[str, Person]:
        """The cookie of somebody, and who they are."""
        return self.sessions.begin(self.person(name, **more), self.declared.session.total_seconds(), "browser", before)
