"""HTTP over a unix socket: answers of every form, connections that are kept, and such as break."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bartizan.scratch.wire import Answer, Sent, Wire

GET = Sent(b"GET / HTTP/1.1\r\n\r\n")


@asynccontextmanager
async def served(folder: Path, answers: list[bytes], *, most: int = 4, pause_s: float = 0) -> AsyncIterator[tuple[Wire, list[int]]]:
    """A server that gives these answers, one for each request, and counts its connections. An empty one closes."""
    connections: list[int] = []
    left = iter(answers)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(pause_s)
                if not (answer := next(left)):
                    return
                for at in range(0, len(answer), 11):  # in pieces, as it may come
                    writer.write(answer[at : at + 11])
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return
        finally:
            writer.close()

    server = await asyncio.start_unix_server(talk, str(folder / "s.sock"))
    wire = Wire(folder / "s.sock", most)
    try:
        yield wire, connections
    finally:
        wire.close()
        server.close()


def answer(status: int = 200, body: bytes = b"", *headers: bytes) -> bytes:
    length = b"content-length: %d" % len(body)
    return b"\r\n".join([b"HTTP/1.1 %d OK" % status, length, *headers, b"", body])


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (answer(403, b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), 403),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + answer(413), 413),
        (CHUNKED, 200),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", 304),
    ],
)
async def test_an_answer_ends_where_it_ends_and_its_connection_is_kept(tmp_path: Path, data: bytes, status: int) -> None:
    async with served(tmp_path, [data, answer(201), data]) as (wire, connections):
        assert [(await wire.exchange(GET)).status for _ in range(3)] == [status, 201, status]
        assert len(connections) == 1


async def test_headers_are_told_in_lower_case(tmp_path: Path) -> None:
    async with served(tmp_path, [answer(200, b"", b"X-Told:  a: b ", b"x-empty:")]) as (wire, _):
        assert await wire.exchange(GET) == Answer(200, {b"content-length": b"0", b"x-told": b"a: b", b"x-empty": b""})


async def test_an_answer_to_head_has_no_body(tmp_path: Path) -> None:
    async with served(tmp_path, [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", answer(201)]) as (wire, connections):
        assert (await wire.exchange(Sent(GET.data, bodiless=True))).status == 200
        assert (await wire.exchange(GET)).status == 201
        assert len(connections) == 1


async def test_a_connection_that_is_not_to_be_kept_is_not(tmp_path: Path) -> None:
    async with served(tmp_path, [answer(200, b"", b"connection: close"), answer(201), answer(202)]) as (wire, connections):
        assert [(await wire.exchange(one)).status for one in (GET, Sent(GET.data, whole=False), GET)] == [200, 201, 202]
        assert len(connections) == 3


async def test_a_connection_that_closed_while_it_idled_is_replaced(tmp_path: Path) -> None:
    async with served(tmp_path, [answer(200), b"", answer(201)]) as (wire, connections):
        assert [(await wire.exchange(GET)).status for _ in range(2)] == [200, 201]
        assert len(connections) == 2


@pytest.mark.parametrize("data", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n"])
async def test_no_answer_and_a_wrong_one_are_told(tmp_path: Path, data: bytes) -> None:
    async with served(tmp_path, [data] * 2) as (wire, _):
        with pytest.raises(ConnectionResetError):
            await wire.exchange(GET)


async def test_nobody_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        await Wire(tmp_path / "none.sock", 1).exchange(GET)


async def test_no_more_connections_than_allowed(tmp_path: Path) -> None:
    async with served(tmp_path, [answer(200)] * 50, most=3, pause_s=0.002) as (wire, connections):
        found = await asyncio.gather(*(wire.exchange(GET) for _ in range(50)))
        assert len(found) == 50 and 1 < len(connections) <= 3


async def test_an_answer_that_is_no_longer_waited_for_reaches_nobody_else(tmp_path: Path) -> None:
    async with served(tmp_path, [answer(200), answer(201)], pause_s=0.05) as (wire, connections):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await wire.exchange(GET)
        assert (await wire.exchange(GET)).status == 201
        assert len(connections) == 2
