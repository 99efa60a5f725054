"""A release as it is signed: a statement on all that it is and leads to, the key and the signature, then the bodies.

The statement names each resource with its SHA-256, so the signature holds for every byte; and the hash over the whole state that
the release leads to, so a node that would end elsewhere knows it. It says for which group of nodes and until when it counts.
The signature is checked before any of it is read.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import orjson

from bartizan.xds.frames import Manifest, bodies, manifest, release_of
from bartizan.xds.release import EXTENSION, NOTE, SECRET, Release, Step

PURPOSE = "release"
_DOMAIN = b"bartizan release v1\0"
_ID, _LENGTH, _KEY, _SIGNATURE = 8, 4, 32, 64
_KEY_TABLES = "keys/"
"""How the names of the resources begin that hold callers' keys."""
_ASKING = "asking"
"""The note that holds the gateway's secrets at issuers."""


class Signer(Protocol):
    """Who signs releases."""

    @property
    def public(self) -> bytes: ...

    def sign(self, data: bytes) -> bytes: ...


class Statement(Manifest):
    """What is signed."""

    purpose: str
    group: str
    not_after: float
    """Unix time."""
    source: str
    """What was declared, as a hash: the revision."""
    compiled: str
    """SHA-256 over the names and hashes of what it brings and takes away, but for secrets."""
    secrets: str
    """The same of secrets."""
    state: str
    """The hash over all that a node holds after it."""


@dataclass(frozen=True, slots=True)
class Address:
    """For whom a release is, and how long it counts."""

    group: str
    not_after: float


ASK = 1 << 63
"""In the number of an order: it asks for the notes that it names, as a list in JSON, and is no release."""

BEAT = 1 << 62
"""In the number of an order: it is a beat (`beat.py`), and wants no answer."""


@dataclass(frozen=True, slots=True)
class Order:
    """A release on its way to a node, with a number that the node's answer names."""

    id: int
    signed: bytes


def signed(release: Release, state: str, to: Address, signer: Signer) -> bytes:
    """A release, signed. `state` is the hash over all that is held after it."""
    compiled, secrets = _digests(release.steps)
    about = {"purpose": PURPOSE, "group": to.group, "not_after": to.not_after, "source": release.revision, "state": state}
    statement = orjson.dumps({**about, "compiled": compiled, "secrets": secrets, **manifest(release)})
    signature = signer.sign(_DOMAIN + statement)
    return b"".join((len(statement).to_bytes(_LENGTH, "big"), statement, signer.public, signature, *bodies(release)))


def opened(data: bytes, trusted: Callable[[bytes, bytes, bytes], bool]) -> tuple[Statement, Release]:
    """What `signed` made. ValueError if any of it doesn't hold. `trusted(key, signature, data)`: whether this key counts and has signed."""
    at = _LENGTH + int.from_bytes(data[:_LENGTH], "big")
    statement = data[_LENGTH:at]
    key, signature = data[at : at + _KEY], data[at + _KEY : at + _KEY + _SIGNATURE]
    if not trusted(key, signature, _DOMAIN + statement):
        raise ValueError("it isn't signed by a key that is trusted here, or was changed after it was signed")
    told = Statement.model_validate(orjson.loads(statement))
    release = release_of(told, data[at + _KEY + _SIGNATURE :])
    if (told.source, told.compiled, told.secrets) != (release.revision, *_digests(release.steps)):
        raise ValueError("its digests aren't those of what it brings")
    return told, release


def encoded_order(order: Order) -> bytes:
    return order.id.to_bytes(_ID, "big") + order.signed


def decoded_order(data: bytes) -> Order:
    """ValueError if `data` is too short for an order. Nothing of what is signed was looked at."""
    if len(data) < _ID:
        raise ValueError("a frame is cut off")
    return Order(int.from_bytes(data[:_ID], "big"), data[_ID:])


def _digests(steps: Iterable[Step]) -> tuple[str, str]:
    lines: tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]] = [], []
    for step in steps:
        for one in step.changed:
            lines[_is_secret(one.type_url, one.name)].append((*one.key, one.digest.hex()))
        for type_url, name in step.removed:
            lines[_is_secret(type_url, name)].append((type_url, name, ""))
    compiled, secrets = (hashlib.sha256(orjson.dumps(some)).hexdigest() for some in lines)
    return compiled, secrets


def _is_secret(type_url: str, name: str) -> bool:
    return type_url == SECRET or (type_url == EXTENSION and name.startswith(_KEY_TABLES)) or (type_url == NOTE and name == _ASKING)
