"""Many callers at once: a client of HTTP/1.1 that costs little, and an upstream that keeps up with it."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)")
_END = b"\r\n\r\n"


def written(path: str, headers: Mapping[str, str]) -> bytes:
    """A GET."""
    lines = [f"GET {path} HTTP/1.1", "host: a", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


class _Caller(asyncio.Protocol):
    """One connection: sends requests in turn, `ahead` of them before the first is answered."""

    def __init__(self, requests: Sequence[bytes], ahead: int) -> None:
        self.requests, self.ahead = requests, ahead
        self.found: list[int] = []
        self.done: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self.rest, self.body = b"", 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(b"".join(self.requests[: self.ahead]))

    def data_received(self, data: bytes) -> None:
        data = self.rest + data
        before, at = len(self.found), 0
        while (end := data.find(_END, at)) >= 0:
            length = _LENGTH.search(data, at, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if whole > len(data):
                break
            self.found.append(int(data[at + 9 : at + 12]))
            at = whole
        self.rest = data[at:]
        if len(self.found) == len(self.requests):
            self.done.set_result(self.found)
            self.transport.close()
        else:
            self.transport.write(b"".join(self.requests[before + self.ahead : len(self.found) + self.ahead]))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError(f"closed after {len(self.found)} answers"))


async def statuses(port: int, requests: Sequence[bytes], connections: int = 1, ahead: int = 1) -> list[int]:
    """Each request's status. They are dealt out over the connections. Where some may be refused `ahead` must be 1: Envoy closes a
    connection whose next request is there already when it refuses one."""

    async def some(of: Sequence[bytes]) -> list[int]:
        _, caller = await asyncio.get_running_loop().create_connection(lambda: _Caller(of, ahead), "127.0.0.1", port)
        return await caller.done

    found = await asyncio.gather(*(some(requests[i::connections]) for i in range(connections)))
    whole = [0] * len(requests)
    for i, one in enumerate(found):
        whole[i::connections] = one
    return whole


class _Server(asyncio.Protocol):
    """Answers 200 without a body to each request without a body."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        *whole, self.rest = (self.rest + data).split(_END)
        self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" * len(whole))


@asynccontextmanager
async def upstream() -> AsyncIterator[int]:
    """A server on a port."""
    server = await asyncio.get_running_loop().create_server(_Server, "127.0.0.1", 0, backlog=1000)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
