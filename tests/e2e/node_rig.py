"""A control plane in the test, one supervised node with a real Envoy, and trivial configurations for it."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from bartizan.envoy import extension, message, packed
from bartizan.node.options import admin_socket, control_socket
from bartizan.node.stats import Admin
from bartizan.xds import Outcome, Release, Resource, Step, resource
from bartizan.xds.control import ControlServer, NodeStatus
from bartizan.xds.release import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SCOPE
from tests.e2e.gateway import free_port
from tests.signing import SIGNER, believing

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


class Rig:
    """The test's control plane and one supervised node."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.port = free_port()
        believing(state)
        self.control = ControlServer(control_socket(state), SIGNER)
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


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def eventually(check: Callable[[], bool | Awaitable[bool]], seconds: float = 8.0) -> float:
    """How long it took until `check()` was true."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        try:
            result = check()
            if result if isinstance(result, bool) else await result:
                return time.monotonic() - started
        except StopIteration:
            pass
        await asyncio.sleep(0.005)
    raise AssertionError(f"not within {seconds} s")


def tamper(state: Path, damage: str) -> None:
    journal = state / "last-good" / "journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) >= 3
    if damage == "missing":
        del lines[1]
    elif damage == "swapped":
        lines[1:3] = lines[2], lines[1]
    else:
        which = {"state": 0, "release": 1}[damage]
        content = bytearray(lines[which])
        content[len(content) // 2] ^= 1
        lines[which] = bytes(content)
    journal.write_bytes(b"".join(lines))


def routes_inline(text: str) -> dict[str, object]:
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": text}}}
    return {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [answer]}]}


def cluster(seconds: int) -> Resource:
    return made(CLUSTER, name="up", type="EDS", connect_timeout={"seconds": seconds}, eds_cluster_config={"eds_config": BY_ADS})


def endpoints(port: int) -> Resource:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return made(ENDPOINTS, cluster_name="up", endpoints=[{"lb_endpoints": [{"endpoint": {"address": address}}]}])


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


async def warm(state: Path) -> bool:
    admin = Admin(admin_socket(state))
    try:
        return "envoy_cluster_manager_warming_clusters{} 0" in await admin.prometheus()
    finally:
        await admin.close()
