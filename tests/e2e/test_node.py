"""A node, its Envoy and their supervisor, against a control plane that runs in the test."""

import asyncio
import os
import signal
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from bartizan.envoy import extension, message, packed
from bartizan.node.options import admin_socket, control_socket
from bartizan.node.stats import Admin
from bartizan.xds import Outcome, Release, Resource, Step, resource
from bartizan.xds.control import ControlServer, NodeStatus
from bartizan.xds.release import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SCOPE

BY_ADS = {"resource_api_version": "V3", "ads": {}}
HTTP = "envoy.extensions.filters.http"
ROUTER = extension("router", message(f"{HTTP}.router.v3.Router"))


def made(type_url: str, **fields: object) -> Resource:
    body = message(type_url.rpartition("/")[2], **fields).SerializeToString(deterministic=True)
    return resource(type_url, str(fields.get("name") or fields["cluster_name"]), body)


def listener(port: int, name: str = "web", **routing: object) -> Resource:
    manager = packed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="web",
        **{"http_filters": [ROUTER], **(routing or {"rds": {"route_config_name": "main", "config_source": BY_ADS}})},
    )
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    chain = {"filters": [{"name": "hcm", "typed_config": manager}]}
    return made(LISTENER, name=name, address=address, filter_chains=[chain], enable_reuse_port={"value": False})


def routes(text: str, name: str = "main", **route: object) -> Resource:
    action = route or {"direct_response": {"status": 200, "body": {"inline_string": text}}}
    hosts = [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **action}]}]
    return made(ROUTES, name=name, virtual_hosts=hosts)


def scopes(port: int, name: str = "web") -> Resource:
    builder = {"fragments": [{"header_value_extractor": {"name": "x-scope", "element_separator": "#", "index": 0}}]}
    scoped = {"name": "scopes", "scope_key_builder": builder, "rds_config_source": BY_ADS}
    return listener(port, name, scoped_routes={**scoped, "scoped_rds": {"scoped_rds_config_source": BY_ADS}})


def scope(name: str) -> Resource:
    return made(SCOPE, name=name, route_configuration_name=name, key={"fragments": [{"string_key": name}]})


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Rig:
    """The test's control plane and one supervised node."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.port = free_port()
        self.control = ControlServer(control_socket(state))
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}")
        self.supervisor: asyncio.subprocess.Process | None = None
        self.sequence = 0

    async def up(self, *arguments: str, wait: bool = True) -> None:
        options = ("--state", self.state, "--control", control_socket(self.state), "--node-id", "n1", "--concurrency", "1", *arguments)
        log = (self.state.parent / "supervisor.log").open("ab")
        self.supervisor = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bartizan.node.supervisor", *map(str, options)),
            stdout=log,
            stderr=log,
            env={**os.environ, "TZDIR": "/nowhere"},
        )
        log.close()
        if wait:
            await eventually(lambda: self.node().envoy)

    def said(self) -> str:
        return (self.state.parent / "supervisor.log").read_text()

    async def down(self) -> None:
        await self.client.aclose()
        if self.supervisor and self.supervisor.returncode is None:
            self.supervisor.terminate()
            await asyncio.wait_for(self.supervisor.wait(), 6)
        await self.control.stop()

    def node(self) -> NodeStatus:
        return next(node for node in self.control.nodes() if node.node_id == "n1")

    async def publish(self, *changed: Resource, removed: tuple[tuple[str, str], ...] = ()) -> Outcome:
        self.sequence += 1
        release = Release(self.sequence, f"r{self.sequence}", 1, (Step(changed, removed),))
        return (await self.control.publish(release)).get("n1", Outcome(False))

    async def text(self, **headers: str) -> str:
        return (await self.client.get("/", headers=headers)).text

    async def serves(self, text: str) -> bool:
        try:
            return await self.text() == text
        except httpx.TransportError:
            return False

    def pid(self, of: str) -> int:
        """The supervised process whose command line holds `of`."""
        assert self.supervisor
        return next(pid for pid in children(self.supervisor.pid) if of in Path(f"/proc/{pid}/cmdline").read_text())


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def eventually(check: object, seconds: float = 8.0) -> float:
    """How long it took until `check()` was true."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        try:
            result = check()  # type: ignore[operator]
            if await result if asyncio.iscoroutine(result) else result:
                return time.monotonic() - started
        except StopIteration:
            pass
        await asyncio.sleep(0.005)
    raise AssertionError(f"not within {seconds} s")


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path / "state")
    await rig.control.start()
    try:
        yield rig
    finally:
        await rig.down()


