"""Lets through or keeps out by the caller's address.

```yaml
kind: IpAccess
name: partners-only
target: {api: orders}
allow: [192.0.2.0/24, "2001:db8::/32"]
deny: [192.0.2.66]
```

`deny` wins over `allow`. With an `allow`, everyone else is refused with 403; without one, everyone but those in `deny` gets through.
Either is a list of addresses and networks (IPv4 and IPv6), or `{file: PATH}` of a file with one network a line and comments behind `#`;
a file that changes is taken like any other edit. An IPv4 address is the same one when it comes in its IPv6 form (`::ffff:192.0.2.1`),
and is in no IPv6 network.

The caller's address is that of the connection. Behind proxies, name them once in the listener's `trusted_proxies`: then it is the last
address in `X-Forwarded-For` that isn't one of theirs. What anyone else writes into such headers changes nothing.

In shadow the verdict is only recorded. It runs in Envoy: half a microsecond. Lists of more than 64 networks are held once for the whole
gateway, however many APIs use them: 50,000 networks cost 5 MB, and a request some 3 microseconds, no more than 100 would.
"""

import functools
import hashlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from bartizan.condition import Schema, Sources
from bartizan.envoy.matching import all_of, metadata, negated, source_in
from bartizan.envoy.names import H_SOURCE, LISTS
from bartizan.model.fields import AsTuple, Declared, Network, network
from bartizan.policies._kind import Fault, Fragment, IpList, Phase, Place, PolicyKind

MOST_IN_ROUTE = 64
"""Networks up to which a list is part of the route; longer ones are held once."""
_ALL = (("0.0.0.0", 0), ("::", 0))
_MISTAKES_TOLD = 5


class NetworkFile(Declared):
    """A list of networks in a file."""

    file: str = Field(min_length=1, description="A file with one network a line; what stands behind # is a comment.")


Networks = Annotated[tuple[Network, ...], AsTuple] | NetworkFile


class IpAccess(PolicyKind):
    """Let through or keep out by address."""

    kind: Literal["IpAccess"] = "IpAccess"
    phase: ClassVar[Phase] = Phase.BEFORE_AUTHENTICATION

    allow: Networks = Field(default=(), description="Networks let through, or {file: PATH}; without it, all that aren't in deny.")
    deny: Networks = Field(default=(), description="Networks refused, or {file: PATH}. It wins over allow.")

    @model_validator(mode="after")
    def _something(self) -> "IpAccess":
        if self.allow == () and self.deny == ():
            raise ValueError("an IpAccess with neither allow nor deny decides nothing")
        return self

    def file_names(self) -> Iterator[str]:
        for networks in (self.allow, self.deny):
            if isinstance(networks, NetworkFile):
                yield networks.file

    def faults(self, schema: Schema, files: Mapping[str, bytes]) -> Iterator[Fault]:
        for field, networks in (("allow", self.allow), ("deny", self.deny)):
            if not isinstance(networks, NetworkFile) or networks.file not in files:
                continue
            found, mistakes = _read(files[networks.file])
            for mistake in mistakes[:_MISTAKES_TOLD]:
                more = f" ({len(mistakes)} such lines)" if len(mistakes) > 1 else ""
                yield Fault((field, "file"), "ip-list-line", f"{networks.file}, {mistake}{more}", "One network a line; comments behind #.")
            if field == "allow" and not found and not mistakes:
                yield Fault((field, "file"), "ip-list-empty", f"{networks.file} lists nobody, so nobody would be let through", "")

    def compile(self, place: Place) -> Fragment:
        lists: list[IpList] = []
        parts = []
        if self.allow != ():
            parts.append(_held(_networks(self.allow, place), "in", place.sources, lists))
        else:
            parts.append(source_in(_ALL, _header(place.sources)))  # an address that can't be read is nobody's
        if denied := _networks(self.deny, place):
            parts.append(_held(denied, "out", place.sources, lists))
        return Fragment(permit=all_of(parts), lists=tuple(lists))


def _held(networks: tuple[str, ...], wanted: Literal["in", "out"], sources: Sources, lists: list[IpList]) -> Any:
    """The caller is in, or out of, these networks. A long list's answer is looked up, and must be there either way."""
    if len(networks) > MOST_IN_ROUTE:
        held = _list(networks)
        lists.append(held)
        return metadata(LISTS, (held.name,), string_match={"exact": wanted})
    found = source_in([_range(one) for one in networks], _header(sources))
    return found if wanted == "in" else negated(found)


def _header(sources: Sources) -> str | None:
    return H_SOURCE if sources.address == "header" else None


def _networks(networks: Networks, place: Place) -> tuple[str, ...]:
    return _read(place.files[networks.file])[0] if isinstance(networks, NetworkFile) else tuple(dict.fromkeys(networks))


@functools.lru_cache(maxsize=64)
def _read(content: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The networks in a file, and what is wrong with its lines. Kept, because every API that it covers asks."""
    found: dict[str, None] = {}
    mistakes = []
    for number, line in enumerate(content.decode("utf-8", "replace").removeprefix("\ufeff").splitlines(), 1):
        text = line.partition("#")[0].strip()
        if text:
            try:
                found[str(network(text))] = None
            except ValueError as error:
                mistakes.append(f"line {number}: {error}")
    return tuple(found), tuple(mistakes)


@functools.lru_cache(maxsize=64)
def _list(networks: tuple[str, ...]) -> IpList:
    ordered = tuple(sorted(networks))
    return IpList(hashlib.sha256("\n".join(ordered).encode()).hexdigest()[:16], ordered)


def _range(text: str) -> tuple[str, int]:
    address, _, length = text.partition("/")
    return address, int(length)
