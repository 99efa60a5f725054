"""What was revoked and blocked, as documents that nodes keep: signed, so that a control plane whose state is older believes them again.

Keys stand in them by their ids and hashes, never by their texts. What is revoked only grows, and a block goes one way: it waits, holds, is
lifted. So documents of different times can be put together in any order, and none of them takes anything back.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Protocol

import orjson
from pydantic import BaseModel, ConfigDict

from bartizan.identity.brake import Brake, Brakes, Told
from bartizan.identity.key_record import Revoked
from bartizan.identity.keys import KeyStore

REVOKED = "revoked/"
BRAKES = REVOKED + "brakes"
KEYS = REVOKED + "keys/"
_DOMAIN = b"bartizan revoked v1\0"
_PUBLIC, _CONTENT = 32, 96
"""Where the public half of the signing key ends, and where the content begins, behind the signature."""


class Signer(Protocol):
    """Who signs them."""

    @property
    def public(self) -> bytes: ...

    def sign(self, data: bytes) -> bytes: ...


class _Blocks(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    brakes: tuple[tuple[Brake, bool], ...]


class _Ended(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[tuple[str, str], ...]


class Documents:
    """Makes them by name, each anew only when it changes."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._made: dict[str, tuple[bytes, bytes]] = {}
        """The content and the whole document."""
        self._counted = -1

    def of(self, keys: KeyStore, brakes: Brakes, now: float) -> dict[str, bytes]:
        """All of them, as things stand."""
        if told := brakes.told(now):
            self._make(BRAKES, {"brakes": [(asdict(one.brake), one.lifted) for one in told]})
        else:
            self._made.pop(BRAKES, None)
        if keys.revoked_count != self._counted:
            self._counted = keys.revoked_count
            shards: dict[str, list[tuple[str, str]]] = {}
            for one in keys.revoked():
                shards.setdefault(one.digest.hex()[0], []).append((one.digest.hex(), one.id))
            for shard, entries in shards.items():
                self._make(KEYS + shard, {"keys": sorted(entries)})
        return {name: document for name, (_, document) in self._made.items()}

    def _make(self, name: str, told: Mapping[str, object]) -> None:
        content = orjson.dumps(told)
        known = self._made.get(name)
        if known is None or known[0] != content:
            signature = self._signer.sign(_signed(name, content))
            self._made[name] = content, b"".join((self._signer.public, signature, content))


def blocks(document: bytes) -> tuple[Brake, ...]:
    """The blocks of the document `BRAKES` that hold as long as their time hasn't come. Its signature isn't looked at."""
    return tuple(one.brake for one in _told(document) if not one.lifted and not one.brake.waits)


def forgets(before: bytes, after: bytes | None, until: float) -> bool:
    """Whether a document says less than the one before: a key that was revoked is missing, or a block that holds at `until`.

    Signatures aren't looked at. ValueError if one can't be read.
    """
    if before[_CONTENT:].startswith(b'{"keys"'):
        return not {one.digest for one in _ended(before)} <= {one.digest for one in (_ended(after) if after else ())}
    known = {one.brake.id for one in _told(after) if one.lifted or not one.brake.waits} if after else set()
    return any(one.until > until and one.id not in known for one in blocks(before))


def taken_over(
    documents: Mapping[str, bytes], trusted: Callable[[bytes, bytes, bytes], bool], to: tuple[KeyStore, Brakes]
) -> tuple[int, int]:
    """Adds what these say and isn't known. How many keys and blocks that were.

    ValueError, and nothing is added, if one that says something new isn't genuine or can't be read. `trusted(key, signature, data)`:
    whether this key counts and has signed.
    """
    store, brakes = to
    keys: list[Revoked] = []
    told: list[Told] = []
    for name, document in documents.items():
        new = brakes.unknown(_told(document)) if name == BRAKES else ()
        gone = store.unknown(_ended(document)) if name.startswith(KEYS) else ()
        if (new or gone) and not trusted(document[:_PUBLIC], document[_PUBLIC:_CONTENT], _signed(name, document[_CONTENT:])):
            raise ValueError("it isn't signed by this control plane's key")
        keys += gone
        told += new
    return store.take_revoked(keys), brakes.take(told)


def _told(document: bytes) -> tuple[Told, ...]:
    return tuple(Told(brake, lifted) for brake, lifted in _Blocks.model_validate_json(document[_CONTENT:]).brakes)


def _ended(document: bytes) -> tuple[Revoked, ...]:
    return tuple(Revoked(ident, bytes.fromhex(digest)) for digest, ident in _Ended.model_validate_json(document[_CONTENT:]).keys)


def _signed(name: str, content: bytes) -> bytes:
    return _DOMAIN + name.encode() + b"\0" + content
