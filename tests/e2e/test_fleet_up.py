"""`bartizan up --nodes` and `bartizan node`: a whole gateway with nodes beside it, by the command line alone."""

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.gateway import free_port, upstream
from tests.e2e.node_rig import children, eventually

FILES = """kind: Gateway
name: edge
listeners: [{name: web, address: '127.0.0.1:PORT'}]
---
{kind: Api, name: orders, paths: [/orders], upstream: 'http://127.0.0.1:UPSTREAM'}
---
{kind: Consumer, name: acme}
---
{kind: Authenticate, name: keys, target: {api: orders}, any: [api_key]}
---
{kind: Authorize, name: all, target: {api: orders}, allow: 'true'}
"""


@dataclass
class Up:
    """What was started."""

    folder: Path
    port: int
    nodes: int
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    async def start(self, name: str, *arguments: object) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            argv = (sys.executable, "-m", "bartizan.cli.main", *map(str, arguments))
            self.processes[name] = await asyncio.create_subprocess_exec(*argv, stdout=log, stderr=log, env={**os.environ, "NO_COLOR": "1"})

    async def control(self) -> None:
        """The control plane with its own node."""
        admin = ("--admin", f"127.0.0.1:{free_port()}", "--nodes", f"127.0.0.1:{self.nodes}", "--concurrency", 1)
        await self.start("up", "up", "-f", self.folder / "files", "--state", self.state, *admin)

    async def told(self, *arguments: object, status: int = 0) -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bartizan.cli.main", *map(str, arguments)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "NO_COLOR": "1"},
        )
        text = (await process.communicate())[0].decode()
        assert process.returncode == status, text
        return text

    async def status(self) -> dict[str, Any]:
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(self.state / "run" / "api.sock"))) as client:
            return dict((await client.get("http://control/status")).json())

    async def until(self, holds: Callable[[dict[str, Any]], bool], seconds: float = 20) -> None:
        async def so() -> bool:
            try:
                return holds(await self.status())
            except httpx.HTTPError:
                return False

        await eventually(so, seconds)

    def pid(self, name: str, of: str) -> int:
        return next(pid for pid in children(self.processes[name].pid) if of in Path(f"/proc/{pid}/cmdline").read_text())


@asynccontextmanager
async def upped(folder: Path, files: str, beside: Path | None = None) -> AsyncIterator[Up]:
    """`bartizan up` with these files and a door for nodes, started, with what its test starts beside it ended. `beside`: a folder of
    further files."""
    with upstream() as backend:
        made = Up(folder, free_port(), free_port())
        shutil.copytree(beside, folder / "files") if beside is not None else (folder / "files").mkdir()
        (folder / "files" / "all.yaml").write_text(files.replace("PORT", str(made.port)).replace("UPSTREAM", str(backend)))
        await made.control()
        try:
            await made.until(lambda told: bool(told["nodes"]) and all(node["acknowledged"] for node in told["nodes"]))
            yield made
        finally:
            for process in made.processes.values():
                if process.returncode is None:
                    process.terminate()
            await asyncio.gather(*(asyncio.wait_for(process.wait(), 10) for process in made.processes.values()))


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Up]:
    async with upped(tmp_path, FILES) as made:
        yield made


async def _asks(port: int, key: str) -> int:
    try:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"http://127.0.0.1:{port}/orders", headers={"x-api-key": key})).status_code
    except httpx.HTTPError:
        return 0


