"""Snapshot: everything that was declared, at one revision, indexed; and where each thing stands in the files."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bartizan.lib.yaml import Document, Path
from bartizan.model.api import Api
from bartizan.model.consumer import Consumer, Issuer
from bartizan.model.gateway import Gateway
from bartizan.model.policy import Policy
from bartizan.model.problem import Place

Key = tuple[str, str]
LIVE_KINDS = frozenset({"Consumer", "Issuer"})
"""Kinds that aren't part of a revision: who may call is live data, with a generation of its own."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One declared thing, the document it came from, and the hash of its canonical form."""

    kind: str
    name: str
    value: Gateway | Api | Consumer | Issuer | Policy
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
    policies: tuple[Policy, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    """The contents of files that policies name, by the name they use."""
    revision: str = ""

    def resource(self, of: Gateway | Api | Consumer | Issuer | Policy) -> Resource:
        """The resource of a declared value."""
        return self.resources[of.kind, of.name]


def snapshot_of(resources: Mapping[Key, Resource], files: Mapping[str, bytes]) -> Snapshot:
    """The snapshot of these resources. There must be a Gateway among them."""
    apis, consumers, issuers, policies, gateway = {}, {}, {}, [], None
    for resource in resources.values():
        value = resource.value
        if isinstance(value, Api):
            apis[value.name] = value
        elif isinstance(value, Consumer):
            consumers[value.name] = value
        elif isinstance(value, Issuer):
            issuers[value.name] = value
        elif isinstance(value, Gateway):
            gateway = value
        else:
            policies.append(value)
    if gateway is None:
        raise ValueError("no Gateway")
    return Snapshot(resources, gateway, apis, consumers, issuers, tuple(policies), files, _revision(resources, files))


def _revision(resources: Mapping[Key, Resource], files: Mapping[str, bytes]) -> str:
    """The revision's name: a hash over what policies, APIs and the gateway say. Neither order nor layout of the files matters."""
    digest = hashlib.sha256()
    for key in sorted(key for key in resources if key[0] not in LIVE_KINDS):
        digest.update(f"{key[0]}/{key[1]}={resources[key].digest}\n".encode())
    for name in sorted(files):
        digest.update(f"{name}={hashlib.sha256(files[name]).hexdigest()}\n".encode())
    return digest.hexdigest()[:16]
