"""What was revoked stays so, whatever is restored: nodes know it, and the control plane learns it from them."""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from bartizan.identity.keys import KeyStore
from bartizan.secrets.keyring import load_or_create
from tests.e2e.gateway import free_port, upstream
from tests.e2e.node_rig import eventually
from tests.e2e.test_fleet_up import FILES, Up

CONSUMERS = "---\n{kind: Consumer, name: globex}\n---\n{kind: Consumer, name: initech}\n"
CONTROL = (
    "keys.journal",
    "brakes.journal",
    "store.db",
    "store.db-wal",
    "store.db-shm",
    "audit.head",
    "sequence",
    "generation",
    "fleet.journal",
)
"""What is the control plane's own in a state that it shares with a node."""


class Fleet(Up):
    """A gateway with one node on another machine."""

    edge: int = 0

    async def begin(self) -> None:
        own = ("--state", self.state, "--admin", f"127.0.0.1:{free_port()}", "--concurrency", 1)
        await self.start("up", "up", "-f", self.folder / "files", *own, "--nodes", f"127.0.0.1:{self.nodes}")

    async def join(self) -> None:
        token = (await self.told("node", "token", "--name", "edge", "--state", self.state)).strip()
        self.edge = free_port()
        own = ("--state", self.folder / "edge", "--listen", f"web=127.0.0.1:{self.edge}", "--concurrency", 1)
        await self.start("edge", "node", "run", *own, "--control", f"127.0.0.1:{self.nodes}", "--join", token)
        await self.both()

    async def both(self) -> None:
        def good(told: dict[str, object]) -> bool:
            nodes = told["nodes"]
            assert isinstance(nodes, list)
            return len(nodes) == 2 and all(node["acknowledged"] and node["kept"] and not node["lag"] for node in nodes)

        await self.until(good, 30)

    async def stop(self, name: str) -> None:
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 15)

    def key(self, consumer: str) -> tuple[str, str]:
        store = KeyStore(self.state / "keys.journal", load_or_create(self.state / "control.key"))
        made = store.new(consumer)
        store.close()
        return made.id, made.key.reveal()

    async def answers(self, port: int, key: str) -> int:
        async with httpx.AsyncClient() as client:
            try:
                return (await client.get(f"http://127.0.0.1:{port}/orders/1", headers={"x-api-key": key})).status_code
            except httpx.TransportError:
                return 0

    async def answer(self, key: str, status: int, seconds: float = 10) -> None:
        """Until both nodes answer so."""
        for port in (self.port, self.edge):

            async def so(port: int = port) -> bool:
                return await self.answers(port, key) == status

            await eventually(so, seconds)

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    with upstream() as backend:
        made = Fleet(tmp_path, free_port(), free_port())
        (tmp_path / "files").mkdir()
        text = FILES.replace("PORT", str(made.port)).replace("UPSTREAM", str(backend)) + CONSUMERS
        (tmp_path / "files" / "all.yaml").write_text(text)
        await made.begin()
        try:
            await made.until(lambda told: len(told["nodes"]) == 1 and told["nodes"][0]["acknowledged"])
            await made.join()
            yield made
        finally:
            for name in list(made.processes):
                await made.stop(name)


