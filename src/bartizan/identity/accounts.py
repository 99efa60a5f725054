"""People: each with a password and a second factor (TOTP, RFC 6238), or recovery codes in its place, and with passkeys (WebAuthn).

Some have a role at the admin API, others are but users of the authorization server. An admin invites; whoever has the invitation chooses
the password and takes the secret of the second factor into an app. Kept in a sealed journal; of passwords, codes and invitations only
hashes.
"""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bartizan.errors import Conflict, Invalid, NotFound, TooMany, Unauthenticated
from bartizan.identity.ledger import Ledger
from bartizan.identity.operators import Of, Role, check_name
from bartizan.identity.passkeys import Passkey
from bartizan.identity.passwords import check_password, fits, hashed
from bartizan.identity.totp import bare, new_secret, recovery_codes, step
from bartizan.model.fields import is_name
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.sealed import Secret

FILE = "accounts.journal"
INVITED_S = 86400.0
"""How long an invitation counts."""
MOST_PASSKEYS = 20
MOST_GROUPS = 50
_WRONG = 5
"""Wrong codes beside a right password, after which the account is locked: for so long at first, and twice as long each time."""
_LOCKED_S = 60.0
_LONGEST_LOCK_S = 86400.0
_OFFERED_S = 900.0
_MOST_OFFERED = 100


@dataclass(frozen=True, slots=True)
class Kept:
    """A passkey of somebody. Times are seconds since the epoch."""

    passkey: Passkey
    label: str
    """What its owner calls it."""
    since: float
    last: float | None


