"""Codes that stand for what somebody allowed: authorization codes, which count once, and device codes (RFC 8628)."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bartizan.authorization.person import Person, person
from bartizan.authorization.rows import Rows, digest
from bartizan.errors import Conflict, NotFound
from bartizan.store import Authorization, Authorizations

CODE_S = 60.0
DEVICE_S = 600
INTERVAL_S = 5
_USED_S = 3700.0
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels: a code spells nothing (RFC 8628, section 6.1)."""


@dataclass(frozen=True, slots=True)
class Code:
    """What an authorization code stands for, as authlib asks for it."""

    id: str
    client: str
    redirect_uri: str
    scope: str
    nonce: str
    code_challenge: str
    who: Person
    code_challenge_method: str = "S256"

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str:
        return self.nonce

    def get_auth_time(self) -> int:
        return int(self.who.at)

    def get_acr(self) -> str:
        return self.who.acr

    def get_amr(self) -> list[str]:
        return list(self.who.amr)


@dataclass(frozen=True, slots=True)
class Used:
    """What an authorization code came to: shown again, it takes that back."""

    jti: str
    expires: float
    family: str


class Codes:
    """Authorization codes. Only their hashes are kept."""

    def __init__(self, store: Authorizations) -> None:
        self._codes, self._used = Rows(store, "code"), Rows(store, "code-used")

    def keep(self, code: str, value: Mapping[str, Any], who: Person) -> None:
        """Keeps a code for as long as it counts. `value`: client, redirect_uri, scope, nonce, code_challenge."""
        self._codes.put(digest(code), {**value, "person": who.kept()}, CODE_S, who.id)

    def take(self, code: str) -> Code | None:
        """What a code stands for: once, whoever shows it."""
        row = self._codes.take(digest(code))
        if row is None:
            return None
        told: dict[str, Any] = dict(row.value)
        return Code(
            row.id, told["client"], told["redirect_uri"], told["scope"], told["nonce"], told["code_challenge"], person(told["person"])
        )

    def used(self, code: Code, came: Used) -> None:
        """Notes what a code came to."""
        self._used.put(code.id, {"jti": came.jti, "expires": came.expires, "family": came.family}, _USED_S, code.who.id)

    def came_of(self, code: str) -> Used | None:
        """What a code came to that is shown again. It is told once."""
        row = self._used.take(digest(code))
        told: Any = row.value if row is not None else None
        return Used(str(told["jti"]), float(told["expires"]), str(told["family"])) if told is not None else None


@dataclass(frozen=True, slots=True)
class Waiting:
    """An application that waits for somebody to allow it something, as authlib asks for it."""

    row: Authorization

    @property
    def told(self) -> dict[str, Any]:
        return dict(self.row.value)

    def get_client_id(self) -> str:
        return str(self.told["client"])

    def get_scope(self) -> str:
        return str(self.told["scope"])

    def get_user_code(self) -> str:
        return str(self.told["user_code"])

    def is_expired(self) -> bool:
        return False  # one that is has gone


class DeviceCodes:
    """Device codes, each with a short code that people type."""

    def __init__(self, store: Authorizations) -> None:
        self._waiting, self._typed = Rows(store, "device"), Rows(store, "device-typed")

    def begin(self, client: str, scope: str) -> tuple[str, str]:
        """An application begins to wait: its device code, and the code that people type."""
        typed = "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(2))
        value = {
            "client": client,
            "scope": scope,
            "user_code": typed,
            "asked": 0.0,
            "interval": INTERVAL_S,
            "person": None,
            "denied": False,
        }
        secret = self._waiting.hidden(value, DEVICE_S)
        self._typed.put(digest(_bare(typed)), {"device": digest(secret)}, DEVICE_S)
        return secret, typed

    def waiting(self, device_code: str) -> Waiting | None:
        """Who waits with this code."""
        row = self._waiting.behind(device_code)
        return Waiting(row) if row is not None else None

    def typed(self, user_code: str) -> Waiting | None:
        """Who waits for somebody to type this."""
        row = self._typed.get(digest(_bare(user_code)))
        found = self._waiting.get(str(row.value["device"])) if row is not None else None
        return Waiting(found) if found is not None else None

    def decide(self, user_code: str, who: Person | None) -> Waiting:
        """Somebody allows it, or with None refuses. It is decided once. NotFound."""
        row = self._typed.take(digest(_bare(user_code)))
        found = self._waiting.get(str(row.value["device"])) if row is not None else None
        if found is None:
            raise NotFound("Nothing waits for this code: it was mistyped, used, or has ended.", code="device-code-unknown")
        for _ in range(5):  # the application asks meanwhile, which writes the row too
            value = {**found.value, "person": who.kept() if who is not None else None, "denied": who is None}
            try:
                return Waiting(self._waiting.again(found, value, found.expires))
            except Conflict:
                found = self._waiting.get(found.id) or found
        raise Conflict("Try again.", code="authorization-conflict")

    def decided(self, waiting: Waiting) -> tuple[Person | None, bool] | None:
        """Who allowed it, and whether they did; None as long as nobody has decided."""
        told = waiting.told
        if told["denied"]:
            return None, False
        return (person(told["person"]), True) if told["person"] is not None else None

    def take(self, waiting: Waiting) -> bool:
        """Takes it away: it was decided. Whether it was there."""
        return self._waiting.take(waiting.row.id) is not None

    def too_soon(self, waiting: Waiting) -> bool:
        """Whether the application asks more often than it may; each time that it does, it has to wait longer (RFC 8628, section 3.5)."""
        told, now = waiting.told, self._waiting.clock()
        soon = now - float(told["asked"]) < float(told["interval"]) - 0.5
        value = {**told, "asked": now, "interval": told["interval"] + (INTERVAL_S if soon else 0)}
        try:
            self._waiting.again(waiting.row, value, waiting.row.expires)
        except Conflict:
            return True
        return soon


def _bare(typed: str) -> str:
    return "".join(letter for letter in typed.upper() if letter in _LETTERS)