async def test_boots_and_serves_what_is_published(rig: Rig) -> None:
    await rig.publish(listener(rig.port), routes("one"))
    await rig.up()
    assert await eventually(lambda: rig.serves("one")) < 5
    await eventually(lambda: rig.node().acknowledged)
    assert rig.node().position.revision == "r1"


async def test_a_release_that_comes_to_a_blank_envoy_is_waited_for(rig: Rig) -> None:
    await rig.up(wait=False)
    await eventually(lambda: bool(rig.control.nodes()))
    outcome = await rig.publish(listener(rig.port), routes("one"))
    assert outcome.acknowledged, outcome
    assert await rig.text() == "one"


async def test_an_edit_is_acknowledged_in_milliseconds_among_a_thousand(rig: Rig) -> None:
    names = [f"s{i}" for i in range(1000)]
    await rig.publish(scopes(rig.port), *map(scope, names), *(routes(name, name) for name in names))
    await rig.up()
    await eventually(lambda: rig.node().acknowledged)
    took: list[float] = []
    for i in range(50):
        started = time.perf_counter()
        outcome = await rig.publish(routes(f"edit {i}", "s7"))
        took.append(time.perf_counter() - started)
        assert outcome.acknowledged
        assert await rig.text(**{"x-scope": "s7"}) == f"edit {i}"
    assert await rig.text(**{"x-scope": "s8"}) == "s8"
    print(f"publish to outcome: {statistics.median(took) * 1000:.1f} ms (median), {max(took) * 1000:.1f} ms (max)")
    assert statistics.median(took) < 0.03


async def test_a_refused_release_is_undone_whole(rig: Rig) -> None:
    await rig.publish(listener(rig.port), routes("one"))
    await rig.up()
    await eventually(lambda: rig.serves("one"))
    key = "bz_aVERYSECRETKEYOFACONSUMER"
    twice = packed(
        f"{HTTP}.api_key_auth.v3.ApiKeyAuth", credentials=[{"key": key, "client": c} for c in "ab"], key_sources=[{"header": "x"}]
    )
    bad = listener(rig.port, route_config={"name": "other"}, http_filters=[{"name": "keys", "typed_config": twice}, ROUTER])
    outcome = await rig.publish(routes("two"), bad)
    assert outcome.error and "Duplicated credential key" in outcome.error
    assert key not in outcome.error
    assert rig.node().error == outcome.error
    assert rig.node().position.revision == "r1"
    assert await rig.text() == "one"
    assert key not in rig.said()
    assert key not in (rig.state / "envoy.log").read_text()
    assert (await rig.publish(routes("three"))).acknowledged
    assert await rig.text() == "three"
    assert rig.node().error is None


async def test_a_killed_envoy_is_back_within_a_second(rig: Rig) -> None:
    await rig.publish(listener(rig.port), routes("one"))
    await rig.up()
    await eventually(lambda: rig.serves("one"))
    await rig.publish(routes("two"))
    for _ in range(2):
        killed = rig.pid("envoy.json")
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda killed=killed: not running(killed))
        assert await eventually(lambda: rig.serves("two")) < 1
    await eventually(lambda: rig.node().acknowledged)


async def test_a_killed_node_harms_no_traffic(rig: Rig) -> None:
    await rig.publish(listener(rig.port), routes("one"))
    await rig.up()
    await eventually(lambda: rig.serves("one"))
    envoy, node = rig.pid("envoy.json"), rig.pid("bartizan.node")
    os.kill(node, signal.SIGKILL)
    until = time.monotonic() + 2
    while time.monotonic() < until:
        assert await rig.text() == "one"
    await eventually(lambda: rig.node().acknowledged)
    assert rig.pid("envoy.json") == envoy
    assert rig.pid("bartizan.node") != node
    assert (await rig.publish(routes("two"))).acknowledged
    assert await rig.text() == "two"


async def test_serves_the_last_good_without_a_control_plane(rig: Rig) -> None:
    await rig.publish(listener(rig.port), routes("one"))
    await rig.up()
    await eventually(lambda: rig.serves("one"))
    await rig.publish(routes("two"))
    await asyncio.sleep(0.5)
    await rig.control.stop()
    os.kill(rig.pid("bartizan.node"), signal.SIGKILL)
    os.kill(rig.pid("envoy.json"), signal.SIGKILL)
    assert await eventually(lambda: rig.serves("two")) < 5


