"""What an attacker hopes to find when something is broken: a control plane that is gone, files half there, a count that forgets."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.e2e import http2
from tests.e2e.gateway import Gateway, gateway, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

FRAME = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
attributes: {team: string}
blocking: {attempts: 4, window: 30s, duration: 6s, exempt: [127.0.0.1]}
---
{kind: Api, name: site, paths: [/], upstream: 'http://127.0.0.1:UPSTREAM'}
---
{kind: Api, name: orders, paths: [/orders], upstream: 'http://127.0.0.1:UPSTREAM'}
---
{kind: Public, name: site, target: {api: site}, reason: the site is for all}
---
{kind: Authenticate, name: orders, target: {api: orders}, any: [api_key]}
"""
CONSUMERS = "{kind: Consumer, name: acme, attributes: {team: red}}\n---\n{kind: Consumer, name: globex, attributes: {team: blue}}\n"
RULE = '{kind: Authorize, name: rule, target: {api: orders, paths: [PATH]}, allow: principal.team == "red"}\n'


class World:
    """A gateway and the keys of two consumers."""

    def __init__(self, gw: Gateway, port: int) -> None:
        self.gw, self.port = gw, port
        self.ids = {name: gw.new_key(name) for name in ("acme", "globex")}

    def key(self, name: str) -> dict[str, str]:
        return {"x-api-key": self.ids[name][1]}

    async def status(self, path: str, headers: dict[str, str] | None = None) -> int:
        try:
            return (await self.gw.client.get(path, headers=headers)).status_code
        except httpx.TransportError:
            return 0

    async def within(self, seconds: float, wanted: int, path: str, headers: dict[str, str] | None = None) -> None:
        async def so() -> bool:
            return await self.status(path, headers) == wanted

        await self.gw.eventually(so, seconds)

    async def connected(self) -> None:
        """That control plane and node are together again, and that what the node holds is on its disk."""

        async def so() -> bool:
            try:
                told = await self.gw.status()
            except httpx.HTTPError:
                return False
            nodes = [node for node in told["nodes"] if node["connected"] and node["acknowledged"] and node["kept"]]
            return bool(nodes) and all(node["position"]["revision"] == told["revision"] for node in nodes)

        await self.gw.eventually(so, 15)

    async def holds(self) -> None:
        """That every policy is as it was written."""
        wanted = {
            ("/orders", "acme"): 200,
            ("/orders", ""): 401,
            ("/orders/rule", "globex"): 403,
            ("/orders/rule", "acme"): 200,
            ("/x", ""): 200,
        }
        for (path, name), status in wanted.items():
            assert await self.status(path, self.key(name) if name else None) == status, (path, name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    with upstream() as port:
        files = {
            "frame.yaml": FRAME.replace("UPSTREAM", str(port)),
            "consumers.yaml": CONSUMERS,
            "rule.yaml": RULE.replace("PATH", "/orders/rule"),
        }
        async with gateway(tmp_path_factory.mktemp("resilience"), files) as gw:
            made = World(gw, port)
            await made.within(5, 200, "/orders", made.key("globex"))
            yield made


async def test_every_way_of_writing_a_file_is_noticed(world: World) -> None:
    rule, other = RULE.replace("PATH", "/orders/rule"), RULE.replace("PATH", "/orders/other")
    file = world.gw.files / "rule.yaml"

    async def now(wanted: str) -> None:
        await world.within(3, 403, wanted, world.key("globex"))

    fresh = world.gw.files / "rule.partial"
    fresh.write_text(other)
    fresh.rename(file)
    await now("/orders/other")
    file.unlink()
    await world.within(3, 200, "/orders/other", world.key("globex"))
    (world.gw.files / "below").mkdir()
    (world.gw.files / "below" / "rule.yml").write_text(rule)
    await now("/orders/rule")
    (world.gw.files / "below" / "rule.yml").unlink()
    # The way Kubernetes swaps a whole folder: a link to a link to a hidden folder.
    for name, text in (("..one", rule), ("..two", other)):
        (world.gw.files / name).mkdir()
        (world.gw.files / name / "rule.yaml").write_text(text)
    (world.gw.files / "..data").symlink_to("..one")
    file.symlink_to("..data/rule.yaml")
    await now("/orders/rule")
    (world.gw.files / "..new").symlink_to("..two")
    (world.gw.files / "..new").rename(world.gw.files / "..data")
    await now("/orders/other")
    # A link that leads nowhere is a mistake, not a policy less.
    (world.gw.files / "..data").unlink()
    told = await world.gw.until(lambda status: bool(status["refused"]))
    assert [problem["code"] for problem in told["refused"]] == ["file-unreadable"]
    assert await world.status("/orders/other", world.key("globex")) == 403
    file.unlink()
    await world.gw.edit("rule.yaml", rule)
    await world.holds()


@pytest.mark.parametrize(
    "text", ["\xff\xfe\x00", "a: &a [*a]\n", "kind: Authorize\nkind: Public\n", "{kind: Authorize, name: NO, allow: 'true'}", "- - - -"]
)
async def test_a_file_that_cant_be_read_is_refused_whole(world: World, text: str) -> None:
    before = (await world.gw.status())["revision"]
    (world.gw.files / "bad.yaml").write_bytes(text.encode("latin-1"))
    told = await world.gw.until(lambda status: bool(status["refused"]))
    assert all(problem["file"] == "bad.yaml" for problem in told["refused"])
    assert told["revision"] == before
    await world.holds()
    (world.gw.files / "bad.yaml").unlink()
    await world.gw.until(lambda status: not status["refused"])


# Processes that are gone


async def test_what_happens_while_the_control_plane_stands_still_counts_when_it_moves_again(world: World) -> None:
    ident, key = world.gw.new_key("acme")
    await world.within(2, 200, "/orders", {"x-api-key": key})
    pid = world.gw.pid("bartizan.app")
    os.kill(pid, signal.SIGSTOP)
    try:
        world.gw.revoke(ident)
        (world.gw.files / "rule.yaml").write_text(RULE.replace("PATH", "/orders/while"))
        for _ in range(20):
            await world.holds()
    finally:
        os.kill(pid, signal.SIGCONT)
    await world.within(2, 401, "/orders", {"x-api-key": key})
    await world.within(4, 403, "/orders/while", world.key("globex"))
    await world.gw.edit("rule.yaml", RULE.replace("PATH", "/orders/rule"))
    await world.holds()


async def test_an_envoy_that_dies_while_the_control_plane_stands_still_is_back_with_all_its_policies(world: World) -> None:
    control = world.gw.pid("bartizan.app")
    os.kill(control, signal.SIGSTOP)
    try:
        os.kill(world.gw.pid("envoy"), signal.SIGKILL)
        began = time.monotonic()
        seen = set()
        while (status := await world.status("/orders", world.key("acme"))) != 200:
            seen.add(status)
            assert time.monotonic() - began < 5
            await asyncio.sleep(0.02)
        assert seen <= {0, 503}, "before it had its policies it answered"
        await world.holds()
    finally:
        os.kill(control, signal.SIGCONT)
    await world.connected()


async def test_node_and_envoy_that_die_together_serve_what_was_kept(world: World) -> None:
    control = world.gw.pid("bartizan.app")
    os.kill(control, signal.SIGSTOP)
    try:
        for which in ("bartizan.node", "envoy"):
            os.kill(world.gw.pid(which), signal.SIGKILL)
        await world.within(10, 200, "/orders", world.key("acme"))
        await world.holds()
    finally:
        os.kill(control, signal.SIGCONT)
    await world.connected()
    await world.holds()


async def test_a_policy_that_is_told_as_kept_outlasts_a_kill_of_node_and_envoy(world: World) -> None:
    for turn in range(8):
        mine, other = ("/orders/rule", "/orders/other") if turn % 2 else ("/orders/other", "/orders/rule")
        await world.gw.edit("rule.yaml", RULE.replace("PATH", mine))
        await world.connected()
        control = world.gw.pid("bartizan.app")
        os.kill(control, signal.SIGSTOP)
        try:
            for which in ("bartizan.node", "envoy"):
                os.kill(world.gw.pid(which), signal.SIGKILL)
            await world.within(10, 200, "/orders", world.key("acme"))
            assert await world.status(mine, world.key("globex")) == 403
            assert await world.status(other, world.key("globex")) == 200
        finally:
            os.kill(control, signal.SIGCONT)
        await world.connected()
    await world.holds()


async def test_a_disk_that_fails_holds_up_no_edit_and_is_told_until_it_is_caught_up(world: World) -> None:
    async def said() -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bartizan.cli.main", "status", "--state", world.gw.state), stdout=asyncio.subprocess.PIPE
        )
        text = (await process.communicate())[0].decode()
        return process.returncode, next(line for line in text.splitlines() if line.startswith("  node"))

    status, line = await said()
    assert status == 0 and "acknowledged since" in line and ", kept, connected" in line
    folder = world.gw.state / "last-good"
    folder.rename(world.gw.state / "aside")
    folder.write_text("in the way")
    try:
        await world.gw.edit("rule.yaml", RULE.replace("PATH", "/orders/other"))
        await world.gw.edit("rule.yaml", RULE.replace("PATH", "/orders/rule"))
        await world.holds()
        status, line = await said()
        assert status == 1 and "acknowledged since" in line and ", not kept on its disk, connected" in line
    finally:
        folder.unlink()
    await world.connected()
    assert (folder / "journal").exists()


