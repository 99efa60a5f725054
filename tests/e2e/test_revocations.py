"""What was revoked stays so, whatever is restored: nodes know it, and the control plane learns it from them."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from bartizan.identity.keys import KeyStore
from bartizan.secrets.keyring import load_or_create
from tests.e2e.gateway import free_port, upstream
from tests.e2e.node_rig import eventually
from tests.e2e.test_fleet_up import FILES, Up

CONSUMERS = "---\n{kind: Consumer, name: globex}\n---\n{kind: Consumer, name: initech}\n"
PUBLIC = """---
{kind: Api, name: open, paths: [/open], upstream: 'http://127.0.0.1:9'}
---
{kind: Public, name: all, target: {api: open}, reason: for everybody to try}
"""
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
        text = text.replace("name: edge\n", "name: edge\nblocking: {attempts: 1000000}\n", 1)
        (tmp_path / "files" / "all.yaml").write_text(text)
        await made.begin()
        try:
            await made.until(lambda told: len(told["nodes"]) == 1 and told["nodes"][0]["acknowledged"])
            await made.join()
            yield made
        finally:
            for name in list(made.processes):
                await made.stop(name)


def restore(fleet: Fleet, backup: Path, whole: bool) -> None:
    """Puts the control plane's files back, or all of the state, with what the node beside it knows."""
    if whole:
        shutil.rmtree(fleet.state)
        shutil.copytree(backup, fleet.state)
        return
    for name in CONTROL:
        (fleet.state / name).unlink(missing_ok=True)
        if (backup / name).exists():
            shutil.copy2(backup / name, fleet.state / name)


async def backed_up(fleet: Fleet, to: Path) -> None:
    await fleet.both()
    await fleet.stop("up")
    shutil.copytree(fleet.state, to, ignore=shutil.ignore_patterns("*.sock"))
    await fleet.begin()
    await fleet.both()


async def block(fleet: Fleet, consumer: str) -> None:
    what = ("--consumer", consumer, "--for", "1h", "--reason", "stolen", "--emergency")
    await fleet.told("block", *what, "--state", fleet.state)


@dataclass
class Keys:
    """Three of them, and one that is made later."""

    ident: str
    revoked: str
    blocked: str
    good: str
    late: str = ""

    async def stand(self, fleet: Fleet) -> None:
        for key, status in ((self.revoked, 401), (self.late, 401), (self.blocked, 403), (self.good, 200)):
            await fleet.answer(key, status)


async def revoked(fleet: Fleet) -> Keys:
    """Two keys are revoked after a backup, one of them also made after it, and a consumer is blocked."""
    keys = Keys(*fleet.key("acme"), fleet.key("globex")[1], fleet.key("initech")[1])
    for key in (keys.revoked, keys.blocked, keys.good):
        await fleet.answer(key, 200)
    await backed_up(fleet, fleet.folder / "backup")
    await fleet.told("key", "revoke", keys.ident, "--state", fleet.state)
    ident, keys.late = fleet.key("initech")
    await fleet.answer(keys.late, 200)
    await fleet.told("key", "revoke", ident, "--state", fleet.state)
    await block(fleet, "globex")
    await keys.stand(fleet)
    await fleet.both()
    return keys


async def told_of(fleet: Fleet) -> None:
    """It is in the status, the log and the audit log."""
    (warning,) = [one for one in (await fleet.status())["warnings"] if "taken over from node" in one]
    assert "2 revoked keys and 1 block" in warning
    assert "taken over from node" in await fleet.told("status", "--state", fleet.state)
    assert "taken over from node" in fleet.said("up")
    assert "revocations.take-over" in await fleet.told("audit", "list", "--json", "--state", fleet.state)


@pytest.mark.parametrize("whole", [False, True], ids=["the control plane's files", "all of the state"])
async def test_a_restored_backup_brings_back_no_key_and_lifts_no_block(fleet: Fleet, whole: bool) -> None:
    keys = await revoked(fleet)
    await fleet.stop("up")
    restore(fleet, fleet.folder / "backup", whole)
    seen: set[tuple[int, int]] = set()

    async def probe() -> None:
        while True:
            seen.add((await fleet.answers(fleet.edge, keys.revoked), await fleet.answers(fleet.edge, keys.blocked)))
            await asyncio.sleep(0.05)

    probing = asyncio.create_task(probe())
    await fleet.begin()
    await fleet.both()
    await keys.stand(fleet)
    probing.cancel()
    assert seen == {(401, 403)}, "the node that knew better never let them in"
    await told_of(fleet)
    assert keys.ident not in await fleet.told("key", "list", "--state", fleet.state)
    await fleet.stop("up")
    await fleet.begin()  # it is in its own journals now
    await fleet.both()
    assert not [one for one in (await fleet.status())["warnings"] if "taken over" in one]
    await keys.stand(fleet)
    await block(fleet, "initech")
    await fleet.answer(keys.good, 403)  # nodes take what is new


async def test_a_node_that_hears_nothing_for_max_stale_takes_no_keys_until_it_hears_again(fleet: Fleet) -> None:
    (_, key), files = fleet.key("acme"), fleet.folder / "files" / "all.yaml"
    await fleet.answer(key, 200)
    files.write_text(files.read_text().replace("name: edge\n", "name: edge\nmax_stale: 4s\n", 1) + PUBLIC)
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
