"""How a node talks to its control plane from another machine: frames over TLS. Free of gRPC, so that a supervisor may use it."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Protocol, TypeAlias

NODE_PROTOCOL, ASK_PROTOCOL, RECORDS_PROTOCOL = "bartizan-node/1", "bartizan-ask/1", "bartizan-records/1"
"""What is spoken over TLS, agreed on in the handshake (ALPN): a node's lasting talk, a question and its answer, or a stream of records."""
SERVER_NAME = "control.bartizan.internal"
"""The name in the control plane's certificate, wherever it listens."""
FROM_NODE, FROM_CONTROL, ASKED = 64 << 20, 1 << 30, 64 << 10
"""The longest frames."""
_LENGTH = 4
_PIECE = 1 << 17
_SILENT_MS = 10_000
"""So long may what was sent stay without the other machine's word before the connection is given up."""


class Lost(ConnectionError):
    """The connection couldn't be made, or broke."""


class Call(Protocol):
    """A talk with the control plane."""

    async def write(self, message: bytes) -> None: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


Connect: TypeAlias = Callable[[], AbstractAsyncContextManager[Call]]


class Link:
    """Frames over a stream: a length, then as many bytes. ValueError for one that is longer than `most`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int) -> None:
        self._reader, self._writer, self._most = reader, writer, most
        _notices_silence(writer.get_extra_info("socket"))

    async def write(self, message: bytes) -> None:
        """Returns when it may be followed by another."""
        try:
            self._writer.write(len(message).to_bytes(_LENGTH, "big"))
            # In pieces: the same frame may be on its way to a hundred nodes, and is in memory once.
            for start in range(0, len(message), _PIECE):
                self._writer.write(memoryview(message)[start : start + _PIECE])
                await self._writer.drain()
        except OSError as error:
            raise Lost(_why(error)) from error

    async def read(self) -> bytes | None:
        """The next frame; None if there will be none."""
        try:
            length = int.from_bytes(await self._reader.readexactly(_LENGTH), "big")
            if length > self._most:
                raise ValueError(f"a frame of {length} bytes is too long")
            return await self._reader.readexactly(length)
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise Lost("a frame was cut off") from error
            return None
        except OSError as error:
            raise Lost(_why(error)) from error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (data := await self.read()) is not None:
            yield data

    async def close(self) -> None:
        self._writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                await self._writer.wait_closed()


def by_tls(host: str, port: int, context: Callable[[], ssl.SSLContext], *, seconds: float = 10.0) -> Connect:
    """To the control plane on another machine. `context` is asked for each connection: certificates change."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[Call]:
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_connection(host, port, ssl=context(), server_hostname=SERVER_NAME)
        except (OSError, TimeoutError) as error:
            raise Lost(_why(error)) from error
        link = Link(reader, writer, FROM_CONTROL)
        try:
            yield link
        finally:
            await link.close()

    return connect


def _why(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate isn't good: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}".lower()
    return str(error.strerror or error) if isinstance(error, OSError) else "it takes too long"


def _notices_silence(connection: socket.socket) -> None:
    """A machine that vanished without a word is noticed within some ten seconds, whether or not something is sent to it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in (("TCP_KEEPIDLE", 4), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", _SILENT_MS)):
        if (option := getattr(socket, name, None)) is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
