"""Snapshot: everything that was declared, at one revision, indexed; and where each thing stands in the files."""

import functools
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from bartizan.lib.yaml import Document, Path
from bartizan.model.api import Api
from bartizan.model.consumer import Consumer, Issuer
from bartizan.model.context import ContextSource
from bartizan.model.device import Device
from bartizan.model.gateway import Gateway
from bartizan.model.policy import Policy
from bartizan.model.problem import Place

Key = tuple[str, str]
Declaration: TypeAlias = Gateway | Api | Consumer | Issuer | Device | ContextSource | Policy
LIVE_KINDS = frozenset({"Consumer", "Issuer", "Device"})
"""Kinds that aren't part of a revision: who may call, and with what, is live data, with a generation of its own."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One declared thing, the document it came from, and the hash of its canonical form."""

    kind: str
    name: str
    value: Declaration
    file: str
    document: Document
    digest: str

    @property
    def key(self) -> Key:
        """Kind and name."""
        return self.kind, self.name

    def place(self, path: Path = ()) -> Place:
        """Where the field at `path` stands."""
        return Place(self.file, self.document.line(path), f"{self.kind}/{self.name}" + (f": {dotted(path)}" if path else ""))


def dotted(path: Iterable[Any]) -> str:
    """A path as people write it: `tiers[0].when`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything declared."""

    resources: Mapping[Key, Resource]
    gateway: Gateway
    apis: Mapping[str, Api]
    consumers: Mapping[str, Consumer]
    issuers: Mapping[str, Issuer]
    devices: Mapping[str, Device]
    policies: tuple[Policy, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    """The contents of files that policies name, by the name they use."""
    revision: str = ""
    contexts: Mapping[str, ContextSource] = field(default_factory=dict)

    def resource(self, of: Declaration) -> Resource:
        """The resource of a declared value."""
        return self.resources[of.kind, of.name]

    def contextual(self) -> dict[str, str]:
        """The attributes that context sources tell, with the source of each."""
        return {attribute: one.name for one in self.contexts.values() for attribute in one.attributes}

    def told(self) -> dict[str, str]:
        """What tables tell of a principal: the attributes with their types, and how old what a source says is."""
        return {**self.gateway.attributes, **{one.stamp: "number" for one in self.contexts.values()}}


@dataclass(frozen=True, slots=True)
class Share:
    """What one text declares, sorted by kind: done once, however many snapshots it is part of."""

    resources: tuple[Resource, ...] = ()
    by_key: Mapping[Key, Resource] = field(default_factory=dict)
    gateways: tuple[Gateway, ...] = ()
    apis: Mapping[str, Api] = field(default_factory=dict)
    consumers: Mapping[str, Consumer] = field(default_factory=dict)
    issuers: Mapping[str, Issuer] = field(default_factory=dict)
    devices: Mapping[str, Device] = field(default_factory=dict)
    contexts: Mapping[str, ContextSource] = field(default_factory=dict)
    policies: tuple[Policy, ...] = ()
    lines: Mapping[str, str] = field(default_factory=dict)
    """What a revision's name is a hash of, by what these lines are sorted by."""


def share_of(resources: tuple[Resource, ...]) -> Share:
    """These resources as a share."""
    values = [resource.value for resource in resources]
    kept = [resource for resource in resources if resource.kind not in LIVE_KINDS]
    return Share(
        resources,
        {resource.key: resource for resource in resources},
        tuple(value for value in values if isinstance(value, Gateway)),
        {value.name: value for value in values if isinstance(value, Api)},
        {value.name: value for value in values if isinstance(value, Consumer)},
        {value.name: value for value in values if isinstance(value, Issuer)},
        {value.name: value for value in values if isinstance(value, Device)},
        {value.name: value for value in values if isinstance(value, ContextSource)},
        tuple(value for value in values if isinstance(value, Policy)),
        {f"{one.kind}\0{one.name}": f"{one.kind}/{one.name}={one.digest}\n" for one in kept},
    )


def snapshot_of(shares: Iterable[Share], files: Mapping[str, bytes]) -> Snapshot:
    """The snapshot of these shares, which declare nothing twice. There must be a Gateway among them."""
    resources: dict[Key, Resource] = {}
    apis: dict[str, Api] = {}
    consumers: dict[str, Consumer] = {}
    issuers: dict[str, Issuer] = {}
    devices: dict[str, Device] = {}
    contexts: dict[str, ContextSource] = {}
    policies: list[Policy] = []
    gateways: list[Gateway] = []
    lines: dict[str, str] = {}
    for share in shares:
        resources.update(share.by_key)
        apis.update(share.apis)
        consumers.update(share.consumers)
        issuers.update(share.issuers)
        devices.update(share.devices)
        contexts.update(share.contexts)
        policies += share.policies
        gateways += share.gateways
        lines.update(share.lines)
    if not gateways:
        raise ValueError("no Gateway")
    revision = _revision(lines, files)
    return Snapshot(resources, gateways[0], apis, consumers, issuers, devices, tuple(policies), files, revision, contexts)


def with_live(before: Snapshot, put: Share, gone: Iterable[Key]) -> Snapshot:
    """The snapshot with these live declarations instead of those of their names, and without those that are gone. All else, the revision
    too, is as it was: nobody looks at it."""
    resources = {**before.resources, **put.by_key}
    consumers, issuers, devices = (
        {**before.consumers, **put.consumers},
        {**before.issuers, **put.issuers},
        {**before.devices, **put.devices},
    )
    held: dict[str, dict[str, Any]] = {"Consumer": consumers, "Issuer": issuers, "Device": devices}
    for kind, name in gone:
        resources.pop((kind, name), None)
        held[kind].pop(name, None)
    return replace(before, resources=resources, consumers=consumers, issuers=issuers, devices=devices)


def _revision(lines: Mapping[str, str], files: Mapping[str, bytes]) -> str:
    """The revision's name: a hash over what policies, APIs and the gateway say. Neither order nor layout of the files matters."""
    digest = hashlib.sha256("".join(lines[one] for one in sorted(lines)).encode())
    for name in sorted(files):
        digest.update(f"{name}={_hash_of(files[name])}\n".encode())
    return digest.hexdigest()[:16]


@functools.lru_cache(maxsize=64)
def _hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
