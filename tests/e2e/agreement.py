"""A candidate that is the active revision agrees with it on all that was recorded."""

import json
from typing import Any

from tests.e2e.gateway import Gateway
from tests.e2e.test_remote import bartizan


async def agrees(gw: Gateway) -> dict[str, Any]:
    """What the replay of everything so far tells. That the active revision agrees with itself, and nothing is left untold."""
    last = await gw.get("/nothing-is-here")
    await gw.record(last)
    told: dict[str, Any] = json.loads((await bartizan("replay", "--state", gw.state, "--json", "--candidate", gw.files)).stdout)
    assert (told["verdict"], told["groups"], told["untold"]) == ("ok", [], 0), told
    assert told["same"] == told["judged"]
    return told