@pytest.mark.parametrize("whole", [False, True], ids=["the control plane's files", "all of the state"])
async def test_a_restored_backup_brings_back_no_key_and_lifts_no_block(fleet: Fleet, whole: bool) -> None:
    (ident, revoked), (_, blocked), (_, good) = fleet.key("acme"), fleet.key("globex"), fleet.key("initech")
    for key in (revoked, blocked, good):
        await fleet.answer(key, 200)
    await fleet.both()
    await fleet.stop("up")
    shutil.copytree(fleet.state, fleet.folder / "backup", ignore=shutil.ignore_patterns("*.sock"))
    await fleet.begin()
    await fleet.both()
    await fleet.told("key", "revoke", ident, "--state", fleet.state)
    late_ident, late = fleet.key("initech")
    await fleet.answer(late, 200)
    await fleet.told("key", "revoke", late_ident, "--state", fleet.state)
    await fleet.told("block", "--consumer", "globex", "--for", "1h", "--reason", "stolen", "--emergency", "--state", fleet.state)
    for key, status in ((revoked, 401), (late, 401), (blocked, 403)):
        await fleet.answer(key, status)
    await fleet.both()
    await fleet.stop("up")
    if whole:
        shutil.rmtree(fleet.state)
        shutil.copytree(fleet.folder / "backup", fleet.state)
    else:
        for name in CONTROL:
            (fleet.state / name).unlink(missing_ok=True)
            if (fleet.folder / "backup" / name).exists():
                shutil.copy2(fleet.folder / "backup" / name, fleet.state / name)
    seen: set[tuple[int, int]] = set()

    async def probe() -> None:
        while True:
            seen.add((await fleet.answers(fleet.edge, revoked), await fleet.answers(fleet.edge, blocked)))
            await asyncio.sleep(0.01)

    probing = asyncio.create_task(probe())
    await fleet.begin()
    await fleet.both()
    for key, status in ((revoked, 401), (late, 401), (blocked, 403), (good, 200)):
        await fleet.answer(key, status)
    await fleet.told("block", "--consumer", "initech", "--for", "1h", "--reason", "test", "--emergency", "--state", fleet.state)
    await fleet.answer(good, 403)  # it takes what is new
    probing.cancel()
    assert seen == {(401, 403)}, "the node that knew better never let them in"
    told = await fleet.status()
    (warning,) = [one for one in told["warnings"] if "taken over from node" in one]
    assert "2 revoked keys and 1 block" in warning
    assert "taken over from node" in await fleet.told("status", "--state", fleet.state)
    assert "taken over from node" in fleet.said("up")
    log = json.loads(await fleet.told("audit", "list", "--json", "--state", fleet.state))
    assert "revocations.take-over" in json.dumps(log)
    listed = await fleet.told("key", "list", "--state", fleet.state)
    assert ident not in listed
    await fleet.stop("up")
    await fleet.begin()  # it is in its own journals now
    await fleet.both()
    assert not [one for one in (await fleet.status())["warnings"] if "taken over" in one]
    for key, status in ((revoked, 401), (late, 401), (blocked, 403)):
        await fleet.answer(key, status)


async def test_a_node_that_hears_nothing_for_max_stale_takes_no_keys_until_it_hears_again(fleet: Fleet) -> None:
    (_, key), files = fleet.key("acme"), fleet.folder / "files" / "all.yaml"
    await fleet.answer(key, 200)
    public = "---\n{kind: Api, name: open, paths: [/open], upstream: 'http://127.0.0.1:9'}\n---\n{kind: Public, name: all, target: {api: open}, reason: x}\n"
    text = files.read_text().replace("name: edge\n", "name: edge\nmax_stale: 4s\n") + public
    files.write_text(text)
    await eventually(lambda: _reaches(fleet, "/open", 503), 10)
    await fleet.both()
    await asyncio.sleep(6)
    assert [await fleet.answers(port, key) for port in (fleet.port, fleet.edge)] == [200, 200], "it is heard all the while"
    process = fleet.processes["up"]
    control = fleet.pid("up", "bartizan.app")
    os.kill(control, signal.SIGSTOP)  # it hangs, and its connections stand
    try:
        await asyncio.sleep(2)
        assert await fleet.answers(fleet.edge, key) == 200
        await fleet.answer(key, 401, 6)
        assert await _reaches(fleet, "/open", 503), "all else goes on"
        assert "API keys are refused until it is heard" in fleet.said("edge")
        node = fleet.pid("edge", "bartizan.node")
        os.kill(node, signal.SIGKILL)
        os.kill(fleet.pid("edge", "envoy.json"), signal.SIGKILL)
        await eventually(lambda: _reaches(fleet, "/open", 503), 15)
        for _ in range(20):
            assert await fleet.answers(fleet.edge, key) in {401, 0}, "a restart doesn't make it fresh"
            await asyncio.sleep(0.1)
    finally:
        os.kill(control, signal.SIGCONT)
    await fleet.answer(key, 200, 15)
    assert process.returncode is None
    assert "API keys are taken again" in fleet.said("edge")


async def _reaches(fleet: Fleet, path: str, status: int) -> bool:
    async with httpx.AsyncClient() as client:
        try:
            return (await client.get(f"http://127.0.0.1:{fleet.edge}{path}")).status_code == status
        except httpx.TransportError:
            return False
