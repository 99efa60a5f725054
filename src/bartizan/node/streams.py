"""Streams that are open in a node's Envoy, and which of them belong to callers who may call no more."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bartizan.identity.brake import Brake
from bartizan.lib.connections import Ends
from bartizan.model.fields import network

_LONGEST = 256
"""So much of a principal's name is told of a stream."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream."""

    id: str
    ends: Ends
    principal: str
    key: str
    """The id of its caller's key. Empty if it has none."""
    source: str
    path: str
    device: str = ""
    """The enrolled device that it comes from. Empty if it comes from none."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Who may call now, as far as that can be taken back."""

    holders: frozenset[tuple[str, str]] = frozenset()
    """Consumers with the ids of their keys."""
    brakes: tuple[Brake, ...] = ()
    lost: frozenset[str] = frozenset()
    """Devices that are lost."""

    def against(self, stream: Stream, now: float) -> str:
        """Why this stream may not go on. Empty if it may."""
        if stream.key and (stream.principal, stream.key) not in self.holders:
            return f"the key {stream.key} of {stream.principal} doesn't count any more"
        if stream.device in self.lost:
            return f"the device {stream.device} is lost"
        return next((f"block {one.id}" for one in self.brakes if one.until > now and _meets(one, stream)), "")


@dataclass(slots=True)
class OpenStreams:
    """Those that are open, as Envoy tells of them every few seconds."""

    forgotten_s: float
    """A stream that isn't told of for so long is over."""
    _open: dict[tuple[str, str], tuple[Stream, float]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._open)

    def note(self, records: Iterable[Mapping[str, Any]], now: float) -> list[Stream]:
        """Takes what is told. Those that weren't known."""
        new = []
        for record in records:
            at = str(record.get("peer", "")), str(record.get("id", ""))
            known = self._open.get(at)
            stream = known[0] if known else _stream(record)
            if known is None:
                new.append(stream)
            self._open[at] = stream, now
        return new

    def forget(self, now: float) -> None:
        """Drops those that are over."""
        gone = [at for at, (_, seen) in self._open.items() if now - seen > self.forgotten_s]
        for at in gone:
            del self._open[at]

    def drop(self, streams: Iterable[Stream]) -> None:
        """These were ended. One that goes on nevertheless is told of again, and is new then."""
        for one in streams:
            self._open.pop((one.ends.peer, one.id), None)

    def all(self) -> list[Stream]:
        """All of them."""
        return [stream for stream, _ in self._open.values()]


def _stream(record: Mapping[str, Any]) -> Stream:
    def text(name: str) -> str:
        return str(record.get(name, ""))

    ends, path = Ends(text("peer"), text("local")), text("stripped") + text("path")
    return Stream(text("id"), ends, text("principal"), text("key"), text("source"), path, text("device"))


def _meets(brake: Brake, stream: Stream) -> bool:
    if brake.what == "key":
        return stream.key == brake.value
    if brake.what == "consumer":
        return stream.principal == brake.value or (len(stream.principal) >= _LONGEST and brake.value.startswith(stream.principal))
    if brake.what == "ip":
        return _is_in(stream.source, brake.value)
    if brake.what != "path":
        return False  # which token it came with isn't told of a stream
    wanted, path = brake.value.lower(), stream.path.lower()
    return wanted in {"/", path} or path.startswith(f"{wanted}/")


def _is_in(source: str, braked: str) -> bool:
    try:
        one, whole = network(source), network(braked)
    except ValueError:
        return False
    return one.version == whole.version and one.subnet_of(whole)  # type: ignore[arg-type]
