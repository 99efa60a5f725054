"""HTTP/1.1 over unix sockets to an Envoy of ours, fast: one request at a time on each of a few connections that are kept."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import cast

_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it travels."""

    data: bytes
    whole: bool = True
    """Whether all of it is sent. The body of one that isn't never comes, so its connection can't be used again."""
    bodiless: bool = False
    """Whether its answer has no body, whatever its headers say."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer's status and headers. Its body is dropped."""

    status: int
    headers: dict[bytes, bytes]


class _Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._bodiless = False
        self._buffer = b""
        self.usable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionResetError("closed before the answer came"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._waiting is None or self._waiting.done():
            self.close()  # nobody has asked
            return
        try:
            found = _answer(self._buffer, self._bodiless)
        except ValueError as error:
            self._waiting.set_exception(ConnectionResetError(f"an answer that can't be read: {error}"))
            self.close()
            return
        if found is not None:
            answer, self._buffer = found
            if answer.headers.get(b"connection") == b"close":
                self.close()
            self._waiting.set_result(answer)

    async def exchange(self, sent: Sent) -> Answer:
        if self._transport is None:
            raise ConnectionResetError("not connected")
        self._bodiless = sent.bodiless
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(sent.data)
        try:
            return await self._waiting
        finally:
            if not sent.whole or not self._waiting.done() or self._waiting.cancelled():
                self.close()
            self._waiting = None

    def close(self) -> None:
        self.usable = False
        if self._transport is not None:
            self._transport.close()


def _answer(data: bytes, bodiless: bool) -> tuple[Answer, bytes] | None:
    """The answer at the beginning of `data` and what follows it, or None while it isn't whole. ValueError for what isn't HTTP."""
    while True:
        end = data.find(_END)
        if end < 0:
            return None
        first, *lines = data[:end].split(b"\r\n")
        status, rest = int(first[9:12]), data[end + 4 :]
        if status >= 200:
            break
        data = rest  # 100 and its like only announce the answer
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    if bodiless or status in (204, 304):
        length: int | None = 0
    elif headers.get(b"transfer-encoding") == b"chunked":
        length = _chunked(rest)
    else:
        length = int(headers.get(b"content-length", b"0"))
    if length is None or len(rest) < length:
        return None
    return Answer(status, headers), rest[length:]


def _chunked(data: bytes) -> int | None:
    """How long the chunks at the beginning of `data` are, or None while they aren't whole."""
    at = 0
    while (line := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:line].partition(b";")[0], 16)
        at = line + 2 + size + 2
        if size == 0:
            end = data.find(_END, line)
            return end + 4 if end >= 0 else None
    return None


class Wire:
    """Connections to the unix socket `path`, at most `most` at once."""

    def __init__(self, path: Path, most: int) -> None:
        self._path = path
        self._idle: list[_Connection] = []
        self._free = asyncio.Semaphore(most)

    async def exchange(self, sent: Sent) -> Answer:
        """The answer. OSError if none comes: then Envoy is gone, or doesn't speak as it should."""
        async with self._free:
            while self._idle:
                kept = self._idle.pop()
                if kept.usable:
                    try:
                        return await self._over(kept, sent)
                    except ConnectionResetError:
                        break  # Envoy may close a connection that idles just as we use it: once more, on a new one
            _, fresh = await asyncio.get_running_loop().create_unix_connection(_Connection, str(self._path))
            return await self._over(fresh, sent)

    async def _over(self, connection: _Connection, sent: Sent) -> Answer:
        answer = await connection.exchange(sent)
        if connection.usable:
            self._idle.append(connection)
        return answer

    def close(self) -> None:
        """Closes what idles."""
        while self._idle:
            self._idle.pop().close()