async def test_without_a_state_no_listener_opens(rig: Rig) -> None:
    await rig.control.stop()
    await rig.up(wait=False)
    await eventually(lambda: "nothing to serve yet" in rig.said())
    await eventually(lambda: bool(rig.pid("envoy.json")))
    await asyncio.sleep(1)
    with pytest.raises(httpx.ConnectError):
        await rig.text()


@pytest.mark.parametrize("damage", ["resource", "manifest", "missing", "swapped", "key"])
async def test_a_tampered_state_is_refused_whole(rig: Rig, damage: str) -> None:
    await rig.publish(listener(rig.port), routes("one"), routes("unused", "other"))
    await rig.up()
    await eventually(lambda: rig.serves("one"))
    await asyncio.sleep(0.6)
    assert rig.supervisor
    rig.supervisor.terminate()
    await rig.supervisor.wait()
    await rig.control.stop()
    tamper(rig.state, damage)
    await rig.up(wait=False)
    await eventually(lambda: "can't be trusted" in rig.said())
    await asyncio.sleep(1.5)
    with pytest.raises(httpx.ConnectError):
        await rig.text()
    rig.control = ControlServer(control_socket(rig.state))
    await rig.control.start()
    await rig.publish(listener(rig.port), routes("again"))
    await eventually(lambda: rig.serves("again"))
    await eventually(lambda: rig.node().acknowledged and rig.node().error is None)


def tamper(state: Path, damage: str) -> None:
    manifest = state / "last-good" / "manifest"
    first, second, *_ = sorted(path for path in manifest.parent.iterdir() if path != manifest)
    if damage == "key":
        return (state / "node.key").write_bytes(bytes(32)) and None
    if damage == "missing":
        return first.unlink()
    if damage == "swapped":
        return first.write_bytes(second.read_bytes()) and None
    path = manifest if damage == "manifest" else first
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


async def test_nothing_outlives_a_killed_supervisor(rig: Rig) -> None:
    await rig.publish(listener(rig.port), routes("one"))
    await rig.up()
    await eventually(lambda: rig.serves("one"))
    assert rig.supervisor
    pids = children(rig.supervisor.pid)
    assert len(pids) == 2
    rig.supervisor.kill()
    await rig.supervisor.wait()
    await eventually(lambda: not any(map(running, pids)), 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_everything(rig: Rig, number: signal.Signals) -> None:
    await rig.publish(listener(rig.port), routes("one"))
    await rig.up()
    await eventually(lambda: rig.serves("one"))
    assert rig.supervisor
    pids = children(rig.supervisor.pid)
    rig.supervisor.send_signal(number)
    assert await asyncio.wait_for(rig.supervisor.wait(), 5) == 0
    assert not any(map(running, pids))


async def test_an_envoy_that_cannot_start_ends_everything_with_a_sentence(rig: Rig, tmp_path: Path) -> None:
    broken = tmp_path / "envoy"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "x version: 0/1.40.7/Clean/RELEASE/BoringSSL" || exit 3\n')
    broken.chmod(0o755)
    await rig.up("--envoy", str(broken), wait=False)
    assert rig.supervisor
    assert await asyncio.wait_for(rig.supervisor.wait(), 10) == 1
    assert rig.said().splitlines()[-1].startswith("Envoy ended with status 3")
    assert "5 times in a row" in rig.said()


@pytest.mark.parametrize(
    ("script", "sentence"),
    [(None, "No such file"), ("#!/bin/sh\necho 'v version: 0/1.39.2/Clean'", "is Envoy 1.39.2"), ("#!/bin/sh\nexit 1", "isn't an Envoy")],
)
async def test_an_envoy_that_does_not_fit_is_refused_at_once(rig: Rig, tmp_path: Path, script: str | None, sentence: str) -> None:
    envoy = tmp_path / "envoy"
    if script:
        envoy.write_text(script)
        envoy.chmod(0o755)
    await rig.up("--envoy", str(envoy), wait=False)
    assert rig.supervisor
    assert await asyncio.wait_for(rig.supervisor.wait(), 5) == 1
    assert sentence in rig.said()


async def test_a_taken_port_is_told_by_name(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", rig.port)):
        await rig.up(wait=False)
        await eventually(lambda: bool(rig.control.nodes()))
        outcome = await rig.publish(listener(rig.port), routes("one"))
    assert outcome.error and f"cannot bind '127.0.0.1:{rig.port}'" in outcome.error


async def test_a_second_node_on_the_same_state_is_refused(rig: Rig) -> None:
    await rig.publish(listener(rig.port), routes("one"))
    await rig.up()
    second = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bartizan.node", "--state", rig.state, "--control", control_socket(rig.state), "--node-id", "n2"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(second.communicate(), 10)
    assert second.returncode == 78
    assert b"Another node is running" in said


async def test_two_listeners_share_scopes_and_a_new_scope_serves_at_once(rig: Rig) -> None:
    other = free_port()
    await rig.publish(scopes(rig.port), scopes(other, "more"), scope("a"), routes("a", "a"))
    await rig.up()
    await eventually(lambda: rig.node().acknowledged)
    assert (await rig.publish(scope("b"), routes("b", "b"))).acknowledged
    for port in (rig.port, other):
        for name in ("a", "b"):
            assert httpx.get(f"http://127.0.0.1:{port}/", headers={"x-scope": name}).text == name
    await rig.publish(removed=((SCOPE, "a"), (ROUTES, "a")))
    assert httpx.get(f"http://127.0.0.1:{other}/", headers={"x-scope": "a"}).status_code == 404
    assert (await rig.publish(scope("a"), routes("a2", "a"))).acknowledged
    assert await rig.text(**{"x-scope": "a"}) == "a2"


async def test_a_changed_cluster_keeps_its_endpoints(rig: Rig) -> None:
    upstream = free_port()
    echo = listener(upstream, "upstream", route_config=routes_inline("from the upstream"))
    await rig.publish(listener(rig.port), echo, cluster(1), endpoints(upstream), routes("", **{"route": {"cluster": "up"}}))
    await rig.up()
    await eventually(lambda: rig.serves("from the upstream"))
    for seconds in (2, 3):
        outcome = await rig.publish(cluster(seconds))
        assert outcome.acknowledged and outcome.took_s < 1
        assert await eventually(lambda: warm(rig.state), 3) < 2
        assert await rig.text() == "from the upstream"


def routes_inline(text: str) -> dict[str, object]:
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": text}}}
    return {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [answer]}]}


