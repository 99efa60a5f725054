"""The processes of a run: the gateway, a bare Envoy, nginx as upstream and as a bare proxy; and what they use of the machine."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from bartizan.admin.options import api_socket
from bartizan.envoy import binary

HOW_TO_INSTALL = "apt-get install wrk nginx-light"
_TICKS = os.sysconf("SC_CLK_TCK")
_TYPE = "type.googleapis.com/"
_given: set[int] = set()


class Missing(Exception):
    """Something that the benchmark needs isn't there."""


def found(program: str) -> str:
    """Where a program is. Missing if it isn't."""
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        raise Missing(f"{program} isn't installed. Debian: {HOW_TO_INSTALL}")
    return path


def free_port() -> int:
    """A port that nobody listens on, and that this process gives only once."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port


def cpu_s(pid: int) -> float:
    """The CPU that a process has used: utime + stime."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss_mb(pid: int) -> float:
    """The memory that a process holds now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def peak_mb(pid: int) -> float:
    """The most memory that a process ever held."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def _ended(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def _listens(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"nothing listens on {port}:\n{log.read_text()[-2000:]}")
        time.sleep(0.02)


@contextmanager
def _running(argv: list[str], port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        _listens(port, process, log)
        yield process
    finally:
        _ended(process)


_NGINX = """daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log error;
events {{ worker_connections 16384; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; client_body_temp_path {folder}; proxy_temp_path {folder};
 fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
 {http}
}}
"""


@contextmanager
def nginx(folder: Path, port: int, forward_to: int | None = None) -> Iterator[int]:
    """nginx with one worker on `port`: a small upstream that answers `ok`, or a bare proxy. Yields its process id."""
    folder.mkdir(parents=True, exist_ok=True)
    if forward_to is None:
        http = f'server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "ok\\n"; }} }}'
    else:
        http = (
            f"upstream up {{ server 127.0.0.1:{forward_to}; keepalive 256; keepalive_requests 1000000000; }} "
            f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://up; proxy_http_version 1.1; "
            'proxy_set_header Connection ""; } }'
        )
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, http=http))
    with _running([found("nginx"), "-c", str(config), "-p", str(folder)], port, folder / "out.log") as process:
        yield process.pid


def _extension(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": _TYPE + kind, **fields}}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _proxy_config(port: int, forward_to: int, cluster: dict[str, Any]) -> dict[str, Any]:
    router = _extension("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router", suppress_envoy_headers=True)
    hosts = [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}]}]
    kind = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    http = _extension("http", kind, stat_prefix="bare", route_config={"virtual_hosts": hosts}, http_filters=[router])
    endpoint = {"endpoint": {"address": _address(forward_to)}}
    up = {
        "name": "up",
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": [endpoint]}]},
        **cluster,
    }
    listener = {"name": "bare", "address": _address(port), "filter_chains": [{"filters": [http]}]}
    return {"static_resources": {"listeners": [listener], "clusters": [up]}}


@contextmanager
def bare_envoy(folder: Path, port: int, forward_to: int, cluster: dict[str, Any] | None = None) -> Iterator[int]:
    """The same Envoy with one worker, proxying and nothing else. Yields its process id."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "envoy.json"
    config.write_bytes(orjson.dumps(_proxy_config(port, forward_to, cluster or {})))
    argv = [str(binary()), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
    with _running(argv, port, folder / "envoy.log") as process:
        yield process.pid


@dataclass(slots=True)
class Gateway:
    """A running gateway."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    control: httpx.Client

    @property
    def files(self) -> Path:
        """Where its declarations are."""
        return self.folder / "files"

    def status(self) -> dict[str, Any]:
        """What `bartizan status --json` shows."""
        return dict(self.control.get("http://control/status").json())

    def until(self, holds: Callable[[dict[str, Any]], bool], seconds: float = 30) -> dict[str, Any]:
        """Waits until the status is so."""
        deadline = time.monotonic() + seconds
        while True:
            now = self.status()
            if now["refused"] or now["error"]:
                raise RuntimeError(f"the gateway refuses what the benchmark gave it: {now['refused'][:3]} {now['error']}")
            if holds(now):
                return now
            if time.monotonic() > deadline:
                raise RuntimeError(f"still not so after {seconds} s: {now}\n{self.log()[-2000:]}")
            time.sleep(0.01)

    def log(self) -> str:
        """What its processes said."""
        return (self.folder / "out.log").read_text()

    def pids(self) -> dict[str, int]:
        """Its processes: the supervisor, the control plane, the node, the call-out and Envoy."""
        marks = {"bartizan.app": "control", "bartizan.node": "node", "--config-path": "envoy"}
        marks |= {"bartizan.callout": "callout", "bartizan.callout.server": "callout"}
        known = {"supervisor": self.process.pid}
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for child in children:
            line = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
            known |= {name: int(child) for mark, name in marks.items() if mark in line}
        return known


@contextmanager
def gateway(folder: Path, port: int, *, concurrency: int = 1, more: tuple[str, ...] = ()) -> Iterator[Gateway]:
    """`bartizan up` on `folder/files`, with its state in `folder/state` and `more` arguments. It may not be ready yet."""
    state = folder / "state"
    arguments = ["up", "-f", folder / "files", "--state", state, "--admin", f"127.0.0.1:{free_port()}", "--concurrency", concurrency, *more]
    with (folder / "out.log").open("wb") as log:
        argv = [sys.executable, "-m", "bartizan.cli.main", *map(str, arguments)]
        process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, "NO_COLOR": "1"})
    client = httpx.Client(transport=httpx.HTTPTransport(uds=str(api_socket(state))), timeout=30)
    try:
        yield Gateway(folder, port, process, client)
    finally:
        client.close()
        _ended(process)


def first_answer(made: Gateway, path: str, headers: dict[str, str], *, scheme: str = "http", seconds: float = 60) -> None:
    """Waits until a request with a good credential is served."""
    deadline = time.monotonic() + seconds
    with httpx.Client(base_url=f"{scheme}://127.0.0.1:{made.port}", timeout=5, verify=False) as client:  # noqa: S501 - of our own making
        while True:
            try:
                if client.get(path, headers=headers).status_code == httpx.codes.OK:
                    return
            except httpx.HTTPError:
                pass
            if made.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the gateway serves nothing:\n{made.log()[-3000:]}")
            time.sleep(0.01)
