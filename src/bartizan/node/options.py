"""Who a node is, and where its things are."""

from dataclasses import dataclass
from pathlib import Path

from bartizan.lib.sockets import socket_folder


def control_socket(state: Path) -> Path:
    """Where a control plane with this state listens for its nodes."""
    return socket_folder(state) / "control.sock"


def ads_socket(state: Path) -> Path:
    """Where a node with this state serves its Envoy."""
    return socket_folder(state) / "ads.sock"


def admin_socket(state: Path) -> Path:
    """Where the Envoy of a node with this state answers about itself."""
    return socket_folder(state) / "admin.sock"


def callout_socket(state: Path) -> Path:
    """Where the call-out of a node with this state is asked."""
    return socket_folder(state) / "callout.sock"


def callout_told(state: Path) -> Path:
    """Where the node tells the call-out which issuers are asked about tokens."""
    return socket_folder(state) / "callout-told.sock"


def callout_wanted(state: Path) -> Path:
    """The file that is there once the call-out is needed."""
    return socket_folder(state) / "callout.wanted"


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What a node needs to know."""

    state: Path
    control: Path | None
    """The unix socket of the control plane. None if that is on another machine: what the node got when it joined says where."""
    node_id: str
    """Its name; on another machine its certificate says it."""
    listen: tuple[str, ...] = ()
    """Other addresses for listeners, as `node/listening.py` reads them."""
    ends: int | None = None
    """The node's socket to its supervisor, which ends connections of Envoy's."""
    alone: bool = False
    """Whether no other node serves the same callers."""

    @property
    def key(self) -> Path:
        return self.state / "node.key"

    @property
    def last_good(self) -> Path:
        return self.state / "last-good"


@dataclass(frozen=True, slots=True)
class EnvoyOptions:
    """What an operator may say about a node's Envoy."""

    binary: Path | None = None
    """The pinned one if None."""
    concurrency: int | None = None
    """Worker threads; as many as cores if None."""
    max_connections: int = 50_000