async def test_a_fleet_from_the_first_token_to_a_removed_node(up: Up) -> None:
    key, revoked = [json.loads(await up.told("key", "new", "acme", "--json", "--state", up.state)) for _ in range(2)]
    ports = {"edge-1": free_port(), "edge-2": free_port()}
    for name, port in ports.items():
        token = (await up.told("node", "token", "--name", name, "--state", up.state)).strip()
        where = ("--state", up.folder / name, "--control", f"127.0.0.1:{up.nodes}", "--listen", f"web=127.0.0.1:{port}")
        await up.start(name, "node", "run", "--join", token, *where, "--concurrency", 1)
    good = ("acknowledged", "kept", "connected", "envoy")
    await up.until(lambda told: len(told["nodes"]) == 3 and all(node[one] for node in told["nodes"] for one in good))
    ports["local"] = up.port
    for port in ports.values():
        await eventually(lambda port=port: _is(port, key["key"], 200))
    text = await up.told("status", "--state", up.state)
    assert "is active on 3/3 nodes" in text and "node edge-1: " in text
    # A revoked key is refused on all of them within a second.
    await up.told("key", "revoke", revoked["id"], "--state", up.state)
    began = time.monotonic()
    for port in ports.values():
        await eventually(lambda port=port: _is(port, revoked["key"], 401), 2)
    assert time.monotonic() - began < 1.5
    # With the control plane killed, nodes serve on, also after a restart of their own.
    os.kill(up.processes["up"].pid, signal.SIGKILL)
    await up.processes.pop("up").wait()
    for which in ("bartizan.node", "envoy.json"):
        os.kill(up.pid("edge-1", which), signal.SIGKILL)
    await eventually(lambda: _is(ports["edge-1"], key["key"], 200), 15)
    assert await _asks(ports["edge-1"], revoked["key"]) == 401
    listed = json.loads(await up.told("node", "list", "--json", "--state", up.state))
    assert [node["name"] for node in listed["nodes"]] == ["edge-1", "edge-2"]
    assert json.loads(await up.told("node", "trust", "--json", "--state", up.folder / "edge-1"))["keys"] == [listed["release_key"]]
    # It comes back, and finds them again; one is removed.
    admin = f"127.0.0.1:{free_port()}"
    await up.start("up", "up", "-f", up.folder / "files", "--state", up.state, "--admin", admin, "--nodes", f"127.0.0.1:{up.nodes}")
    await up.until(lambda told: len(told["nodes"]) == 3 and all(node["acknowledged"] and not node["lag"] for node in told["nodes"]))
    await up.told("node", "remove", "edge-2", "--state", up.state)
    await up.until(lambda told: [node["node_id"] for node in told["nodes"]] == ["edge-1", "local"], 2)
    assert "isn't there" not in await up.told("node", "list", "--state", up.state)
    assert "no node 'edge-2'" in await up.told("node", "remove", "edge-2", "--state", up.state, status=1)


async def _is(port: int, key: str, wanted: int) -> bool:
    return await _asks(port, key) == wanted


async def test_what_cant_be_done_is_told_in_a_sentence(tmp_path: Path) -> None:
    made = Up(tmp_path, 0, 0)
    assert "never joined" in await made.told("node", "run", "--state", tmp_path / "new", status=1)
    assert "--control" in await made.told("node", "run", "--join", "bzn_x", "--state", tmp_path / "new", status=1)
    assert "mistyped or cut" in await made.told(
        "node", "run", "--join", "bzn_x", "--control", "127.0.0.1:1", "--state", tmp_path / "new", status=1
    )
    assert "isn't an address" in await made.told("node", "run", "--control", "nowhere", status=64)
    assert "isn't a while" in await made.told("node", "token", "--for", "soon", "--state", tmp_path / "c", status=64)
    assert "1 to 63 of" in await made.told("node", "token", "--name", "Bad Name", "--state", tmp_path / "c", status=1)
    assert "already" in await made.told("node", "token", "--name", "local", "--state", tmp_path / "c", status=1)
    token = (await made.told("node", "token", "--state", tmp_path / "c")).strip()
    nobody = ("--control", f"127.0.0.1:{free_port()}", "--state", tmp_path / "new")
    assert "can't be asked" in await made.told("node", "run", "--join", token, *nobody, status=1)
    assert "isn't a public key" in await made.told("node", "trust", "12", "--state", _joined(tmp_path), status=1)


def _joined(folder: Path) -> Path:
    (folder / "joined").mkdir()
    (folder / "joined" / "trust.json").write_text('{"keys": []}')
    return folder / "joined"
