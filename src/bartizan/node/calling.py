"""Says that the call-out is needed, as soon as Envoy holds a filter that asks it."""

from pathlib import Path

from bartizan.envoy.names import PROOFS
from bartizan.xds.release import EXTENSION
from bartizan.xds.server import AdsServer

_ASKS = b"ext_authz"


async def call(server: AdsServer, wanted: Path) -> None:
    """Makes the file once it is needed. It stays: whoever needed it will again, and a process that waits costs little."""
    while True:
        held = server.state.of(EXTENSION).get(PROOFS)
        if held is not None and _ASKS in held.body:
            wanted.touch()
            return
        await server.changed()
