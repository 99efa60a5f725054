"""What a node and its control plane say to each other about records: a position, a batch of lines, how far they are kept."""

from typing import Annotated, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field

MOST_BYTES = 256 << 10
"""So many bytes of lines are in a batch at most."""
MOST_FRAME = MOST_BYTES + (16 << 10)
MOST_LINE = 64 << 10
"""A longer line is no record of ours."""
IN_FLIGHT = 4
"""So many batches may be under way before the first is acknowledged."""
_LENGTH = 4
_Count = Annotated[int, Field(ge=0, le=1 << 53)]


class _Frame(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class At(_Frame):
    """A place in a node's stream: up to where it was taken. The first is that of a stream of which nothing was taken yet."""

    file: str = Field(default="", pattern=r"^([0-9a-f]{16})?$")
    """Which file, by a hash of its first line: names change as files are closed, and inodes are used again."""
    offset: _Count = 0


class Opening(_Frame):
    """A node's first frame: which stream it ships."""

    stream: Literal["requests", "failures"]


class Kept(_Frame):
    """The control plane's frames: up to where all is on its disk."""

    at: At


class Batch(_Frame):
    """What stands before the lines of a batch."""

    after: At
    """Where the batch before it ended: a batch that follows nothing is none to be taken."""
    at: At
    """Where this one ends."""
    sent: float = Field(ge=0, le=1e12, allow_inf_nan=False)
    """The node's clock, as it is sent."""
    lost: _Count = 0
    """Records that the node had to delete, before these, because nobody took them in time."""
    behind: _Count = 0
    """Bytes that are waiting after these."""


_Model = TypeVar("_Model", Opening, Kept)


def encoded(frame: Opening | Kept) -> bytes:
    return orjson.dumps(frame.model_dump())


def decoded(of: type[_Model], data: bytes) -> _Model:
    """ValueError if `data` is no such frame."""
    return of.model_validate_json(data)


def encoded_batch(batch: Batch, lines: bytes) -> bytes:
    header = orjson.dumps(batch.model_dump())
    return b"".join((len(header).to_bytes(_LENGTH, "big"), header, lines))


def decoded_batch(data: bytes) -> tuple[Batch, bytes]:
    """ValueError if `data` is no batch."""
    at = _LENGTH + int.from_bytes(data[:_LENGTH], "big")
    lines = data[at:]
    if lines and not lines.endswith(b"\n"):
        raise ValueError("a batch ends in the middle of a line")
    return Batch.model_validate_json(data[_LENGTH:at]), lines
