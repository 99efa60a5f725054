"""What a control plane needs to know, and where it answers the command line."""

import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from bartizan.lib.sockets import socket_folder

ADMIN = "127.0.0.1:9180"
"""Where health and metrics are served unless someone says otherwise."""


Agents: TypeAlias = Literal["off", "read", "propose"]
"""What agents may do over MCP at the admin API's door: nothing, read, or propose changes too, if their role lets them."""
AGENTS: tuple[Agents, ...] = get_args(Agents)


def api_socket(state: Path) -> Path:
    """Where a control plane with this state answers the command line."""
    return socket_folder(state) / "api.sock"


@dataclass(frozen=True, slots=True)
class Door:
    """Where the admin API is served over TCP. Beyond loopback it speaks TLS, or isn't served."""

    address: str
    certificate: Path | None = None
    private_key: Path | None = None
    agents: Agents = "read"

    def problem(self) -> str | None:
        """What is wrong with it."""
        if (self.certificate is None) != (self.private_key is None):
            return "The admin API needs both a certificate and its private key, or neither."
        try:
            loopback = ip_address(self.address.rpartition(":")[0].strip("[]")).is_loopback
        except ValueError:
            return f"{self.address!r} isn't an IP address and port, such as 127.0.0.1:9181."
        if self.certificate is None and not loopback:
            return f"The admin API on {self.address} needs TLS: give --api-certificate and --api-private-key."
        return self._pair_problem()

    def _pair_problem(self) -> str | None:
        if self.certificate is None or self.private_key is None:
            return None
        try:
            # A key that asks for a password would ask at every start.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.private_key, password="")
        except OSError as error:  # SSLError is one
            told = error.strerror or str(error)
            return f"The certificate {self.certificate} and the private key {self.private_key} of the admin API can't be used: {told}."
        return None


@dataclass(frozen=True, slots=True)
class ControlOptions:
    """Where things are."""

    files: Path
    state: Path
    admin: str = ADMIN
    """Where /healthz, /readyz and /metrics are served; loopback."""
    store: str = ""
    """The URL of the store; empty for the one embedded in the state."""
    nodes: str = ""
    """Where nodes of other machines come in, as ADDRESS:PORT; nowhere if empty."""
    door: Door | None = None
    """Where the admin API is served over TCP; nowhere if None."""
