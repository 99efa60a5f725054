"""What an editor can't ask for over the network, because it would reach beyond her: the gateway's own files, environment and neighbours."""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson

from bartizan.admin.access import Caller
from bartizan.errors import Forbidden
from bartizan.model.snapshot import Snapshot

_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "metadata", "metadata.google.internal", "instance-data"})
_HOLDS_FILES = frozenset({"IpAccess"})
"""Kinds whose files are part of the revision: their contents are sent along, and nothing is read where the gateway runs."""


def check_trusted(caller: Caller, documents: Sequence[bytes], there: Snapshot) -> None:
    """Forbidden if a document refers to a secret, a file or an address near the gateway that isn't in the same resource already, unless an
    admin asks."""
    if caller.may("administer"):
        return
    for body in documents:
        value = orjson.loads(body)
        if value.get("kind") in _HOLDS_FILES:
            continue
        known = there.resources.get((value.get("kind"), value.get("name")))
        before = set(_reaching(known.document.value)) if known is not None else set()
        for told in sorted(set(_reaching(value)) - before):
            raise Forbidden(f"{value.get('kind')}/{value.get('name')}: only an admin may let it refer to {told}.", code="reaches-inside")


def _reaching(value: Any) -> Iterator[str]:
    """All that reaches inside: `{env: ...}`, `{file: ...}`, and addresses of the gateway's own machine and link."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in {"env", "file"} and isinstance(inner, str):
                yield f"the {'environment variable' if name == 'env' else 'file'} {inner!r}"
            else:
                yield from _reaching(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _reaching(inner)
    elif isinstance(value, str) and (host := _near(value)):
        yield f"the address {host!r}"


def _near(text: str) -> str | None:
    """The host of a URL or of host:port, if it is near the gateway."""
    try:
        host = urlsplit(text if "://" in text else f"//{text}").hostname
    except ValueError:
        return None
    if not host or ("://" not in text and not text.rpartition(":")[2].isdigit()):
        return None
    if host.rstrip(".").lower() in _NAMES or host.rstrip(".").lower().endswith(".localhost"):
        return host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = mapped or address
    return host if address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast else None
