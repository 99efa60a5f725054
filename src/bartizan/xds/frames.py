"""How the control plane and its nodes talk: frames of JSON and, for a release, the bodies of its resources behind it."""

from collections.abc import Iterator
from typing import TypeVar

import orjson
from pydantic import BaseModel, ConfigDict

from bartizan.xds.release import Key, Position, Release, Resource, Step, Versions, resource

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
    """Why Envoy refuses it: it is no good for others either."""
    distrust: str | None = None
    """Why the node itself refuses it, before Envoy has seen it."""
    took_s: float = 0.0
    notes: dict[str, str] | None = None
    """What it was asked for of its notes, by name, in base64."""


class _Step(_Frame):
    changed: tuple[tuple[str, str, str, int], ...]
    """Of each: type, name, SHA-256 and length."""
    removed: tuple[Key, ...]


class Manifest(_Frame):
    """What a release says, but for the bodies."""

    position: Position
    steps: tuple[_Step, ...]


_Model = TypeVar("_Model", Hello, Answer)


def encoded(frame: Hello | Answer) -> bytes:
    return orjson.dumps(frame.model_dump())


def decoded(of: type[_Model], data: bytes) -> _Model:
    """ValueError if `data` is no such frame."""
    return of.model_validate(orjson.loads(data))


def manifest(release: Release) -> dict[str, object]:
    """A release but for its bodies, as `Manifest` reads it."""
    position = {"sequence": release.sequence, "revision": release.revision, "generation": release.generation}
    steps = [
        {"changed": [(one.type_url, one.name, one.digest.hex(), len(one.body)) for one in step.changed], "removed": step.removed}
        for step in release.steps
    ]
    return {"position": position, "steps": steps}


def bodies(release: Release) -> Iterator[bytes]:
    """The bodies that `release_of` wants, in their order."""
    return (one.body for step in release.steps for one in step.changed)


def release_of(told: Manifest, data: bytes) -> Release:
    """A release from its manifest and its bodies. ValueError if a body isn't what the manifest says."""
    at, steps = 0, []
    for step in told.steps:
        changed: list[Resource] = []
        for type_url, name, digest, length in step.changed:
            one = resource(type_url, name, data[at : at + length])
            at += length
            if len(one.body) != length or one.digest.hex() != digest:
                raise ValueError(f"{name} isn't what its hash says")
            changed.append(one)
        steps.append(Step(tuple(changed), step.removed))
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes are left over")
    position = told.position
    return Release(position.sequence, position.revision, position.generation, tuple(steps))


def encoded_release(release: Release) -> bytes:
    """A release as it is kept on a node's disk."""
    header = orjson.dumps(manifest(release))
    return b"".join((len(header).to_bytes(_LENGTH, "big"), header, *bodies(release)))


def decoded_release(data: bytes) -> Release:
    """ValueError if `data` is no release, or if a body isn't what its hash says."""
    at = _LENGTH + int.from_bytes(data[:_LENGTH], "big")
    return release_of(Manifest.model_validate(orjson.loads(data[_LENGTH:at])), data[at:])
