"""Asks the running control plane, over its unix socket. The client is imported when it is used: it takes longer than most commands."""

from pathlib import Path
from typing import Any

from bartizan.admin.options import api_socket
from bartizan.errors import Unavailable


def asked(state: Path, path: str) -> Any:
    """What the control plane answers to a GET. Unavailable if none runs with this state."""
    import httpx

    where = api_socket(state.absolute())
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(where)), timeout=10) as client:
            answer = client.get(f"http://control{path}")
    except httpx.HTTPError as error:
        raise Unavailable(
            f"No gateway runs with the state in {state}. Start one with `bartizan up`, or name its folder with --state."
        ) from error
    answer.raise_for_status()
    return answer.json()
