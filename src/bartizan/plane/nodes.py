"""The control plane's side of all its nodes: the one beside it, over a unix socket, and those of other machines, over TLS."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from bartizan.admin.options import ControlOptions
from bartizan.fleet.authority import Authority
from bartizan.fleet.door import Door
from bartizan.fleet.intake import Intake
from bartizan.fleet.registry import Registry
from bartizan.lib.supervise import supervised
from bartizan.model.gateway import Records
from bartizan.node.options import control_socket
from bartizan.node.trust import write_trust
from bartizan.rollout.sequence import Sequence
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.keyring import load_or_create
from bartizan.secrets.signing import SigningKey
from bartizan.store import Event
from bartizan.xds.control import ControlServer
from bartizan.xds.plan import in_order


class Nodes:
    """What nodes connect to. The node beside it trusts the key of the state that both share."""

    def __init__(self, options: ControlOptions) -> None:
        state = options.state
        envelope = load_or_create(state / "control.key")
        key = release_key(state, envelope)
        write_trust(state, [key.public])
        self.server = ControlServer(control_socket(state), key, plan=in_order, sequences=Sequence(state / "sequence"))
        kept = Records()
        self.intake = Intake(state / "records", lambda: (kept.rotate, kept.keep))
        """Takes what nodes of other machines ship; to be told how much of it is kept."""
        self._door: Door | None = None
        self._watch: asyncio.Task[None] | None = None
        if options.nodes:
            fleet = registry(state, envelope)
            host, _, port = options.nodes.rpartition(":")
            self.server.roster = lambda: {node.name: node.group for node in fleet.nodes()}
            address = host.removeprefix("[").removesuffix("]"), int(port)
            self._door = Door(address, self.server, fleet, authority(state, envelope), self.intake)

    async def start(self) -> None:
        """Lets nodes in. Unavailable if an address can't be used."""
        await self.server.start()
        if self._door:
            await self._door.start()
            self._watch = asyncio.create_task(supervised("the watch over the fleet", self._door.watch))

    def tell(self, done: Callable[[Event], None], refused: Callable[[Event], None]) -> None:
        """To whom it is told which nodes joined, and who was refused."""
        if self._door:
            self._door.done, self._door.refused = done, refused

    async def stop(self) -> None:
        """Sends them away."""
        if self._watch:
            self._watch.cancel()
        if self._door:
            await self._door.stop()
        await self.server.stop()
        self.intake.close()


def registry(state: Path, envelope: Envelope) -> Registry:
    """Who belongs to the fleet of a control plane with this state."""
    return Registry(state / "fleet.journal", envelope)


def authority(state: Path, envelope: Envelope) -> Authority:
    """Its authority, made if there is none."""
    return Authority(state / "fleet.authority", envelope)


def release_key(state: Path, envelope: Envelope) -> SigningKey:
    """What releases are signed by: not what signs revisions, so that it can be replaced while those stay readable."""
    return SigningKey(state / "release.key", envelope)
