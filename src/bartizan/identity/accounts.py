"""The people of the admin API: each with a password and a second factor (TOTP, RFC 6238), or recovery codes in its place.

An admin invites; whoever has the invitation chooses the password and takes the secret of the second factor into an app. Who logs in gets a
token that ends soon: a session. Kept in a sealed journal; of passwords, codes and invitations only hashes.
"""

import base64
import hashlib
import os
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.twofactor import InvalidToken
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from bartizan.errors import Conflict, Invalid, NotFound, TooMany, Unauthenticated
from bartizan.identity.ledger import Ledger
from bartizan.identity.operators import Of, Role, check_name
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.sealed import Secret

FILE = "accounts.journal"
INVITED_S = 86400.0
"""How long an invitation counts."""
SHORTEST = 12
"""Characters of a password (NIST SP 800-63B, section 3.1.1, asks for 8 beside a second factor)."""
LONGEST = 256
_STEP_S = 30
_DIGITS = 6
_SKEW = 1
"""Steps that a clock may be ahead or behind."""
_SECRET_BYTES = 20
_RECOVERIES = 10
_WRONG = 5
"""Wrong codes beside a right password, after which the account is locked: for so long at first, and twice as long each time."""
_LOCKED_S = 60.0
_LONGEST_LOCK_S = 86400.0
_OFFERED_S = 900.0
_MOST_OFFERED = 100
_AT_ONCE = threading.Semaphore(2)
"""Each password that is checked takes some tens of megabytes."""


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may log in, or was invited to. Times are seconds since the epoch."""

    name: str
    role: Role
    team: str | None
    since: float
    enrolled: bool
    invited_until: float | None
    recovery_codes: int
    """How many are left."""
    last: float | None
    """When they logged in last."""
    locked_until: float | None


@dataclass(slots=True)
class _Held:
    role: Role
    team: str | None
    since: float
    invitation: str = ""
    until: float = 0.0
    password: str = ""
    secret: str = ""
    recovery: set[str] = field(default_factory=set)
    step: int = 0
    """The newest step whose code was used: none counts twice (RFC 6238, section 5.2)."""
    last: float | None = None
    wrong: int = 0
    locked: float = 0.0


@dataclass(frozen=True, slots=True)
class Shown:
    """What somebody shows to log in."""

    name: str
    password: str
    code: str
    """Of the second factor; or a recovery code."""


class Accounts:
    """The accounts of a state. Methods may be called from any thread; writing waits for the disk, checking a password takes its time."""

    def __init__(self, path: Path, envelope: Envelope, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._offered: dict[str, tuple[str, float]] = {}
        """By the hash of an invitation, the secret that was shown for it, and until when."""
        events: dict[str, Callable[..., None]] = {
            "invite": self._invite,
            "enrol": self._enrol,
            "login": self._login,
            "wrong": self._wrong,
            "remove": self._remove,
        }
        self._ledger = Ledger(path, envelope, "accounts", events)

    def close(self) -> None:
        self._ledger.close()

    def all(self) -> tuple[Account, ...]:
        """Everybody, by name."""
        with self._ledger.lock:
            self._ledger.absorb()
            return tuple(self._told(name, held) for name, held in sorted(self._held.items()))

    def _told(self, name: str, held: _Held) -> Account:
        now = self._clock()
        invited = held.until if held.invitation and held.until > now else None
        locked = held.locked if held.locked > now else None
        return Account(name, held.role, held.team, held.since, bool(held.password), invited, len(held.recovery), held.last, locked)

    def invite(self, name: str, role: Role, team: str | None) -> tuple[Account, Secret]:
        """Invites somebody, or anew: what they logged in with counts no more. Returns the invitation, which is shown this once."""
        check_name(name, role, Of(team))
        text = secrets.token_urlsafe(24)
        now = float(self._clock())
        with self._ledger.writing():
            since = self._held[name].since if name in self._held else now
            wanted = {"role": role, "team": team, "since": since, "invitation": _digest(text), "until": now + INVITED_S}
            self._ledger.append("invite", name, wanted)
            return self._told(name, self._held[name]), Secret(text)

    def offer(self, name: str, invitation: str) -> str:
        """The secret of the second factor (base32) for whoever has this invitation; the same one for a quarter of an hour. Unauthenticated
        if it doesn't count."""
        digest = self._invited(name, invitation)
        now = self._clock()
        with self._ledger.lock:
            self._offered = {one: told for one, told in self._offered.items() if told[1] > now}
            if digest not in self._offered:
                if len(self._offered) >= _MOST_OFFERED:
                    raise TooMany("Too many enrol at once. Wait some minutes.", code="too-many-enrol")
                made = base64.b32encode(secrets.token_bytes(_SECRET_BYTES)).decode()
                self._offered[digest] = made, now + _OFFERED_S
            return self._offered[digest][0]

    def enrol(self, shown: Shown, invitation: str) -> list[str]:
        """Takes the password, and the second factor if its code is right. Returns the recovery codes, which are shown this once."""
        digest = self._invited(shown.name, invitation)
        _check_password(shown)
        with self._ledger.lock:
            secret, _ = self._offered.get(digest, ("", 0.0))
        if not secret:
            raise Conflict("Ask for the secret of the second factor first; it counts for a quarter of an hour.", code="no-factor-offered")
        step = _step(secret, shown.code, self._clock())
        if step is None:
            raise Invalid("The code isn't that of the second factor. Is the clock of the device right?", code="code-wrong")
        codes = [_recovery_code() for _ in range(_RECOVERIES)]
        password = _hashed(shown.password)
        with self._ledger.writing():
            held = self._held.get(shown.name)
            if held is None or held.invitation != digest:
                raise Unauthenticated(_WRONG_INVITATION, code="invitation-unknown")
            self._ledger.append("enrol", shown.name, password, secret, sorted(map(_digest, map(_bare, codes))), step)
            self._offered.pop(digest, None)
        return codes

    def _invited(self, name: str, invitation: str) -> str:
        digest = _digest(invitation)
        with self._ledger.lock:
            self._ledger.absorb()
            held = self._held.get(name)
            known = held.invitation if held is not None and held.until > self._clock() else ""
        if not known or not secrets.compare_digest(known, digest):
            raise Unauthenticated(_WRONG_INVITATION, code="invitation-unknown")
        return digest

    def login(self, shown: Shown) -> Account:
        """Who this is. Unauthenticated if anything of it is wrong, which isn't told apart; TooMany if too many codes were wrong."""
        with self._ledger.lock:
            self._ledger.absorb()
            held = self._held.get(shown.name)
            password = held.password if held is not None else ""
        # Of nobody a password is checked too, so that names can't be told by the time it takes.
        if not _fits(shown.password, password or _nobodys()) or not password:
            raise Unauthenticated(_WRONG_LOGIN, code="login-wrong")
        with self._ledger.writing():
            held = self._held.get(shown.name)
            if held is None or held.password != password:
                raise Unauthenticated(_WRONG_LOGIN, code="login-wrong")
            return self._second(shown, held)

    def _second(self, shown: Shown, held: _Held) -> Account:
        now = float(self._clock())
        if held.locked > now:
            raise TooMany("Too many codes were wrong. Wait, or ask an admin for a new invitation.", code="account-locked")
        recovery = _digest(_bare(shown.code))
        step = _step(held.secret, shown.code, now)
        if recovery in held.recovery:
            self._ledger.append("login", shown.name, held.step, recovery, now)
        elif step is not None and step > held.step:
            self._ledger.append("login", shown.name, step, "", now)
        else:
            wrong = held.wrong + 1
            lock = min(_LOCKED_S * 2.0 ** (wrong // _WRONG - 1), _LONGEST_LOCK_S) if wrong % _WRONG == 0 else 0.0
            self._ledger.append("wrong", shown.name, wrong, now + lock if lock else 0.0)
            raise Unauthenticated(_WRONG_LOGIN, code="login-wrong")
        return self._told(shown.name, held)

    def remove(self, name: str) -> Account:
        """Takes somebody out for good. NotFound."""
        with self._ledger.writing():
            held = self._held.get(name)
            if held is None:
                raise NotFound(f"Nobody is called {name!r}.", code="account-missing")
            told = self._told(name, held)
            self._ledger.append("remove", name)
            return told

    def _invite(self, name: str, wanted: dict[str, Any]) -> None:
        self._held[name] = _Held(**wanted)

    def _enrol(self, name: str, password: str, secret: str, recovery: list[str], step: int) -> None:
        before = self._held[name]
        self._held[name] = _Held(before.role, before.team, before.since, "", 0.0, password, secret, set(recovery), step)

    def _login(self, name: str, step: int, recovery: str, now: float) -> None:
        held = self._held[name]
        held.recovery.discard(recovery)
        held.step, held.last, held.wrong, held.locked = step, now, 0, 0.0

    def _wrong(self, name: str, wrong: int, locked: float) -> None:
        self._held[name].wrong, self._held[name].locked = wrong, locked

    def _remove(self, name: str) -> None:
        del self._held[name]


_WRONG_LOGIN = "Name, password or code is wrong."
_WRONG_INVITATION = "The invitation isn't one, was used, or has ended. Ask an admin for another."


def uri(name: str, secret: str, issuer: str) -> str:
    """What authenticator apps take the secret from (Key URI Format)."""
    label = f"{quote(issuer, safe='')}:{quote(name, safe='')}"
    return f"otpauth://totp/{label}?secret={secret}&issuer={quote(issuer, safe='')}&algorithm=SHA1&digits={_DIGITS}&period={_STEP_S}"


def _check_password(shown: Shown) -> None:
    text = shown.password
    if not SHORTEST <= len(text) <= LONGEST:
        raise Invalid(f"A password has {SHORTEST} to {LONGEST} characters.", code="password-unfit")
    if shown.name.casefold() in text.casefold() or len(set(text)) < SHORTEST // 2:
        raise Invalid("The password is too easy to guess: it holds your name, or few different characters.", code="password-unfit")


def _hashed(password: str) -> str:
    """Argon2id (RFC 9106), with what OWASP's cheat sheet on storing passwords asks for at least."""
    with _AT_ONCE:
        made = Argon2id(salt=os.urandom(16), length=32, iterations=2, lanes=1, memory_cost=19 * 1024)
        return made.derive_phc_encoded(password.encode("utf-8", "surrogatepass"))


def _fits(password: str, phc: str) -> bool:
    with _AT_ONCE:
        try:
            Argon2id.verify_phc_encoded(password[: LONGEST + 1].encode("utf-8", "surrogatepass"), phc)
        except InvalidKey:
            return False
    return True


@cache
def _nobodys() -> str:
    return _hashed(secrets.token_urlsafe(32))


def _step(secret: str, code: str, now: float) -> int | None:
    """The step whose code this is, if it is one of now. None if it isn't."""
    if len(code) != _DIGITS or not code.isascii() or not code.isdigit():
        return None
    made = TOTP(base64.b32decode(secret), _DIGITS, SHA1(), _STEP_S)  # noqa: S303 - what apps can do; a MAC, no signature
    here = int(now) // _STEP_S
    for step in range(here + _SKEW, here - _SKEW - 1, -1):
        try:
            made.verify(code.encode(), step * _STEP_S)
        except InvalidToken:
            continue
        return step
    return None


def _recovery_code() -> str:
    text = base64.b32encode(secrets.token_bytes(10)).decode().lower()
    return "-".join(text[at : at + 4] for at in range(0, 16, 4))


def _bare(code: str) -> str:
    """A recovery code however it was typed."""
    return code.replace("-", "").replace(" ", "").lower()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
