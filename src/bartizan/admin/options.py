"""What a control plane needs to know, and where it answers the command line."""

from dataclasses import dataclass
from pathlib import Path

from bartizan.lib.sockets import socket_folder

ADMIN = "127.0.0.1:9180"
"""Where health and metrics are served unless someone says otherwise."""


def api_socket(state: Path) -> Path:
    """Where a control plane with this state answers the command line."""
    return socket_folder(state) / "api.sock"


@dataclass(frozen=True, slots=True)
class ControlOptions:
    """Where things are."""

    files: Path
    state: Path
    admin: str = ADMIN
    """Where /healthz, /readyz and /metrics are served; loopback."""
