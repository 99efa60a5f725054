"""HTTP/1.1 as Envoy speaks it with the call-out: a request without a body, then its answer, over and over on one connection.

Only Envoy is on the other side. Whatever isn't just so ends the connection, and what can't be asked is refused there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

_LONGEST = 128 * 1024
_END = b"\r\n\r\n"
_REASONS = {200: b"OK", 401: b"Unauthorized"}


class Malformed(Exception):
    """It isn't a request as Envoy sends them."""


@dataclass(frozen=True, slots=True)
class Request:
    """What Envoy tells of a request."""

    method: str
    path: str
    """Without its query."""
    headers: Mapping[str, str]
    """By names in small letters; several of one name are joined by commas."""


Answer = Callable[[Request], bytes | Awaitable[bytes]]
"""The whole answer, at once or later."""


def parsed(head: bytes) -> Request:
    """A request's head, without the empty line at its end. Malformed if it is none, or announces a body."""
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] != "HTTP/1.1":
        raise Malformed
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name:
            raise Malformed
        name, value = name.lower(), value.strip(" \t")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        raise Malformed
    return Request(words[0], words[1].partition("?")[0], headers)


def answer(status: int, lines: bytes = b"") -> bytes:
    """An answer without a body. `lines`: headers, each with its end."""
    return b"HTTP/1.1 %d %s\r\ncontent-length: 0\r\n%s\r\n" % (status, _REASONS[status], lines)


class Wire(asyncio.Protocol):
    """One connection."""

    def __init__(self, to: Answer) -> None:
        self._to = to
        self._held = b""
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a unix socket is one
        self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._held += data
        if self._task is not None or len(self._held) > _LONGEST:
            return self._end()  # Envoy waits for an answer before it asks again
        head, end, rest = self._held.partition(_END)
        if not end:
            return None
        self._held = rest
        try:
            said = Malformed() if rest else self._to(parsed(head))
        except Malformed as error:
            said = error
        if isinstance(said, Malformed):
            self._end()
        elif isinstance(said, bytes):
            self._write(said)
        else:
            self._task = asyncio.ensure_future(self._later(said))
        return None

    async def _later(self, said: Awaitable[bytes]) -> None:
        try:
            told = await said
        except asyncio.CancelledError:
            self._end()
            raise
        self._task = None
        self._write(told)

    def _write(self, said: bytes) -> None:
        if self._transport is not None:
            self._transport.write(said)

    def _end(self) -> None:
        if self._transport is not None:
            self._transport.abort()
