"""What happens on a node of another machine is seen by the control plane: explained, blocked, counted; whatever ends in between."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.fleet_rig import FleetRig
from tests.e2e.gateway import free_port
from tests.e2e.node_rig import eventually, listener, routes
from tests.e2e.test_fleet_up import FILES, Up, upped

BLOCKING = FILES.replace("listeners:", "blocking: {attempts: 8, window: 60s, duration: 60s, exempt: [127.0.0.9/32]}\nlisteners:", 1)


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Up]:
    async with upped(tmp_path, BLOCKING) as made:
        yield made


async def edge(up: Up, name: str) -> int:
    """Another machine that has joined; the port it listens on."""
    port = free_port()
    token = (await up.told("node", "token", "--name", name, "--state", up.state)).strip()
    file = up.folder / f"{name}.token"
    file.write_text(token + "\n")
    where = ("--state", up.folder / name, "--control", f"127.0.0.1:{up.nodes}", "--listen", f"web=127.0.0.1:{port}")
    await up.start(name, "node", "run", "--join-file", file, *where, "--concurrency", 1)
    await up.until(lambda told: any(node["node_id"] == name and node["acknowledged"] and node["kept"] for node in told["nodes"]))
    return port


async def ask(port: int, key: str = "", source: str = "127.0.0.1", count: int = 1) -> list[httpx.Response]:
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(local_address=source)) as client:
        return [await client.get(f"http://127.0.0.1:{port}/orders", headers={"x-api-key": key} if key else {}) for _ in range(count)]


def shipped(up: Up, name: str) -> Path:
    return up.state / "records" / "nodes" / name


def ids(folder: Path) -> list[str]:
    return [json.loads(line)["request_id"] for path in sorted(folder.glob("requests*.jsonl")) for line in path.read_bytes().splitlines()]


async def test_what_a_far_node_decides_is_explained_counted_and_replayed(up: Up) -> None:
    port = await edge(up, "edge-1")
    key = json.loads(await up.told("key", "new", "acme", "--json", "--state", up.state))["key"]
    await eventually(lambda: _let_in(port, key))
    refused = (await ask(port))[0]
    assert refused.status_code == 401
    began = time.monotonic()
    folder = shipped(up, "edge-1")
    await eventually(lambda: folder.exists() and refused.headers["x-request-id"] in ids(folder), 15)
    print(f"a record is there after {time.monotonic() - began:.2f} s")
    told = json.loads(await up.told("explain", refused.headers["x-request-id"], "--json", "--state", up.state))
    assert told["record"]["node"] == "edge-1" and told["decision"]["by"] == "Authenticate/keys"
    impact = json.loads(
        await up.told("block", "--consumer", "acme", "--dry-run", "--json", "--state", up.state, "--for", "1h", "--reason", "x")
    )
    assert impact["matched"] >= 1
    replayed = json.loads(await up.told("replay", "--candidate", up.folder / "files", "--json", "--state", up.state))
    assert replayed["requests"] >= 2
    text = await up.told("status", "--state", up.state)
    assert "records came" in text and "none come now" not in text
    await up.told("node", "remove", "edge-1", "--state", up.state)
    await up.until(lambda told: [node["node_id"] for node in told["nodes"]] == ["local"], 2)
    await ask(port, key)
    count = len(ids(shipped(up, "edge-1")))
    await asyncio.sleep(1)
    assert len(ids(shipped(up, "edge-1"))) == count, "a removed node ships nothing more"


async def _let_in(port: int, key: str) -> bool:
    try:
        return (await ask(port, key))[0].status_code == 200
    except httpx.HTTPError:
        return False


async def test_a_source_that_fails_anywhere_is_blocked_everywhere(up: Up) -> None:
    one, two = await edge(up, "edge-1"), await edge(up, "edge-2")
    # Some of the attempts on each: no node alone has seen enough of them.
    for port, count in ((one, 3), (two, 3), (up.port, 2)):
        assert {answer.status_code for answer in await ask(port, "bzk_wrong", "127.0.0.5", count)} == {401}
    began = time.monotonic()
    for port in (one, two, up.port):
        await eventually(lambda port=port: _blocked(port), 5)
    took = time.monotonic() - began
    print(f"blocked everywhere after {took:.2f} s")
    assert took < 2
    assert (await ask(one, source="127.0.0.6"))[0].status_code == 401, "others aren't"


async def _blocked(port: int) -> bool:
    return (await ask(port, source="127.0.0.5"))[0].status_code == 429


async def test_attempts_that_come_late_block_nobody(up: Up) -> None:
    await edge(up, "edge-1")
    old = [json.dumps({"time": str(int(time.time()) - 3600), "details": "x", "source": "192.0.2.7"})] * 50
    with (up.folder / "edge-1" / "records" / "failures.jsonl").open("a") as file:
        file.write("".join(line + "\n" for line in old))
    await up.until(lambda told: told["nodes"][0]["records"]["failures"]["records"] >= 50)
    await asyncio.sleep(0.5)
    assert not (await up.status())["blocked"]


async def test_killed_control_planes_and_nodes_lose_nothing_and_double_nothing(up: Up) -> None:
    port = await edge(up, "edge-1")
    key = json.loads(await up.told("key", "new", "acme", "--json", "--state", up.state))["key"]
    await eventually(lambda: _let_in(port, key))
    asked: list[str] = []
    stop = asyncio.Event()

    async def load() -> None:
        async with httpx.AsyncClient() as client:
            while not stop.is_set():
                answers = await asyncio.gather(
                    *(client.get(f"http://127.0.0.1:{port}/orders", headers={"x-api-key": key}) for _ in range(20))
                )
                asked.extend(answer.headers["x-request-id"] for answer in answers)
                await asyncio.sleep(0.01)

    task = asyncio.create_task(load())
    for turn in range(6):
        await asyncio.sleep(1.2)
        if turn % 2:
            os.kill(up.pid("edge-1", "bartizan.node"), signal.SIGKILL)
        else:
            os.kill(up.pid("up", "bartizan.app"), signal.SIGKILL)
    os.kill(up.processes["up"].pid, signal.SIGKILL)  # and the whole machine for a while
    await up.processes.pop("up").wait()
    await asyncio.sleep(2)
    await up.control()
    await asyncio.sleep(1)
    stop.set()
    await task
    await eventually(lambda: set(asked) <= set(ids(shipped(up, "edge-1"))), 30)
    found = ids(shipped(up, "edge-1"))
    assert len(found) == len(set(found))
    own = up.folder / "edge-1" / "records"
    assert found == ids(own)
    print(f"{len(asked)} requests over 7 kills, each recorded once and in order")
    told = next(node["records"] for node in (await up.status())["nodes"] if node["node_id"] == "edge-1")
    assert told["requests"]["lost"] == 0 and told["requests"]["refused"] == 0 and told["requests"]["records"] == len(found)


async def test_shadow_and_guards_see_what_happens_on_far_nodes_alone(up: Up) -> None:
    port, files = await edge(up, "edge-1"), up.folder / "files" / "all.yaml"
    key = json.loads(await up.told("key", "new", "acme", "--json", "--state", up.state))["key"]
    await eventually(lambda: _let_in(port, key))
    releases = "releases: {stages: [{shadow: {for: 20s, requests: 20}}], guards: {for: 20s}}\nlisteners:"
    before = (await up.status())["revision"]
    files.write_text(sound := files.read_text().replace("listeners:", releases, 1))
    await up.until(lambda told: told["revision"] not in {None, before})
    files.write_text(sound.replace("allow: 'true'", "allow: 'request.method == \"POST\"'"))
    assert "newly refused" in await failed(up, port, key)
    files.write_text(sound.replace("upstream: 'http://127.0.0.1:", "upstream: 'http://127.0.0.9:"))
    assert (await failed(up, port, key)).startswith("5xx: ")


async def failed(up: Up, port: int, key: str) -> str:
    """Why the next rollout failed, with callers on the far node all the while."""
    before = ((await up.status())["rollout"] or {}).get("number")
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        await ask(port, key, count=5)
        rollout = (await up.status())["rollout"]
        if rollout and rollout["number"] != before and rollout["status"] == "failed":
            return str(rollout["why"])
    raise AssertionError(rollout)


async def test_a_token_may_come_from_a_variable(up: Up) -> None:
    token = (await up.told("node", "token", "--name", "edge-1", "--state", up.state)).strip()
    os.environ["BARTIZAN_JOIN"] = token
    try:
        where = ("--control", f"127.0.0.1:{up.nodes}", "--listen", f"web=127.0.0.1:{free_port()}", "--state", up.folder / "edge-1")
        await up.start("edge-1", "node", "run", *where, "--concurrency", 1)
    finally:
        del os.environ["BARTIZAN_JOIN"]
    await up.until(lambda told: any(node["node_id"] == "edge-1" and node["acknowledged"] for node in told["nodes"]))
    for which in ("bartizan.node", "envoy.json"):
        assert token.encode() not in Path(f"/proc/{up.pid('edge-1', which)}/environ").read_bytes()
    assert "can't be read" in await up.told("node", "run", "--join-file", up.folder / "none", "--state", up.folder / "other", status=1)


async def test_a_flood_of_records_holds_up_no_release(tmp_path: Path) -> None:
    fleet = FleetRig(tmp_path)
    fleet.bounds = 4 << 20, 16 << 20
    await fleet.start()
    try:
        node = fleet.node("edge")
        await fleet.publish(listener(free_port()), routes("0"))
        await node.up(token=fleet.token())
        await eventually(lambda: node.serves("0"))
        line = json.dumps({"time": "2026-11-22T08:00:00.000Z", "request_id": "x", "user_agent": "y" * 600}) + "\n"
        (node.state / "records" / "requests.jsonl").write_text(line * 300_000)
        took, before = [], 0
        await eventually(lambda: taken(fleet) > 0)
        for number in range(1, 11):
            began, before = time.perf_counter(), taken(fleet)
            outcomes = await fleet.publish(routes(str(number)))
            took.append(time.perf_counter() - began)
            assert outcomes["edge"].acknowledged and await node.serves(str(number))
            await asyncio.sleep(0.05)
        assert before < taken(fleet) < 300_000, "records came all the time"
        print(f"releases amid a flood: {sorted(took)[5] * 1e3:.0f} ms, at most {max(took) * 1e3:.0f}")
        assert sorted(took)[5] < 0.5
        folder = fleet.state / "records" / "nodes" / "edge"
        assert sum(path.stat().st_size for path in folder.iterdir()) < 25 << 20
    finally:
        await fleet.leave()


def taken(fleet: FleetRig) -> int:
    told = fleet.intake.told("edge") or {}
    return int(told.get("requests", {}).get("records", 0))
