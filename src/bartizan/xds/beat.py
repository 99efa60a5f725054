"""What a control plane says every second to a node that holds the newest: that it does. Signed, so that nobody else can say so."""

from collections.abc import Callable
from typing import Protocol

import orjson
from pydantic import BaseModel, ConfigDict

EVERY_S = 1.0
_DOMAIN = b"bartizan beat v1\0"
_PUBLIC, _CONTENT = 32, 96
"""Where the public half of the signing key ends, and where the content begins, behind the signature."""


class Signer(Protocol):
    """Who signs."""

    @property
    def public(self) -> bytes: ...

    def sign(self, data: bytes) -> bytes: ...


class Beat(BaseModel):
    """One of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: str
    sequence: int
    """What the node holds, if it holds the newest."""
    at: float
    """The control plane's time."""


def signed_beat(beat: Beat, signer: Signer) -> bytes:
    """As it travels."""
    content = orjson.dumps(beat.model_dump())
    return b"".join((signer.public, signer.sign(_DOMAIN + content), content))


def opened_beat(data: bytes, trusted: Callable[[bytes, bytes, bytes], bool]) -> Beat:
    """ValueError if it isn't signed by whom this node trusts."""
    content = data[_CONTENT:]
    if not trusted(data[:_PUBLIC], data[_PUBLIC:_CONTENT], _DOMAIN + content):
        raise ValueError("it isn't signed by a key that is trusted here")
    return Beat.model_validate_json(content)
