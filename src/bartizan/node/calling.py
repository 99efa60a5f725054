"""Says that the call-out is needed, as soon as Envoy holds a filter that asks it; and tells it which issuers are asked about tokens."""

import asyncio
from pathlib import Path

from bartizan.envoy.names import ASKING, PROOFS
from bartizan.xds.release import EXTENSION, NOTE
from bartizan.xds.server import AdsServer

_ASKS = b"ext_authz"
_NOBODY = b'{"issuers":[]}'
_AGAIN_S = 0.1
_LOOK_S = 0.05


async def call(server: AdsServer, wanted: Path) -> None:
    """Makes the file once it is needed. It stays: whoever needed it will again, and a process that waits costs little."""
    while True:
        held = server.state.of(EXTENSION).get(PROOFS)
        if held is not None and _ASKS in held.body:
            wanted.touch()
            return
        await server.changed()


async def tell(server: AdsServer, socket: Path) -> None:
    """Tells the call-out on its socket, each time when the note is another, and again when the call-out is; for ever. It is asked over no
    file: the note holds secrets."""
    while True:
        while _note(server) is None:
            await server.changed()
        try:
            reader, writer = await asyncio.open_unix_connection(str(socket))
        except OSError:
            await asyncio.sleep(_AGAIN_S)
            continue
        gone = asyncio.ensure_future(reader.read())
        try:
            await _keep_told(server, writer, gone)
        except OSError:
            pass  # it went: its successor is told
        finally:
            gone.cancel()
            writer.close()


async def _keep_told(server: AdsServer, writer: asyncio.StreamWriter, gone: asyncio.Future[bytes]) -> None:
    told: bytes | None = None
    while not gone.done():
        note = _note(server) or _NOBODY
        if note != told:
            writer.write(len(note).to_bytes(4, "big") + note)
            await writer.drain()
            told = note
        await asyncio.wait({gone}, timeout=_LOOK_S)


def _note(server: AdsServer) -> bytes | None:
    held = server.state.of(NOTE).get(ASKING)
    return held.body if held is not None else None
