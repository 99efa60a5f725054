"""What an editor can't ask for over the network, because it would reach beyond her: the gateway's own files, environment and
neighbours, and what its owner alone decides."""

import asyncio
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import orjson
from pydantic import ValidationError

from bartizan.admin.access import Caller
from bartizan.errors import Forbidden
from bartizan.model.gateway import Gateway
from bartizan.model.snapshot import Snapshot
from bartizan.policies import KINDS

Address: TypeAlias = IPv4Address | IPv6Address
_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback", "metadata", "instance-data"})
_METADATA = tuple(ip_network(text) for text in ("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::/32"))
"""Where clouds tell a machine its secrets, beside the link-local addresses."""
_EMBEDDING = tuple(ip_network(text) for text in ("::/96", "64:ff9b::/96"))
HOLDS_FILES = frozenset({"IpAccess"})
"""Kinds whose files are part of the revision: their contents are sent along, and nothing is read where the gateway runs."""
_POLICIES = frozenset(str(one.model_fields["kind"].default) for one in KINDS)
_FREE = frozenset({"kind", "name", "attributes"})
"""All else of a Gateway is its owner's: where it listens, how changes are let out, what is recorded."""
_RESOLVED_S = 5.0


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
    if caller.may("administer"):
        return
    for body in documents:
        value = orjson.loads(body)
        what = f"{value.get('kind')}/{value.get('name')}"
        for field in _owners(value, there.gateway):
            raise Forbidden(f"{what}: only an admin may change `{field}`.", code="owners-own")
        known = there.resources.get((value.get("kind"), value.get("name")))
        before = known.document.value if known is not None and isinstance(known.document.value, dict) else {}
        for told in sorted(set(_secrets(value)) - set(_secrets(before))):
            raise Forbidden(f"{what}: only an admin may let it refer to {told}.", code="reaches-inside")
        await _check_hosts(what, sorted(set(_hosts(value)) - set(_hosts(before))))


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
    """Where it sends something. Policies send nothing anywhere; where a Gateway listens is its owner's, and no destination."""
    kind = value.get("kind")
    if kind not in _POLICIES:
        field = {"Api": "upstream", "Gateway": "otlp"}.get(str(kind))
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


async def _check_hosts(what: str, hosts: Iterable[Host]) -> None:
    """Forbidden if one of them is near the gateway, or nobody can tell."""
    for host in hosts:
        if is_near(host.name) or any(map(_is_near, await _addresses(host.name))):
            raise Forbidden(f"{what}: only an admin may let it refer to the address {str(host)!r}.", code="reaches-inside")


def is_near(host: str) -> bool:
    """Whether this is a name or an address of the gateway's own machine or link, or of a cloud's metadata."""
    name = host.rstrip(".").lower()
    if name in _NAMES or name.endswith(".localhost") or not name:
        return True
    try:
        return _is_near(ip_address(name))
    except ValueError:
        # 127.1, 0x7f000001, 2130706433, 017700000001: whoever resolves it may take it for an address, each for another.
        last = name.rpartition(".")[2]
        return last.isdigit() or last.startswith("0x")


def _is_near(address: Address) -> bool:
    near = address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast
    return near or any(address in one for one in _METADATA) or any(map(_is_near, _embedded(address)))


def _embedded(address: Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that an IPv6 address may lead to."""
    if isinstance(address, IPv6Address):
        inner = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()))
        yield from (one for one in inner if one is not None)
        if any(address in one for one in _EMBEDDING):
            yield IPv4Address(int(address) & 0xFFFF_FFFF)


async def _addresses(host: str) -> list[Address]:
    """What a name stands for here and now. Forbidden if that can't be told."""
    try:
        async with asyncio.timeout(_RESOLVED_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
            return [ip_address(str(one[4][0]).partition("%")[0]) for one in found]
    except (OSError, ValueError) as error:  # UnicodeError is a ValueError, TimeoutError an OSError
        told = f"The name {host!r} can't be resolved here, so nobody can tell where it leads. An admin may use it all the same."
        raise Forbidden(told, code="reaches-nowhere") from error
