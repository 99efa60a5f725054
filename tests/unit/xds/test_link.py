"""Frames over a stream, and what breaks them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bartizan.xds.link import Link, Lost


@asynccontextmanager
async def pair(most: int = 100) -> AsyncIterator[tuple[Link, asyncio.StreamWriter]]:
    """A link, and the raw other end of it."""
    met: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda reader, writer: met.set_result((reader, writer)), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    _, other = await met
    try:
        yield Link(reader, writer, most), other
    finally:
        writer.close()
        other.close()
        server.close()


async def test_frames_come_as_they_were_sent_and_end() -> None:
    async with pair() as (link, other):
        other.write(b"\0\0\0\2ab\0\0\0\0\0\0\0\1c")
        other.close()
        assert [frame async for frame in link] == [b"ab", b"", b"c"]


@pytest.mark.parametrize("cut", [b"\0\0", b"\0\0\0\5ab"])
async def test_a_frame_that_is_cut_off_is_a_loss_and_not_an_end(cut: bytes) -> None:
    async with pair() as (link, other):
        other.write(cut)
        other.close()
        with pytest.raises(Lost, match="cut off"):
            await link.read()


async def test_a_frame_that_is_too_long_is_refused_before_it_is_read() -> None:
    async with pair(most=10) as (link, other):
        other.write(b"\0\0\0\x0b")
        with pytest.raises(ValueError, match="too long"):
            await asyncio.wait_for(link.read(), 2)


async def test_who_breaks_off_is_lost() -> None:
    async with pair(most=1 << 30) as (link, other):
        other.transport.abort()
        with pytest.raises(Lost):
            for _ in range(100):
                await link.write(b"x" * 100_000)
                await asyncio.sleep(0.01)
