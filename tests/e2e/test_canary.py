"""A canary: a candidate decides on some nodes of a fleet, the active revision on the others, until someone or a guard has decided."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.gateway import free_port, upstream
from tests.e2e.node_rig import eventually
from tests.e2e.test_fleet_up import FILES, Up

RELEASES = "releases: {stages: [{canary: {nodes: [edge-1], for: 30s}}], guards: {for: 1s}}\n---"
DENY = {"target": {"api": "orders"}, "deny": ["127.0.0.0/8"]}


class Fleet(Up):
    """A gateway with one node beside its own."""

    ports: dict[str, int]
    key: str

    async def call(self, method: str, path: str, **body: Any) -> Any:
        """What the admin API answers."""
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(self.state / "run" / "api.sock")), timeout=20) as client:
            answer = await client.request(method, f"http://control{path}", json=body or None)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def answers(self) -> dict[str, int]:
        """What each node answers."""
        async with httpx.AsyncClient() as client:
            asked = {
                name: await client.get(f"http://127.0.0.1:{port}/orders", headers={"x-api-key": self.key})
                for name, port in self.ports.items()
            }
        return {name: answer.status_code for name, answer in asked.items()}

    async def until_answers(self, **wanted: int) -> None:
        """Waits until they are so."""

        async def so() -> bool:
            try:
                return await self.answers() == {name.replace("_", "-"): status for name, status in wanted.items()}
            except httpx.TransportError:
                return False

        await eventually(so, 15)

    async def until_rollout(self, **wanted: Any) -> dict[str, Any]:
        """Waits until the rollout is so."""
        told: dict[str, Any] = {}

        async def so() -> bool:
            told.update(await self.call("GET", "/v1/rollout"))
            return all(told[name] == value for name, value in wanted.items())

        await eventually(so, 20)
        return told


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    with upstream() as backend:
        made = Fleet(tmp_path, free_port(), free_port())
        (tmp_path / "files").mkdir()
        text = FILES.replace("PORT", str(made.port)).replace("UPSTREAM", str(backend)).replace("---", RELEASES, 1)
        (tmp_path / "files" / "all.yaml").write_text(text)
        options = ("--admin", f"127.0.0.1:{free_port()}", "--nodes", f"127.0.0.1:{made.nodes}", "--concurrency", 1)
        await made.start("up", "up", "-f", tmp_path / "files", "--state", made.state, *options)
        try:
            await made.until(lambda told: bool(told["nodes"]) and all(node["acknowledged"] for node in told["nodes"]))
            made.key = json.loads(await made.told("key", "new", "acme", "--json", "--state", made.state))["key"]
            made.ports = {"edge-1": free_port(), "local": made.port}
            token = (await made.told("node", "token", "--name", "edge-1", "--state", made.state)).strip()
            where = (
                "--state",
                tmp_path / "edge-1",
                "--control",
                f"127.0.0.1:{made.nodes}",
                "--listen",
                f"web=127.0.0.1:{made.ports['edge-1']}",
            )
            await made.start("edge-1", "node", "run", "--join", token, *where, "--concurrency", 1)
            await made.until_answers(edge_1=200, local=200)
            yield made
        finally:
            for process in made.processes.values():
                if process.returncode is None:
                    process.terminate()
            await asyncio.gather(*(asyncio.wait_for(process.wait(), 10) for process in made.processes.values()))


async def test_it_decides_on_its_nodes_alone_until_it_is_promoted(fleet: Fleet) -> None:
    before = (await fleet.status())["revision"]
    kept = await fleet.call("PUT", "/v1/resources/IpAccess/shut", **DENY)
    await fleet.until_answers(edge_1=403, local=200)
    told = await fleet.until_rollout(stage="canary", status="running")
    status = await fleet.status()
    assert {node["node_id"]: node["position"]["revision"] for node in status["nodes"]} == {"edge-1": kept["revision"], "local": before}
    # Live data holds on the canary too, within a second.
    made = json.loads(await fleet.told("key", "new", "acme", "--json", "--state", fleet.state))
    fleet.key, shown = made["key"], fleet.key
    await fleet.until_answers(edge_1=403, local=200)
    await fleet.told("key", "revoke", made["id"], "--state", fleet.state)
    await fleet.until_answers(edge_1=401, local=401)
    fleet.key = shown
    # For half a minute it would stay so; a person says it is enough.
    assert told["at"] == 0
    await fleet.call("POST", "/v1/rollout", what="promote")
    await fleet.until_answers(edge_1=403, local=403)
    await fleet.until_rollout(status="done")
    await fleet.until(
        lambda now: all(node["acknowledged"] and node["connected"] for node in now["nodes"]) and now["revision"] == kept["revision"]
    )


@pytest.mark.parametrize("how", ["abort", "rollback", "superseded"])
async def test_it_is_taken_back_from_its_nodes(fleet: Fleet, how: str) -> None:
    await fleet.call("PUT", "/v1/resources/IpAccess/shut", **DENY)
    await fleet.until_answers(edge_1=403, local=200)
    if how == "abort":
        await fleet.call("POST", "/v1/rollout", what="abort")
    elif how == "rollback":
        await fleet.call("POST", "/v1/rollback", reason="no", revision="1")
    else:
        await fleet.call("DELETE", "/v1/resources/IpAccess/shut")
    await fleet.until_answers(edge_1=200, local=200)
    await fleet.until(lambda now: all(node["acknowledged"] and node["connected"] for node in now["nodes"]))


async def test_a_pause_leaves_it_where_it_is(fleet: Fleet) -> None:
    await fleet.call("PUT", "/v1/resources/IpAccess/shut", **DENY)
    await fleet.until_answers(edge_1=403, local=200)
    await fleet.call("POST", "/v1/rollout", what="pause")
    await asyncio.sleep(0.5)
    assert await fleet.answers() == {"edge-1": 403, "local": 200}
    # Nor does a restart of the control plane take it back: that might let through what it refuses.
    os.kill(fleet.pid("up", "bartizan.app"), signal.SIGKILL)
    await fleet.until(lambda told: told["rollout"]["status"] == "paused" and len(told["nodes"]) == 2)
    await asyncio.sleep(1)
    await fleet.until_answers(edge_1=403, local=200)
    await asyncio.sleep(0.5)
    assert await fleet.answers() == {"edge-1": 403, "local": 200}
    await fleet.call("POST", "/v1/rollout", what="resume")
    await fleet.until_rollout(stage="canary", status="running")
    assert await fleet.answers() == {"edge-1": 403, "local": 200}
    await fleet.call("POST", "/v1/rollout", what="abort")
    await fleet.until_answers(edge_1=200, local=200)
