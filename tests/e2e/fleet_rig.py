"""A fleet in the test: a control plane with a door, and nodes with real Envoys that joined it over TLS, each with its own address."""

import asyncio
import os
import sys
from pathlib import Path

import httpx

from bartizan.fleet.authority import Authority
from bartizan.fleet.door import Door
from bartizan.fleet.intake import Intake
from bartizan.fleet.registry import Registry
from bartizan.lib.sockets import socket_folder
from bartizan.node.options import control_socket
from bartizan.secrets.keyring import load_or_create
from bartizan.xds.asking import token_text
from bartizan.xds.control import ControlServer, NodeStatus, Patience
from bartizan.xds.release import Outcome, Release, Resource, Step
from tests.e2e.gateway import free_port
from tests.e2e.node_rig import children, eventually
from tests.signing import SIGNER


class Pipe:
    """What lies between a node and the control plane: it forwards, is cut, or swallows everything."""

    def __init__(self, to: int) -> None:
        self._to = to
        self.port = free_port()
        self.swallows = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._met, "127.0.0.1", self.port)

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers |= {writer, back}
        tasks = {asyncio.create_task(self._pump(reader, back)), asyncio.create_task(self._pump(there, writer))}
        self._tasks |= tasks
        await asyncio.wait(tasks)
        self._tasks -= tasks

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                while self.swallows:
                    await asyncio.sleep(0.02)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def cut(self) -> None:
        """Ends all connections, and takes no new ones until `start`."""
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        for writer in self._writers:
            writer.close()
        self._writers.clear()
        self._server = None


class Node:
    """One machine of the fleet: `bartizan node run` with its Envoy."""

    def __init__(self, fleet: "FleetRig", name: str) -> None:
        self.fleet, self.name = fleet, name
        self.state = fleet.folder / name
        self.port = free_port()
        self.pipe = Pipe(fleet.port)
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}")
        self.process: asyncio.subprocess.Process | None = None

    async def up(self, *arguments: str, token: str = "", wait: bool = True) -> None:
        if self.pipe._server is None:
            await self.pipe.start()
        join = ("--control", f"127.0.0.1:{self.pipe.port}", "--join", token, "--name", self.name) if token else ()
        options = ("--state", self.state, "--listen", f"web=127.0.0.1:{self.port}", "--concurrency", "1", *join, *arguments)
        with (self.fleet.folder / f"{self.name}.log").open("ab") as log:
            argv = (sys.executable, "-m", "bartizan.cli.main", "node", "run", *map(str, options))
            self.process = await asyncio.create_subprocess_exec(*argv, stdout=log, stderr=log, env={**os.environ, "NO_COLOR": "1"})
        if wait:
            await eventually(lambda: self.status().envoy, 15)

    def said(self) -> str:
        return (self.fleet.folder / f"{self.name}.log").read_text()

    def status(self) -> NodeStatus:
        return next(node for node in self.fleet.control.nodes() if node.node_id == self.name)

    async def serves(self, text: str) -> bool:
        try:
            return (await self.client.get("/")).text == text
        except httpx.TransportError:
            return False

    def pid(self, of: str) -> int:
        assert self.process
        return next(pid for pid in children(self.process.pid) if of in Path(f"/proc/{pid}/cmdline").read_text())

    async def down(self) -> None:
        if self.process and self.process.returncode is None:
            self.process.terminate()
            await asyncio.wait_for(self.process.wait(), 8)

    async def leave(self) -> None:
        await self.client.aclose()
        await self.down()
        await self.pipe.cut()


class FleetRig:
    """The control plane in the test, and its nodes."""

    def __init__(self, folder: Path, patience: Patience | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self.state = folder / "control"
        self.nodes: list[Node] = []
        self.sequence = 0
        self.envelope = load_or_create(self.state / "control.key")
        self.authority = Authority(self.state / "fleet.authority", self.envelope)
        self.registry = Registry(self.state / "fleet.journal", self.envelope)
        self.patience = patience or Patience()
        self.lifetime_s = 3600.0
        self.bounds = 64 << 20, 1 << 30

    async def start(self) -> None:
        socket_folder(self.state)
        self.control = ControlServer(control_socket(self.state), SIGNER, patience=self.patience)
        self.control.roster = lambda: {node.name: node.group for node in self.registry.nodes()}
        self.intake = Intake(self.state / "records", lambda: self.bounds)
        self.door = Door(("127.0.0.1", self.port), self.control, self.registry, self.authority, self.intake)
        self.door.lifetime_s = self.lifetime_s
        await self.control.start()
        await self.door.start()
        self.watch = asyncio.create_task(self.door.watch())

    async def stop(self) -> None:
        self.watch.cancel()
        await self.door.stop()
        await self.control.stop()
        self.intake.close()

    async def leave(self) -> None:
        await asyncio.gather(*(node.leave() for node in self.nodes))
        await self.stop()

    def token(self, group: str = "default", seconds: float = 60, name: str = "") -> str:
        secret = self.registry.token(group, seconds, name)
        return token_text(bytes.fromhex(secret.reveal()), self.authority.fingerprint)

    def node(self, name: str) -> Node:
        self.nodes.append(Node(self, name))
        return self.nodes[-1]

    async def publish(self, *changed: Resource) -> dict[str, Outcome]:
        self.sequence += 1
        return await self.control.publish(Release(self.control.next_sequence(), f"r{self.sequence}", self.sequence, (Step(changed),)))
