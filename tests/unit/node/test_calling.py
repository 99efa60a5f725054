"""The call-out is told which issuers are asked, and again when it is another one."""

import asyncio
from pathlib import Path

from bartizan.callout.asking import Askers
from bartizan.callout.server import _listen
from bartizan.envoy.names import ASKING
from bartizan.node.calling import tell
from bartizan.xds.release import NOTE, Step, resource
from bartizan.xds.server import AdsServer

NOTE_OF_CORP = (
    b'{"issuers":[{"name":"corp","issuer":"i","audiences":["a"],"skew_s":0,"subject":"s","headers":{},"url":"http://127.0.0.1:1/",'
    b'"client_id":"gw","client_secret":null,"post":false,"cache_s":1,"timeout_s":1,"per_second":1}]}'
)


async def told(askers: Askers, names: set[str]) -> None:
    async with asyncio.timeout(3):
        while set(askers._askers) != names:
            await asyncio.sleep(0.01)


async def test_it_is_told_at_first_at_each_change_and_after_a_restart(tmp_path: Path) -> None:
    server, socket = AdsServer(tmp_path / "ads.sock"), tmp_path / "told.sock"
    telling = asyncio.ensure_future(tell(server, socket))
    await asyncio.sleep(0.05)
    server.state.take(Step((resource(NOTE, ASKING, NOTE_OF_CORP),)))
    server.tell()
    for _ in range(2):
        askers = Askers()
        listening = await asyncio.start_unix_server(lambda reader, writer, to=askers: _listen(to, reader, writer), str(socket))  # type: ignore[misc]
        await told(askers, {"corp"})
        server.state.take(Step((resource(NOTE, ASKING, NOTE_OF_CORP.replace(b'"corp"', b'"other"')),)))
        await told(askers, {"other"})
        server.state.take(Step(removed=((NOTE, ASKING),)))
        await told(askers, set())
        server.state.take(Step((resource(NOTE, ASKING, NOTE_OF_CORP),)))
        await told(askers, {"corp"})
        listening.close()
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        socket.unlink(missing_ok=True)
        telling = asyncio.ensure_future(tell(server, socket))
    telling.cancel()
