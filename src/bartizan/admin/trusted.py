"""What an editor can't ask for over the network, because it would reach beyond her: the gateway's own files, environment and
neighbours, and what its owner alone decides."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson
from pydantic import ValidationError

from bartizan.admin.access import Caller
from bartizan.errors import Forbidden
from bartizan.lib.near import is_near, leads_near
from bartizan.model.gateway import Gateway
from bartizan.model.snapshot import Snapshot
from bartizan.policies import KINDS

HOLDS_FILES = frozenset({"IpAccess"})
"""Kinds whose files are part of the revision: their contents are sent along, and nothing is read where the gateway runs."""
_POLICIES = frozenset(str(one.model_fields["kind"].default) for one in KINDS)
_SENDING = {"Api": "upstream", "Gateway": "otlp", "Login": "token_endpoint"}
"""The one field by which a kind sends something."""
_FREE = frozenset({"kind", "name", "attributes"})
"""All else of a Gateway is its owner's: where it listens, how changes are let out, what is recorded."""


@dataclass(frozen=True, slots=True, order=True)
class Host:
    """Where something is sent."""

    name: str
    port: str

    def __str__(self) -> str:
        return f"{self.name}:{self.port}" if self.port else self.name


async def check_trusted(caller: Caller, documents: Sequence[bytes], there: Snapshot) -> None:
    """Forbidden if a document refers to a secret, a file or an address near the gateway that the same resource doesn't refer to already, or
    changes what is the owner's; unless an admin asks."""
    if not caller.may("administer"):
        await check_inside(documents, there)


async def check_inside(documents: Sequence[bytes], there: Snapshot, *, resolve: bool = True) -> None:
    """The same, whoever asks. Without `resolve` names of hosts are taken as they are: nobody's name server is asked."""
    for body in documents:
        value = orjson.loads(body)
        what = f"{value.get('kind')}/{value.get('name')}"
        for field in _owners(value, there.gateway):
            raise Forbidden(f"{what}: only an admin may change `{field}`.", code="owners-own")
        known = there.resources.get((value.get("kind"), value.get("name")))
        before = known.document.value if known is not None and isinstance(known.document.value, dict) else {}
        for told in sorted(set(_secrets(value)) - set(_secrets(before))):
            raise Forbidden(f"{what}: only an admin may let it refer to {told}.", code="reaches-inside")
        await _check_hosts(what, sorted(set(_hosts(value)) - set(_hosts(before))), resolve=resolve)


def _owners(value: Mapping[str, Any], now: Gateway) -> Iterator[str]:
    """What this document would change of the gateway, and only its owner may."""
    if value.get("kind") != "Gateway":
        return
    try:
        wanted = Gateway.model_validate(value)
    except ValidationError:
        return  # it is refused for that, with every place told
    yield from (name for name in Gateway.model_fields if name not in _FREE and getattr(wanted, name) != getattr(now, name))


def _secrets(value: Mapping[str, Any]) -> Iterator[str]:
    """What it refers to of the gateway's machine, and where that would be used: a secret is bound to its destinations."""
    if value.get("kind") in HOLDS_FILES:
        return
    hosts = list(_hosts(value))
    for told in _references(value):
        yield told
        yield from (f"{told} towards {host}" for host in hosts)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "env" and isinstance(inner, str):
                yield f"the environment variable {inner!r}"
            elif name in {"file", "ca", "certificate"} and isinstance(inner, str):
                yield f"the file {inner!r}"
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _hosts(value: Mapping[str, Any]) -> Iterator[Host]:
    """Where it sends something. No policy but a Login does; where a Gateway listens is its owner's, and no destination."""
    kind = str(value.get("kind"))
    if kind in _SENDING or kind not in _POLICIES:
        field = _SENDING.get(kind)
        yield from _urls(value.get(field) if field else value)


def _urls(value: Any) -> Iterator[Host]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _urls(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _urls(inner)
    elif isinstance(value, str) and "://" in value:
        yield _host(value)


def _host(url: str) -> Host:
    try:
        parts = urlsplit(url)
        return Host(parts.hostname or "", str(parts.port or {"http": 80, "https": 443}.get(parts.scheme) or ""))
    except ValueError:
        return Host(url, "")


async def _check_hosts(what: str, hosts: Iterable[Host], *, resolve: bool) -> None:
    """Forbidden if one of them is near the gateway, or nobody can tell."""
    for host in hosts:
        if is_near(host.name) or (resolve and await _leads_near(host.name)):
            raise Forbidden(f"{what}: only an admin may let it refer to the address {str(host)!r}.", code="reaches-inside")


async def _leads_near(host: str) -> bool:
    try:
        return await leads_near(host)
    except ValueError as error:
        raise Forbidden(f"{error} An admin may use it all the same.", code="reaches-nowhere") from error