async def test_a_control_plane_that_restarts_among_bad_files_changes_nothing_until_they_are_good(world: World) -> None:
    before = await world.gw.status()
    (world.gw.files / "bad.yaml").write_text("kind: Authorise\nname: x\n")
    await world.gw.until(lambda status: bool(status["refused"]))
    os.kill(world.gw.pid("bartizan.app"), signal.SIGKILL)
    for _ in range(30):
        await world.holds()
        await asyncio.sleep(0.05)

    async def told() -> Any:
        try:
            return (await world.gw.status())["refused"]
        except httpx.HTTPError:
            return None

    await world.gw.eventually(told, 10)
    await world.connected()
    await world.holds()
    # What is live goes on, whatever is wrong with the files.
    ident, key = world.gw.new_key("acme")
    await world.within(2, 200, "/orders", {"x-api-key": key})
    world.gw.revoke(ident)
    await world.within(2, 401, "/orders", {"x-api-key": key})
    assert (await world.gw.status())["refused"]
    (world.gw.files / "bad.yaml").unlink()
    await world.connected()
    await world.gw.until(lambda status: not status["refused"] and status["revision"] == before["revision"])
    await world.holds()
    after = await world.gw.status()
    assert after["generation"] >= before["generation"] and after["sequence"] >= before["sequence"]