@dataclass(frozen=True, slots=True)
class Place:
    """What somebody is here: a role at the admin API, or None, and the team that it is for; the groups that tokens tell."""

    role: Role | None = None
    team: str | None = None
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may log in, or was invited to. Times are seconds since the epoch."""

    id: str
    """What tokens call them (`sub`): nobody else is ever called so."""
    name: str
    role: Role | None
    team: str | None
    groups: tuple[str, ...]
    since: float
    enrolled: float | None
    """When they chose a password and a second factor."""
    invited_until: float | None
    recovery_codes: int
    """How many are left."""
    passkeys: int
    last: float | None
    """When they logged in last."""
    locked_until: float | None


@dataclass(slots=True)
class _Held:
    id: str
    place: Place
    since: float
    invitation: str = ""
    until: float = 0.0
    password: str = ""
    secret: str = ""
    recovery: set[str] = field(default_factory=set)
    passkeys: dict[str, Kept] = field(default_factory=dict)
    step: int = 0
    """The newest step whose code was used: none counts twice (RFC 6238, section 5.2)."""
    enrolled: float | None = None
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
        self._names: dict[str, str] = {}
        """By the id."""
        self._offered: dict[str, tuple[str, float]] = {}
        """By the hash of an invitation, the secret that was shown for it, and until when."""
        events: dict[str, Callable[..., None]] = {
            "invite": self._invite,
            "enrol": self._enrol,
            "login": self._login,
            "wrong": self._wrong,
            "place": self._place,
            "password": self._password,
            "passkey": self._passkey,
            "passkey-gone": self._passkey_gone,
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

    def called(self, name: str) -> Account:
        """Who is called so. NotFound."""
        with self._ledger.lock:
            self._ledger.absorb()
            return self._told(name, self._of(name))

    def with_id(self, ident: str) -> Account | None:
        """Whom tokens call so, if they are still here and enrolled."""
        with self._ledger.lock:
            self._ledger.absorb()
            name = self._names.get(ident, "")
            return self._told(name, self._held[name]) if name and self._held[name].password else None

    def _of(self, name: str) -> _Held:
        if (held := self._held.get(name)) is None:
            raise NotFound(f"Nobody is called {name!r}.", code="account-missing")
        return held

    def _told(self, name: str, held: _Held) -> Account:
        now, place = self._clock(), held.place
        invited = held.until if held.invitation and held.until > now else None
        locked = held.locked if held.locked > now else None
        left, keys = len(held.recovery), len(held.passkeys)
        of = (place.role, place.team, place.groups, held.since, held.enrolled)
        return Account(held.id, name, *of, invited, left, keys, held.last, locked)

    def invite(self, name: str, place: Place) -> tuple[Account, Secret]:
        """Invites somebody, or anew: what they logged in with counts no more. Returns the invitation, which is shown this once."""
        _check_place(name, place)
        text = secrets.token_urlsafe(24)
        now = float(self._clock())
        with self._ledger.writing():
            known = self._held.get(name)
            ident, since = (known.id, known.since) if known is not None else (f"usr_{secrets.token_hex(10)}", now)
            wanted = {"id": ident, "since": since, "invitation": _digest(text), "until": now + INVITED_S}
            self._ledger.append("invite", name, asdict(place), wanted)
            return self._told(name, self._held[name]), Secret(text)

    def put(self, name: str, place: Place) -> Account:
        """Gives somebody another role, team or groups. What they log in with stays. NotFound."""
        _check_place(name, place)
        with self._ledger.writing():
            self._of(name)
            self._ledger.append("place", name, asdict(place))
            return self._told(name, self._held[name])

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
                self._offered[digest] = new_secret(), now + _OFFERED_S
            return self._offered[digest][0]

    def enrol(self, shown: Shown, invitation: str) -> list[str]:
        """Takes the password, and the second factor if its code is right. Returns the recovery codes, which are shown this once."""
        digest = self._invited(shown.name, invitation)
        check_password(shown.name, shown.password)
        with self._ledger.lock:
            secret, _ = self._offered.get(digest, ("", 0.0))
        if not secret:
            raise Conflict("Ask for the secret of the second factor first; it counts for a quarter of an hour.", code="no-factor-offered")
        now = step(secret, shown.code, self._clock())
        if now is None:
            raise Invalid("The code isn't that of the second factor. Is the clock of the device right?", code="code-wrong")
        codes, password = recovery_codes(), hashed(shown.password)
        with self._ledger.writing():
            held = self._held.get(shown.name)
            if held is None or held.invitation != digest:
                raise Unauthenticated(_WRONG_INVITATION, code="invitation-unknown")
            kept = {"password": password, "secret": secret, "recovery": sorted(map(_digest, map(bare, codes))), "step": now}
            self._ledger.append("enrol", shown.name, {**kept, "enrolled": float(self._clock())})
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
        password = self._password_of(shown.name)
        # Of nobody a password is checked too, so that names can't be told by the time it takes.
        if not fits(shown.password, password):
            raise Unauthenticated(_WRONG_LOGIN, code="login-wrong")
        with self._ledger.writing():
            held = self._held.get(shown.name)
            if held is None or held.password != password:
                raise Unauthenticated(_WRONG_LOGIN, code="login-wrong")
            return self._second(shown, held)

    def _password_of(self, name: str) -> str:
        """As it is kept; empty if there is none."""
        with self._ledger.lock:
            self._ledger.absorb()
            held = self._held.get(name)
            return held.password if held is not None else ""

    def _second(self, shown: Shown, held: _Held) -> Account:
        now = float(self._clock())
        if held.locked > now:
            raise TooMany("Too many codes were wrong. Wait, or ask an admin for a new invitation.", code="account-locked")
        recovery = _digest(bare(shown.code))
        shown_step = step(held.secret, shown.code, now)
        if recovery in held.recovery:
            self._ledger.append("login", shown.name, held.step, recovery, now)
        elif shown_step is not None and shown_step > held.step:
            self._ledger.append("login", shown.name, shown_step, "", now)
        else:
            wrong = held.wrong + 1
            lock = min(_LOCKED_S * 2.0 ** (wrong // _WRONG - 1), _LONGEST_LOCK_S) if wrong % _WRONG == 0 else 0.0
            self._ledger.append("wrong", shown.name, wrong, now + lock if lock else 0.0)
            raise Unauthenticated(_WRONG_LOGIN, code="login-wrong")
        return self._told(shown.name, held)

    def change_password(self, shown: Shown, wanted: str) -> None:
        """Takes another password. What is shown has to be right, as for `login`."""
        check_password(shown.name, wanted)
        before = self._password_of(shown.name)
        self.login(shown)
        password = hashed(wanted)
        with self._ledger.writing():
            held = self._held.get(shown.name)
            if held is None or held.password != before:  # invited anew meanwhile: a password alone would be without a second factor
                raise Unauthenticated(_WRONG_LOGIN, code="login-wrong")
            self._ledger.append("password", shown.name, password)

    def passkeys(self, name: str) -> tuple[Kept, ...]:
        """Somebody's passkeys, the oldest first. NotFound."""
        with self._ledger.lock:
            self._ledger.absorb()
            return tuple(self._of(name).passkeys.values())

    def add_passkey(self, name: str, passkey: Passkey, label: str) -> None:
        """Keeps another passkey of somebody who has enrolled. Conflict if it is somebody's already, TooMany."""
        now = float(self._clock())
        with self._ledger.writing():
            held = self._of(name)
            if not held.password:
                raise Conflict("Enrol first: a passkey comes beside a password.", code="not-enrolled")
            if any(passkey.id in one.passkeys for one in self._held.values()):
                raise Conflict("This passkey is kept already.", code="passkey-known")
            if len(held.passkeys) >= MOST_PASSKEYS:
                raise TooMany(f"There are {MOST_PASSKEYS} passkeys already: remove one.", code="passkeys-full")
            self._ledger.append("passkey", name, asdict(passkey), label, now, None)

    def remove_passkey(self, name: str, ident: str) -> None:
        """Takes a passkey away: nobody logs in with it any more. NotFound."""
        with self._ledger.writing():
            if ident not in self._of(name).passkeys:
                raise NotFound("There is no such passkey.", code="passkey-missing")
            self._ledger.append("passkey-gone", name, ident)

    def login_with(self, ident: str, handle: str, verify: Callable[[Passkey], Passkey]) -> Account:
        """Who this is, by a passkey that verified its user: that is both factors. `handle`: the id of the account, as the passkey tells it.
        `verify`: the passkey as it is after this. Unauthenticated."""
        now = float(self._clock())
        with self._ledger.writing():
            name = self._names.get(handle, "")
            kept = self._held[name].passkeys.get(ident) if name else None
            if kept is None:
                raise Unauthenticated(_WRONG_PASSKEY, code="login-wrong")
            self._ledger.append("passkey", name, asdict(verify(kept.passkey)), kept.label, kept.since, now)
            return self._told(name, self._held[name])

    def remove(self, name: str) -> Account:
        """Takes somebody out for good. NotFound."""
        with self._ledger.writing():
            told = self._told(name, self._of(name))
            self._ledger.append("remove", name)
            return told

    def _invite(self, name: str, place: dict[str, Any], wanted: dict[str, Any]) -> None:
        self._held[name] = _Held(place=_placed(place), **wanted)
        self._names[wanted["id"]] = name

    def _enrol(self, name: str, kept: dict[str, Any]) -> None:
        before = self._held[name]
        self._held[name] = _Held(before.id, before.place, before.since, **{**kept, "recovery": set(kept["recovery"])})

    def _place(self, name: str, place: dict[str, Any]) -> None:
        self._held[name].place = _placed(place)

    def _password(self, name: str, password: str) -> None:
        self._held[name].password = password

    def _passkey(self, name: str, passkey: dict[str, Any], label: str, since: float, last: float | None) -> None:
        held = self._held[name]
        held.passkeys[passkey["id"]] = Kept(Passkey(**passkey), label, since, last)
        held.last = last if last is not None else held.last

    def _passkey_gone(self, name: str, ident: str) -> None:
        del self._held[name].passkeys[ident]

    def _login(self, name: str, step: int, recovery: str, now: float) -> None:
        held = self._held[name]
        held.recovery.discard(recovery)
        held.step, held.last, held.wrong, held.locked = step, now, 0, 0.0

    def _wrong(self, name: str, wrong: int, locked: float) -> None:
        self._held[name].wrong, self._held[name].locked = wrong, locked

    def _remove(self, name: str) -> None:
        del self._names[self._held.pop(name).id]


_WRONG_LOGIN = "Name, password or code is wrong."
_WRONG_PASSKEY = "Nobody is known by this passkey."
_WRONG_INVITATION = "The invitation isn't one, was used, or has ended. Ask an admin for another."


def _check_place(name: str, place: Place) -> None:
    check_name(name, place.role or "viewer", Of(place.team))
    if place.role == "context" or (place.role is None and place.team is not None):
        raise Invalid("Somebody without a role at the admin API, or of one for people, belongs to no team.", code="account-invalid")
    if len(place.groups) > MOST_GROUPS or any(not is_name(one) for one in place.groups):
        raise Invalid(f"Groups are up to {MOST_GROUPS} names of lower case letters, digits and '-'.", code="account-invalid")


def _placed(kept: dict[str, Any]) -> Place:
    return Place(kept["role"], kept["team"], tuple(kept["groups"]))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
