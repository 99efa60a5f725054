"""Which hosts are near: this machine itself, its link, and where clouds tell a machine its secrets. Whoever names a URL for the gateway to
fetch mustn't reach those by it."""

import asyncio
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback", "metadata", "instance-data"})
_METADATA = tuple(ip_network(text) for text in ("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::/32"))
"""Where clouds tell a machine its secrets, beside the link-local addresses."""
_EMBEDDING = tuple(ip_network(text) for text in ("::/96", "64:ff9b::/96"))
_RESOLVED_S = 5.0


def is_here(host: str) -> bool:
    """Whether this is a name or an address of this machine alone: what is sent there, nobody on a wire reads."""
    name = host.rstrip(".").lower()
    try:
        return name == "localhost" or name.endswith(".localhost") or ip_address(name).is_loopback
    except ValueError:
        return False


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


async def leads_near(host: str) -> bool:
    """Whether it is near, by its name or by what that stands for here and now. ValueError if that can't be told."""
    return is_near(host) or any(map(_is_near, await _addresses(host)))


async def _addresses(host: str) -> list[Address]:
    try:
        async with asyncio.timeout(_RESOLVED_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
            return [ip_address(str(one[4][0]).partition("%")[0]) for one in found]
    except (OSError, ValueError) as error:  # UnicodeError is a ValueError, TimeoutError an OSError
        raise ValueError(f"The name {host!r} can't be resolved here, so nobody can tell where it leads.") from error
