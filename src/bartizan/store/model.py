"""What the store takes and gives: frozen values, and the exact bytes of them that are hashed and signed."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import orjson
from pydantic import JsonValue

from bartizan.errors import Invalid

Door = Literal["files", "api", "rollback"]
"""Which way a change came in."""
DEFAULT_TEAM = "default"


class Seal(Protocol):
    """Who signs, and whose signatures count: `secrets/seal.py` has it. The store knows nothing of keys."""

    @property
    def signer(self) -> str:
        """The id of the key that `sign` uses."""
        ...

    def sign(self, text: bytes) -> bytes:
        """The signature of these bytes."""
        ...

    def verify(self, signer: str, text: bytes, signature: bytes) -> bool:
        """Whether this key is trusted, and made this signature of these bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Content:
    """What a revision says: the declared documents and the files that policies name. Live data (consumers, issuers) isn't part."""

    revision: str
    """`Snapshot.revision`."""
    resources: Mapping[tuple[str, str], bytes]
    """By kind and name: the document as canonical JSON (`canonical`)."""
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """Who commits, why, and what they saw."""

    parent: int | None
    """The number of the commit that the change was made from; None for a team's first. If another is the newest by now: Conflict."""
    author: str
    message: str
    door: Door
    loosens: tuple[str, ...] = ()
    """What the change lets through that was refused before, a sentence each."""
    team: str = DEFAULT_TEAM


@dataclass(frozen=True, slots=True)
class Commit:
    """One kept revision in the line of a team's revisions. The same revision may come back under a new number."""

    number: int
    """1, 2, 3 ... in its team."""
    team: str
    revision: str
    digest: str
    """SHA-256 of the whole content."""
    author: str
    message: str
    time_ms: int
    """Milliseconds since 1970."""
    door: Door
    loosens: tuple[str, ...]
    before: str
    """SHA-256 of the parent's canonical form; empty for the first. So the commits are a chain."""
    signer: str
    signature: bytes = field(repr=False)
    """Over `canonical_form`."""

    @property
    def parent(self) -> int | None:
        """The number of the one before; None for the first."""
        return self.number - 1 or None

    @property
    def time(self) -> float:
        """Seconds since 1970."""
        return self.time_ms / 1000


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was done or tried, to be kept in the audit log. Secrets must not be in it."""

    actor: str
    """Who: an operator, a token's name, `files`."""
    action: str
    """What, as a word with dots: `rollout.promote`."""
    target: str
    """On what: `revision/12`, `Consumer/acme`."""
    origin: str
    """From where: an address, `local`."""
    result: str
    """`done`, or why not."""
    details: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """An event as it stands in the audit log."""

    number: int
    """1, 2, 3 ... without a gap."""
    time_ms: int
    event: Event
    before: str
    """The hash of the entry before; empty for the first."""
    hash: str
    """Over `before` and all of this entry but its signature."""
    signer: str
    signature: bytes = field(repr=False)
    """Over the hash."""


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry of an audit log, kept apart from it: an end that was cut off shows by it."""

    number: int
    hash: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with the audit log or the line of commits, and where."""

    number: int
    message: str


@dataclass(frozen=True, slots=True)
class Note:
    """A value under a key, and how often it was written: who writes it next must know this version."""

    key: str
    value: JsonValue
    version: int


@dataclass(frozen=True, slots=True)
class Draft:
    """A change that somebody would like: who, why, made of which revision, and of what."""

    author: str
    team: str
    """The team whose token it was; empty: of no team."""
    origin: str
    message: str
    base: str
    """The newest revision when it was made."""
    put: Mapping[tuple[str, str], bytes]
    """By kind and name: the documents that it puts, as canonical JSON."""
    delete: tuple[tuple[str, str], ...] = ()
    """What it takes away."""
    seen: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """The digests of what it touches, as they were; none for what wasn't there."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A draft that is kept until somebody applies or discards it, or it expires. It is never changed."""

    id: str
    draft: Draft
    time_ms: int
    """Milliseconds since 1970, as is `expires_ms`."""
    expires_ms: int
    signer: str
    signature: bytes = field(repr=False)
    """Over all the rest, so that who can write the database can't give it another author."""


def canonical(value: object) -> bytes:
    """JSON with sorted keys, UTF-8, without spaces: the same bytes for the same value. Numbers beyond 64 bits have none."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise Invalid(f"This can't be kept: {error}.", code="value-unkeepable") from error


def keepable(*texts: str) -> None:
    """Refuses what a database can't keep as text."""
    for one in texts:
        if "\0" in one or any("\ud800" <= character <= "\udfff" for character in one):
            raise Invalid("A text holds a character that can't be kept: NUL, or half of a surrogate pair.", code="text-unkeepable")


def sha256(content: bytes) -> str:
    """The name of these bytes in the store."""
    return hashlib.sha256(content).hexdigest()


def canonical_form(commit: Commit) -> bytes:
    """The bytes of a commit that are signed: everything but the signature."""
    return b"bartizan commit 1\0" + canonical(
        {
            "author": commit.author,
            "before": commit.before,
            "digest": commit.digest,
            "door": commit.door,
            "loosens": commit.loosens,
            "message": commit.message,
            "number": commit.number,
            "revision": commit.revision,
            "signer": commit.signer,
            "team": commit.team,
            "time_ms": commit.time_ms,
        }
    )


def hash_of(entry: Entry) -> str:
    """The hash that an entry must have."""
    return sha256(
        b"bartizan audit 1\0"
        + canonical(
            {
                "action": entry.event.action,
                "actor": entry.event.actor,
                "before": entry.before,
                "details": entry.event.details,
                "number": entry.number,
                "origin": entry.event.origin,
                "result": entry.event.result,
                "signer": entry.signer,
                "target": entry.event.target,
                "time_ms": entry.time_ms,
            }
        )
    )


def signed_text(entry: Entry) -> bytes:
    """The bytes of an entry that are signed. The prefix keeps a signature from being taken for one of something else."""
    return b"bartizan audit 1\0" + entry.hash.encode()
