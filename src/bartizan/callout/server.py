"""The process that Envoy asks about requests that bring a proof, or a token about which an issuer is to be asked; and that the node tells
which issuers these are."""

import argparse
import asyncio
import logging
import signal
import sys
import time
from pathlib import Path

from bartizan.callout.answering import Answering
from bartizan.callout.asking import Askers
from bartizan.callout.issuer import issuers
from bartizan.callout.once import Once
from bartizan.callout.wire import Wire
from bartizan.lib.dumps import no_dumps

_log = logging.getLogger(__name__)
_LENGTH = 4
_LONGEST = 16 * 1024 * 1024


async def serve(socket: Path, told: Path, once: Once) -> None:
    """Answers Envoy on one unix socket, and listens to the node on the other, until it is cancelled."""
    askers = Askers()
    answering = Answering(once, askers)
    for path in (socket, told):
        path.unlink(missing_ok=True)
    server = await asyncio.get_running_loop().create_unix_server(lambda: Wire(answering), str(socket), backlog=1024)
    listener = await asyncio.start_unix_server(lambda reader, writer: _listen(askers, reader, writer), str(told))
    for path in (socket, told):
        path.chmod(0o600)
    _log.info("proofs are checked, and issuers asked about tokens")
    async with server, listener:
        await asyncio.Event().wait()


async def _listen(askers: Askers, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes what the node tells: each time the whole note, behind its length."""
    try:
        while True:
            length = int.from_bytes(await reader.readexactly(_LENGTH), "big")
            if length > _LONGEST:
                raise ValueError("what the node tells of issuers is too long")
            await askers.take(issuers(await reader.readexactly(length)))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the node restarts; what it told counts on
    except ValueError as error:
        _log.error("%s", error)
    finally:
        writer.close()


async def _until_signalled(socket: Path, told: Path, once: Once) -> None:
    task = asyncio.ensure_future(serve(socket, told, once))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        _log.info("ended")


def main(arguments: list[str]) -> int:
    """Until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m bartizan.callout", description="Checks proofs and tokens for Envoy.")
    parser.add_argument("--socket", type=Path, required=True, help="where Envoy asks")
    parser.add_argument("--told", type=Path, required=True, help="where the node tells of issuers")
    parser.add_argument("--wanted", type=Path, required=True, help="the file that is there once some policy needs it")
    parser.add_argument("--nonce", action="store_true", help="demand a nonce of every proof: other gateways serve the same callers")
    read = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s callout %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would tell of each token that is asked about
    no_dumps()
    asyncio.run(_until_signalled(read.socket, read.told, Once(time.time(), always=read.nonce)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
