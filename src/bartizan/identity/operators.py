"""Who may use the admin API: tokens with roles, kept as hashes. A token is shown once, when it is made.

The first one is made at the first start, lies in a file that only its owner can read, ends soon, and is good for one thing: to make
another. A store that is lost later never mints one by itself.
"""

import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from bartizan.errors import Conflict, Invalid, NotFound, Unauthenticated
from bartizan.model.attributes import text_problem
from bartizan.model.fields import is_name
from bartizan.secrets.sealed import Secret
from bartizan.store import Note, Seal, Store
from bartizan.store.model import canonical
from bartizan.store.opening import HEAD

Role: TypeAlias = Literal["context", "viewer", "proposer", "editor", "approver", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Each may do what those before it may, but for one thing: an approver changes nothing. Who is `context` is another system: it says
what one context source has to say, and sees nothing."""
FIRST = "first-token"
_PREFIX = "bzt_"
_UNDER = "operator/"
_OF_EARLIER = ("last-good", "accepted.json", HEAD)
"""What is in a state that has served before: what its node holds, which files it took, how far its audit log goes."""
_FIRST_S = 3600.0
_TAKEN = frozenset({"files", "rollout", "first", "control", "unknown"})
"""Names by which the audit log calls what isn't a person."""
_MAY: dict[Role, frozenset[str]] = {
    "context": frozenset({"push"}),
    "viewer": frozenset({"view"}),
    "proposer": frozenset({"view", "propose"}),
    "editor": frozenset({"view", "propose", "edit", "push"}),
    "approver": frozenset({"view", "approve"}),
    "admin": frozenset({"view", "propose", "edit", "approve", "administer", "push"}),
}


@dataclass(frozen=True, slots=True)
class Operator:
    """A token of the admin API, without its text."""

    id: str
    name: str
    """Whose it is: the audit log names it."""
    role: Role
    created: float
    """Seconds since the epoch, as is `expires`."""
    expires: float | None
    once: bool = False
    """It only makes another, and ends with that."""
    team: str | None = None
    """The team whose things alone it may change; None: everybody's."""
    session: bool = False
    """It was given to somebody who logged in."""
    source: str | None = None
    """The context source that it speaks for, if it does nothing else."""

    def may(self, what: str) -> bool:
        """Whether its role allows this."""
        return what in _MAY[self.role]


@dataclass(frozen=True, slots=True)
class Of:
    """Whose things alone a token is for."""

    team: str | None = None
    source: str | None = None


EVERYBODY = Of()


class Operators:
    """The tokens in a store. Every method reads what is there now, so that one that is ended counts nowhere any more."""

    def __init__(self, store: Store, seal: Seal, clock: Callable[[], float] = time.time) -> None:
        self._notes = store.notes
        self._store = store
        self._seal = seal
        self._clock = clock

    def new(self, name: str, role: Role, expires: float | None = None, *, of: Of = EVERYBODY) -> tuple[Operator, Secret]:
        """Makes a token: what it is, and its text."""
        check_name(name, role, of)
        return self._made(Operator("", name, role, 0.0, expires, team=of.team, source=of.source))

    def session(self, name: str, role: Role, expires: float, *, team: str | None = None) -> tuple[Operator, Secret]:
        """Makes the token of somebody who has logged in."""
        check_name(name, role, Of(team))
        return self._made(Operator("", name, role, 0.0, expires, team=team, session=True))

    def _made(self, wanted: Operator) -> tuple[Operator, Secret]:
        now = float(self._clock())
        if wanted.expires is not None and not now < wanted.expires < 1e11:
            raise Invalid("A token has to expire in the future.", code="token-invalid")
        made = replace(wanted, id=f"tok_{secrets.token_hex(6)}", created=now)
        text = _PREFIX + secrets.token_urlsafe(32)
        self._put(made.id, {**_told(made), "hash": _digest(text)})
        return made, Secret(text)

    def _put(self, ident: str, value: dict[str, Any], seen: int = 0) -> None:
        """Signed, so that who can write the database can't give herself a role."""
        signer = self._seal.signer
        signature = self._seal.sign(_signed(ident, value, signer)).hex()
        self._notes.put(_UNDER + ident, {**value, "signer": signer, "signature": signature}, seen)

    def _is_ours(self, note: Note) -> bool:
        value: Any = dict(note.value) if isinstance(note.value, dict) else {}
        signer, signature = str(value.pop("signer", "")), str(value.pop("signature", ""))
        try:
            return self._seal.verify(signer, _signed(note.key.removeprefix(_UNDER), value, signer), bytes.fromhex(signature))
        except ValueError:
            return False

    def who(self, text: str) -> Operator:
        """Whose token this is. Unauthenticated if it is nobody's, or has expired: both look alike."""
        wanted = _digest(text)
        for note in self._notes.under(_UNDER):
            kept: Any = note.value
            if _has_ended(note) or not secrets.compare_digest(str(kept.get("hash", "")), wanted):
                continue  # few are worth a look at their signature
            if self._is_ours(note):
                found = _operator(note)
                if found.expires is None or found.expires > self._clock():
                    return found
        raise Unauthenticated("A valid token is needed.", code="token-unknown")

    def all(self) -> tuple[Operator, ...]:
        """Every token that wasn't ended, expired ones too."""
        return tuple(map(_operator, self._held()))

    def _held(self) -> Iterator[Note]:
        return (note for note in self._notes.under(_UNDER) if not _has_ended(note) and self._is_ours(note))

    def end(self, ident: str) -> Operator:
        """Ends a token for good."""
        note = self._notes.get(_UNDER + ident)
        if note is None or _has_ended(note):
            raise NotFound(f"There is no token {ident}, or it was ended already.", code="token-missing")
        self._put(ident, {**_told(_operator(note)), "hash": "", "ended": float(self._clock())}, note.version)
        return _operator(note)

    def end_sessions(self, name: str) -> int:
        """Ends all sessions of somebody. How many there were."""
        held = [one for one in self.all() if one.session and one.name == name]
        for one in held:
            with suppress(NotFound, Conflict):  # somebody else was faster
                self.end(one.id)
        return len(held)

    def exchange(self, first: Operator, name: str, role: Role, expires: float | None, *, of: Of = EVERYBODY) -> tuple[Operator, Secret]:
        """Makes a token with one that is good for that only, which ends."""
        made = self.new(name, role, expires, of=of)
        try:
            self.end(first.id)
        except (NotFound, Conflict):
            self.end(made[0].id)  # somebody else was faster with it
            raise Unauthenticated("A valid token is needed.", code="token-unknown") from None
        return made

    def first_counts(self) -> bool:
        """Whether the first token is good still: neither used nor expired."""
        return any(one.once and (one.expires is None or one.expires > self._clock()) for one in self.all())

    def first(self, state: Path) -> Path | None:
        """At the very first start: makes the first token, and returns the file it lies in. None at any other."""
        file = state / FIRST
        if self._notes.get("operators") is not None or _served_before(self._store, state):
            return None
        self._notes.put("operators", {"first": float(self._clock())})
        _, text = self._made(Operator("", "first", "admin", 0.0, self._clock() + _FIRST_S, once=True))
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as opened:
            opened.write(text.reveal() + "\n")
        return file


def forget_first(state: Path) -> None:
    """The file of the first token has had its time."""
    with suppress(FileNotFoundError):
        (state / FIRST).unlink()


def _served_before(store: Store, state: Path) -> bool:
    """Whether there are nodes or revisions already: then the store was lost, not begun."""
    return store.revisions.head() is not None or any((state / name).exists() for name in _OF_EARLIER)


def check_name(name: str, role: str, of: Of) -> None:
    """Invalid if nobody can be called so, have this role, or be of this team or source."""
    if name in _TAKEN or name.startswith(("local:", "node:")):
        raise Invalid(f"The name {name!r} is taken: the audit log means something else by it.", code="token-invalid")
    team = of.team
    if problem := text_problem(name):
        raise Invalid(f"The name of a token {problem}.", code="token-invalid")
    if role not in ROLES:
        raise Invalid(f"{role!r} is no role. Roles: {', '.join(ROLES)}.", code="token-invalid")
    if team is not None and not is_name(team):
        raise Invalid(f"{team!r} can't be a team.", code="token-invalid")
    if (of.source is not None) != (role == "context") or (of.source is not None and (team is not None or not is_name(of.source))):
        raise Invalid("A token with the role context, and no other, names the context source that it speaks for.", code="token-invalid")
    if team is not None and role == "admin":
        raise Invalid("An admin's token belongs to no team: what it may do reaches beyond one. Make an editor's.", code="token-invalid")


def _told(one: Operator) -> dict[str, Any]:
    told = {"name": one.name, "role": one.role, "created": one.created, "expires": one.expires, "once": one.once}
    own = {**({"source": one.source} if one.source is not None else {}), **({"session": True} if one.session else {})}
    return {**told, "team": one.team, **own}


def _operator(note: Note) -> Operator:
    kept: Any = note.value
    fields = {name: kept[name] for name in ("name", "role", "created", "expires", "once")}
    of = {"team": kept.get("team"), "source": kept.get("source"), "session": bool(kept.get("session"))}
    return Operator(note.key.removeprefix(_UNDER), **fields, **of)


def _has_ended(note: Note) -> bool:
    return not isinstance(note.value, dict) or "ended" in note.value


def _signed(ident: str, value: dict[str, Any], signer: str) -> bytes:
    return b"bartizan operator 1\0" + canonical({"id": ident, "signer": signer, **value})


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
