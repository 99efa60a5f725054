"""How a node talks to the control plane of its own machine: gRPC over a unix socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from bartizan.xds.frames import METHOD, OPTIONS, SERVICE
from bartizan.xds.link import Call, Connect, Lost


class _Grpc:
    """gRPC's call, whose breaking is `Lost`."""

    def __init__(self, call: grpc.aio.StreamStreamCall) -> None:
        self._call = call

    async def write(self, message: bytes) -> None:
        await self._call.write(message)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for data in self._call:
                yield data
        except grpc.aio.AioRpcError as error:
            raise Lost(error.code().name.lower()) from error


def by_socket(path: Path) -> Connect:
    """To the control plane whose unix socket this is."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[Call]:
        async with grpc.aio.insecure_channel(f"unix:{path}", options=OPTIONS) as channel:
            yield _Grpc(channel.stream_stream(f"/{SERVICE}/{METHOD}")())

    return connect