# Sources with many failed attempts


def _from(world: World, source: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=world.gw.url, transport=httpx.AsyncHTTPTransport(local_address=source))


async def _attempts(world: World, source: str, count: int, headers: dict[str, str], path: str = "/orders") -> list[int]:
    async with _from(world, source) as client:
        return [(await client.get(path, headers=headers)).status_code for _ in range(count)]


async def _is_blocked(world: World, source: str) -> bool:
    async with _from(world, source) as client:
        return (await client.get("/x")).status_code == 429


async def test_only_the_source_that_guesses_is_blocked_and_neither_a_restart_nor_an_edit_frees_it(world: World) -> None:
    assert await _attempts(world, "127.0.0.2", 4, {"x-api-key": "bz_guess"}) == [401] * 4
    began = time.monotonic()
    await world.gw.eventually(lambda: _is_blocked(world, "127.0.0.2"), 2)
    async with _from(world, "127.0.0.2") as client:
        for path, headers in (("/orders", world.key("acme")), ("/x", {}), ("/orders", {"x-forwarded-for": "10.9.8.7"})):
            assert (await client.get(path, headers=headers)).status_code == 429
    for source in ("127.0.0.3", "127.0.0.1"):
        async with _from(world, source) as client:
            assert (await client.get("/orders", headers=world.key("acme"))).status_code == 200
    frame = (world.gw.files / "frame.yaml").read_text()
    await world.gw.edit("frame.yaml", frame.replace("attempts: 4", "attempts: 40"))
    assert await _is_blocked(world, "127.0.0.2")
    os.kill(world.gw.pid("bartizan.app"), signal.SIGKILL)
    await world.connected()
    assert time.monotonic() - began > 5.5 or await _is_blocked(world, "127.0.0.2")

    async def free() -> bool:
        return not await _is_blocked(world, "127.0.0.2")

    await world.gw.eventually(free, 9)
    await world.gw.edit("frame.yaml", frame)


async def test_who_is_exempt_or_never_guesses_is_never_blocked(world: World) -> None:
    assert set(await _attempts(world, "127.0.0.1", 12, {"x-api-key": "bz_guess"})) == {401}
    # The upstream's own 401 is no failed attempt at the gateway, and neither is what is refused for other reasons.
    assert set(await _attempts(world, "127.0.0.4", 12, {**world.key("acme"), "x-answer": "401"})) == {401}
    assert set(await _attempts(world, "127.0.0.5", 12, world.key("globex"), "/orders/rule")) == {403}
    assert set(await _attempts(world, "127.0.0.6", 12, {"x-api-key": "bz_guess"}, "/x")) == {200}
    await asyncio.sleep(1.5)
    for source in ("127.0.0.1", "127.0.0.4", "127.0.0.5", "127.0.0.6"):
        assert not await _is_blocked(world, source), source


async def test_who_brings_no_credential_attempts_nothing(world: World) -> None:
    async with _from(world, "127.0.0.11") as client:
        for _ in range(8):
            assert (await client.get("/orders")).status_code == 401
        await asyncio.sleep(1)
        assert (await client.get("/x")).status_code == 200
        assert (await client.get("/orders", headers=world.key("acme"))).status_code == 200


@pytest.mark.parametrize("how", ["grpc", "token", "nothing good", "head"])
async def test_no_way_of_guessing_escapes_the_count(world: World, how: str) -> None:
    source = {"grpc": "127.0.0.1", "token": "127.0.0.7", "nothing good": "127.0.0.8", "head": "127.0.0.9"}[how]
    async with _from(world, source) as client:
        for _ in range(4):
            if how == "token":
                await client.get("/orders", headers={"authorization": "Bearer a.b.c"})
            elif how == "nothing good":
                await client.get("/orders", headers={"authorization": "Basic YTpi", "x-api-key": "bz_guess"})
            elif how == "head":
                await client.head("/orders", headers={"x-api-key": "bz_guess"})
            else:
                headers = http2.request("POST", "/orders", "a", ("x-api-key", "bz_guess"), ("content-type", "application/grpc"))
                assert (await http2.send(world.gw.port, headers, b"\0\0\0\0\0")).headers["grpc-status"] == "16"
    if how == "grpc":  # from the source that is exempt, so its attempts are looked for where they are counted
        await asyncio.sleep(0.4)
        assert (world.gw.state / "records" / "failures.jsonl").read_text().count("unknown_api_key") >= 4
    else:
        await world.gw.eventually(lambda: _is_blocked(world, source), 2)
