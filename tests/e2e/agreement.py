"""A candidate that is the active revision agrees with it on all that was recorded."""

import json
from typing import Any

from tests.e2e.gateway import Gateway
from tests.e2e.test_remote import bartizan


async def agrees(gw: Gateway, *, judged: int, untold: int = 0) -> None:
    """A replay of everything so far. That the active revision agrees with itself on this many requests at least, and which are untold."""
    last = await gw.get("/nothing-is-here")
    await gw.record(last)
    told: dict[str, Any] = json.loads((await bartizan("replay", "--state", gw.state, "--json", "--candidate", gw.files)).stdout)
    assert (told["verdict"], told["groups"], told["untold"]) == ("ok", [], untold), told
    assert told["same"] == told["judged"] >= judged, told