def cluster(seconds: int) -> Resource:
    return made(CLUSTER, name="up", type="EDS", connect_timeout={"seconds": seconds}, eds_cluster_config={"eds_config": BY_ADS})


def endpoints(port: int) -> Resource:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return made(ENDPOINTS, cluster_name="up", endpoints=[{"lb_endpoints": [{"endpoint": {"address": address}}]}])


async def warm(state: Path) -> bool:
    admin = Admin(admin_socket(state))
    try:
        return "envoy_cluster_manager_warming_clusters{} 0" in await admin.prometheus()
    finally:
        await admin.close()


async def test_envoy_has_time_zones_where_the_machine_has_none(rig: Rig) -> None:
    """The supervisor is started with a TZDIR that leads nowhere, which is what Envoy would read if it weren't given another."""
    await rig.publish(listener(rig.port, http_filters=[hours(), ROUTER], route_config=routes_inline("told")))
    await rig.up()
    await eventually(lambda: rig.serves("told"))


def hours() -> dict[str, object]:
    """Lets a request pass if its hour in Berlin can be told: `request.time.getHours("Europe/Berlin") >= 0`."""
    time_ = {"select_expr": {"operand": {"ident_expr": {"name": "request"}}, "field": "time"}}
    zone = {"const_expr": {"string_value": "Europe/Berlin"}}
    hour = {"call_expr": {"target": time_, "function": "getHours", "args": [zone]}}
    told = {"call_expr": {"function": "_>=_", "args": [hour, {"const_expr": {"int64_value": 0}}]}}
    matcher = packed("xds.type.matcher.v3.CelMatcher", expr_match={"cel_expr_parsed": {"expr": told}})
    seen = {"name": "request", "typed_config": packed("xds.type.matcher.v3.HttpAttributesCelMatchInput")}
    predicate = {"single_predicate": {"input": seen, "custom_match": {"name": "cel", "typed_config": matcher}}}
    allow, deny = (
        {"action": {"name": name, "typed_config": packed("envoy.config.rbac.v3.Action", name=name, action=name.upper())}}
        for name in ("allow", "deny")
    )
    matchers = {"matcher_list": {"matchers": [{"predicate": predicate, "on_match": allow}]}, "on_no_match": deny}
    return extension("hours", message(f"{HTTP}.rbac.v3.RBAC", matcher=matchers))
