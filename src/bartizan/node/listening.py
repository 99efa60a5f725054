"""Other addresses for a node's listeners than the policies give them: put in after a release was verified."""

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from bartizan.envoy import message
from bartizan.errors import Invalid
from bartizan.xds.release import LISTENER, Resource
from bartizan.xds.server import Adapt

Addresses: TypeAlias = Mapping[str, tuple[str, int]]
"""Listener -> address and port."""


def addresses(written: Iterable[str]) -> Addresses:
    """What `--listen web=127.0.0.1:18080` says, one after the other. Invalid if it says something else."""
    found: dict[str, tuple[str, int]] = {}
    for text in written:
        name, _, address = text.partition("=")
        host, _, port = address.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not name or not port.isdecimal() or not 0 < int(port) < 65536 or not _is_ip(host):
            raise Invalid(f"{text!r} isn't a listener's address: write it as web=127.0.0.1:18080 or web=[::1]:18080.")
        if name in found:
            raise Invalid(f"The listener {name!r} is given two addresses.")
        found[name] = host, int(port)
    return found


def moved(to: Addresses) -> Adapt:
    """Listeners as the node's Envoy gets them."""
    done: dict[bytes, Resource] = {}

    def adapt(one: Resource) -> Resource:
        address = to.get(one.name) if one.type_url == LISTENER else None
        if address is None:
            return one
        if one.digest not in done:
            done.clear()
            done[one.digest] = _moved(one, *address)
        return done[one.digest]

    return adapt


def _moved(one: Resource, host: str, port: int) -> Resource:
    listener = message(LISTENER.rpartition("/")[2])
    listener.MergeFromString(one.body)
    listener.address.socket_address.address, listener.address.socket_address.port_value = host, port
    body: bytes = listener.SerializeToString(deterministic=True)
    return Resource(one.type_url, one.name, hashlib.sha256(body).digest(), body)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
