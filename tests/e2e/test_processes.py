"""What happens to a gateway when its processes are stopped, killed, or can't start: traffic goes on, and people get a sentence."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.e2e.gateway import Gateway, free_port, gateway, upstream
from tests.e2e.node_rig import children, eventually, listens

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
blocking: {attempts: 1000000}
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Consumer
name: acme
---
kind: Authenticate
name: callers
any: [api_key]
"""
RULE = '\n---\nkind: Authorize\nname: rule\nallow: request.method == "METHOD"\n'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gw(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    with upstream() as port:
        async with gateway(tmp_path_factory.mktemp("processes"), {"all.yaml": FILES.replace("UPSTREAM", str(port))}) as made:
            yield made


async def _key(gw: Gateway) -> dict[str, str]:
    _, key = gw.new_key("acme")
    await gw.eventually(lambda: _is(gw, key, 200))
    return {"x-api-key": key}


async def _is(gw: Gateway, key: str, status: int) -> bool:
    try:
        return (await gw.get("/orders", headers={"x-api-key": key})).status_code == status
    except httpx.HTTPError:
        return False


async def _judged(gw: Gateway, headers: dict[str, str]) -> None:
    """Every policy goes on."""
    assert (await gw.get("/orders", headers=headers)).status_code == 200
    assert (await gw.get("/orders")).status_code == 401
    assert (await gw.get("/orders", headers={"x-api-key": "bz_wrong"})).status_code == 401


@pytest.mark.parametrize("which", ["bartizan.app", "bartizan.node"])
async def test_a_stopped_process_changes_nothing_for_callers(gw: Gateway, which: str) -> None:
    headers = await _key(gw)
    pid = gw.pid(which)
    os.kill(pid, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            await _judged(gw, headers)
    finally:
        os.kill(pid, signal.SIGCONT)
    await gw.eventually(lambda: _is(gw, headers["x-api-key"], 200))


@pytest.mark.parametrize("which", ["bartizan.app", "bartizan.node"])
async def test_a_killed_process_is_back_and_edits_flow_again(gw: Gateway, which: str) -> None:
    headers = await _key(gw)
    base = (gw.files / "all.yaml").read_text()
    os.kill(gw.pid(which), signal.SIGKILL)
    for _ in range(10):
        await _judged(gw, headers)

    async def connected() -> bool:
        try:
            nodes = (await gw.status())["nodes"]
        except httpx.HTTPError:
            return False
        return bool(nodes) and all(node["connected"] and node["acknowledged"] for node in nodes)

    await gw.eventually(connected, 15)
    (gw.files / "all.yaml").write_text(base + RULE.replace("METHOD", "DELETE"))
    await gw.eventually(lambda: _is(gw, headers["x-api-key"], 403))
    (gw.files / "all.yaml").write_text(base)
    await gw.eventually(lambda: _is(gw, headers["x-api-key"], 200))


async def test_a_killed_envoy_is_back_with_the_same_revision(gw: Gateway) -> None:
    headers = await _key(gw)
    before = (await gw.status())["revision"]
    os.kill(gw.pid("envoy"), signal.SIGKILL)
    began = time.monotonic()
    await gw.eventually(lambda: _is(gw, headers["x-api-key"], 200))
    took = time.monotonic() - began
    assert took < 3, f"{took:.1f} s"
    await _judged(gw, headers)
    answer = await gw.get("/orders", headers=headers)
    assert (await gw.record(answer))["revision"] == before


async def test_a_killed_supervisor_leaves_no_orphan(tmp_path: Path) -> None:
    with upstream() as port:
        async with gateway(tmp_path, {"all.yaml": FILES.replace("UPSTREAM", str(port))}) as gw:
            pids = [gw.pid(which) for which in ("bartizan.app", "bartizan.node", "envoy")]
            gw.process.kill()
            await gw.process.wait()

            async def all_gone() -> bool:
                return not any(_alive(pid) for pid in pids)

            await gw.eventually(all_gone)


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


async def test_after_all_ended_it_starts_from_what_was_there(tmp_path: Path) -> None:
    with upstream() as port:
        files = {"all.yaml": FILES.replace("UPSTREAM", str(port))}
        async with gateway(tmp_path, files) as gw:
            _, key = gw.new_key("acme")
            await gw.eventually(lambda: _is(gw, key, 200))
        async with gateway(tmp_path, files) as gw:
            assert await _is(gw, key, 200)


async def _up(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    """Runs `bartizan up` that is expected to end by itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bartizan.cli.main",
        "up",
        *("--state", str(tmp_path / "state"), "--admin", f"127.0.0.1:{free_port()}"),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 120)
    left = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit() and str(tmp_path) in _command(entry)]
    assert not left, "something was left running"
    return process.returncode or 0, said.decode()


def _command(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


async def test_what_keeps_it_from_starting_is_a_sentence(tmp_path: Path) -> None:
    good = tmp_path / "good.yaml"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        good.write_text(FILES.replace("{port}", str(port)).replace("UPSTREAM", "9"))
        status, said = await _up(tmp_path, "-f", str(good))
        assert (status, f"127.0.0.1:{port} of listener 'web' can't be used" in said) == (1, True), said
        good.write_text(FILES.replace("{port}", str(free_port())).replace("UPSTREAM", "9"))
        status, said = await _up(tmp_path, "-f", str(good), "--admin", f"127.0.0.1:{port}")
        assert (status, f"127.0.0.1:{port}" in said) == (1, True), said
        status, said = await _up(tmp_path, "-f", str(good), "--nodes", f"127.0.0.1:{port}")
        assert (status, f"127.0.0.1:{port} of --nodes can't be used" in said) == (1, True), said
    bad = tmp_path / "bad.yaml"
    bad.write_text(FILES.replace("{port}", "8080").replace("UPSTREAM", "9").replace("kind: Api", "kind: Apl"))
    status, said = await _up(tmp_path, "-f", str(bad))
    assert status == 1
    assert "bad.yaml:7" in said
    assert "Did you mean Api?" in said
    status, said = await _up(tmp_path, "-f", str(tmp_path / "nowhere.yaml"))
    assert (status, "doesn't exist" in said) == (1, True)
    status, said = await _up(tmp_path, "-f", str(good), "--envoy", "/bin/true")
    assert (status, "/bin/true" in said) == (1, True)
    status, said = await _up(tmp_path, "-f", str(good), "--envoy", "/nowhere/envoy")
    assert (status, "--envoy" in said) == (1, True)
    assert "Traceback" not in said


async def test_the_door_for_nodes_isnt_taken_for_somebody_elses(tmp_path: Path) -> None:
    """The control plane opens it as soon as the files are good: on a busy machine before whoever started it goes on."""
    files, nodes, admin = tmp_path / "good.yaml", free_port(), free_port()
    files.write_text(FILES.replace("{port}", str(free_port())).replace("UPSTREAM", "9"))
    own = ("--state", str(tmp_path / "state"), "--admin", f"127.0.0.1:{admin}", "--nodes", f"127.0.0.1:{nodes}")
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bartizan.cli.main", "up", "-f", str(files), *own)
    try:
        await eventually(lambda: bool(children(process.pid)), 60)
        process.send_signal(signal.SIGSTOP)
        await eventually(lambda: listens(nodes), 60)
        process.send_signal(signal.SIGCONT)
        await eventually(lambda: listens(admin), 60)
        await asyncio.sleep(1)
        assert process.returncode is None
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0


async def test_with_its_keys_on_another_disk_a_state_tells_nothing_and_all_goes_on(tmp_path: Path) -> None:
    keys = Path("/dev/shm") / f"bartizan-keys-{os.getpid()}"
    try:
        with upstream() as port:
            files = {"all.yaml": FILES.replace("UPSTREAM", str(port))}
            async with gateway(tmp_path, files, arguments=("--key-folder", keys)) as gw:
                headers = await _key(gw)
                assert sorted(path.name for path in keys.iterdir()) == ["control.key", "node.key"]
                assert not {"control.key", "node.key"} & {path.name for path in gw.state.iterdir()}
                assert "same disk" not in gw.log()
                for which in ("bartizan.app", "bartizan.node"):
                    os.kill(gw.pid(which), signal.SIGKILL)
                await gw.eventually(lambda: _is(gw, headers["x-api-key"], 200), 15)
                ident, other = gw.new_key("acme")  # from another process, which finds the keys by itself
                await gw.eventually(lambda: _is(gw, other, 200), 15)
                gw.revoke(ident)
                await gw.eventually(lambda: _is(gw, other, 401), 15)
    finally:
        for path in keys.glob("*"):
            path.unlink()
        keys.rmdir()
