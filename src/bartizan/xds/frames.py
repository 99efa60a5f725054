"""How the control plane and its nodes talk: frames of a JSON header and, for a release, the bodies of its resources behind it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import orjson
from pydantic import BaseModel, ConfigDict

from bartizan.xds.release import Key, Position, Release, Resource, Step, Versions, version_of

SERVICE = "bartizan.v1.Control"
METHOD = "Connect"
OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
)
_LENGTH = 4


class _Frame(BaseModel):
    model_config = ConfigDict(frozen=True)


class Report(_Frame):
    """How a node stands; sent with its greeting, with each outcome, and when it changes."""

    position: Position
    envoy: bool
    """An Envoy is connected."""
    acknowledged: bool
    """It has taken all that the node holds."""
    kept: bool = False
    """All that the node holds is on its disk."""
    problem: str | None = None


class Hello(_Frame):
    """A node's first frame."""

    node_id: str
    held: Versions
    report: Report


class Answer(_Frame):
    """A node's frame after the first: what became of release `id`, or only how it stands."""

    report: Report
    id: int = 0
    acknowledged: bool = False
    error: str | None = None
    took_s: float = 0.0


class _Step(_Frame):
    changed: tuple[tuple[str, str, str, int], ...]
    removed: tuple[Key, ...]


class _Header(_Frame):
    id: int
    position: Position
    steps: tuple[_Step, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """A release on its way to a node, with a number that the node's answer names."""

    id: int
    release: Release


_Model = TypeVar("_Model", Hello, Answer)


def encoded(frame: Hello | Answer) -> bytes:
    return orjson.dumps(frame.model_dump())


def decoded(of: type[_Model], data: bytes) -> _Model:
    """ValueError if `data` is no such frame."""
    return of.model_validate(orjson.loads(data))


def encoded_order(order: Order) -> bytes:
    release = order.release
    steps = [
        {"changed": [(one.type_url, one.name, one.version, len(one.body)) for one in step.changed], "removed": step.removed}
        for step in release.steps
    ]
    position: Mapping[str, object] = {
        "sequence": release.sequence,
        "revision": release.revision,
        "generation": release.generation,
    }
    header = orjson.dumps({"id": order.id, "position": position, "steps": steps})
    bodies = (one.body for step in release.steps for one in step.changed)
    return b"".join((len(header).to_bytes(_LENGTH, "big"), header, *bodies))


def decoded_order(data: bytes) -> Order:
    """ValueError if `data` is no release, or if a body isn't what its version says."""
    at = _LENGTH + int.from_bytes(data[:_LENGTH], "big")
    header = _Header.model_validate(orjson.loads(data[_LENGTH:at]))
    steps: list[Step] = []
    for step in header.steps:
        changed: list[Resource] = []
        for type_url, name, version, length in step.changed:
            body = data[at : at + length]
            at += length
            if len(body) != length or version_of(body) != version:
                raise ValueError(f"{name} isn't version {version}")
            changed.append(Resource(type_url, name, version, body))
        steps.append(Step(tuple(changed), step.removed))
    position = header.position
    return Order(header.id, Release(position.sequence, position.revision, position.generation, tuple(steps)))
