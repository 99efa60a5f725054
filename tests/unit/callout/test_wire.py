"""HTTP as Envoy speaks it with the call-out."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from bartizan.callout.wire import Malformed, Request, Wire, answer, parsed

GET = b"GET /orders?a=b HTTP/1.1\r\nhost: edge\r\nAuthorization:  Bearer x \r\ncontent-length: 0\r\n\r\n"


def test_a_request_is_read() -> None:
    found = parsed(GET[:-4] + b"\r\ndpop: a\r\ndpop: b")
    assert (found.method, found.path) == ("GET", "/orders")
    assert found.headers == {"host": "edge", "authorization": "Bearer x", "content-length": "0", "dpop": "a,b"}


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET /",
        b"GET / HTTP/1.0",
        b"GET  / HTTP/1.1",
        b"GET / HTTP/1.1\r\nx",
        b"GET / HTTP/1.1\r\n: x",
        b"POST / HTTP/1.1\r\ncontent-length: 1",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked",
        b"POST / HTTP/1.1\r\ncontent-length: 0\r\ncontent-length: 5",
    ],
)
def test_another_is_none(head: bytes) -> None:
    with pytest.raises(Malformed):
        parsed(head)


@asynccontextmanager
async def talking(folder: Path, to: object) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    path = str(folder / "s")
    async with await asyncio.get_running_loop().create_unix_server(lambda: Wire(to), path):  # type: ignore[arg-type]
        reader, writer = await asyncio.open_unix_connection(path)
        yield reader, writer
        writer.close()


async def test_one_after_the_other_is_answered(tmp_path: Path) -> None:
    async def later() -> bytes:
        await asyncio.sleep(0.01)
        return answer(200, b"x-a: later\r\n")

    def to(request: Request) -> bytes | Awaitable[bytes]:
        return later() if request.path == "/later" else answer(401, b"x-a: %s\r\n" % request.path.encode())

    async with talking(tmp_path, to) as (reader, writer):
        for _ in range(3):
            writer.write(GET[:30])
            await asyncio.sleep(0.01)
            writer.write(GET[30:])
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nx-a: /orders\r\n\r\n"
            writer.write(b"GET /later HTTP/1.1\r\n\r\n")
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-a: later\r\n\r\n"


@pytest.mark.parametrize("sent", [b"junk\r\n\r\n", GET + b"x", GET + GET, b"x" * 200_000, b"GET /late HTTP/1.1\r\n\r\n" + GET])
async def test_whatever_isnt_so_ends_the_connection(tmp_path: Path, sent: bytes) -> None:
    async with talking(tmp_path, lambda _: answer(200)) as (reader, writer):
        writer.write(sent)
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 2) == b""


async def test_more_before_the_answer_ends_it_and_what_was_asked(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def slow() -> bytes:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return b""

    async with talking(tmp_path, lambda _: slow()) as (_reader, writer):
        writer.write(GET)
        await asyncio.sleep(0.05)
        writer.write(GET)
        await asyncio.wait_for(ended.wait(), 2)


async def test_what_fails_ends_the_connection(tmp_path: Path) -> None:
    async def failing() -> bytes:
        raise asyncio.CancelledError

    async with talking(tmp_path, lambda _: failing()) as (reader, writer):
        writer.write(GET)
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 2) == b""
