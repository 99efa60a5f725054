"""An HTTP server within a process that does other things too: signals stay the process's, and it binds before it serves."""

import socket
from typing import Any

import uvicorn

from bartizan.errors import Unavailable


class _Quiet(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """Signals are the process's own matter."""


def server(app: Any, **more: Any) -> uvicorn.Server:
    """A server for an ASGI application: `serve([socket])` runs it until it is cancelled or told `should_exit`."""
    return _Quiet(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", server_header=False, **more))


def bound(address: str, what: str) -> socket.socket:
    """A socket at `host:port`. Unavailable, telling of `what` it would be for, if it can't be had."""
    host, _, port = address.rpartition(":")
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host.strip("[]"), int(port)))
    except (OSError, ValueError, OverflowError) as error:  # the last for ports that are none
        made.close()
        raise Unavailable(f"The address {address} for {what} can't be used: {error}.") from error
    return made
