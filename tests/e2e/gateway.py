"""The one harness of the end-to-end tests: a real gateway (`bartizan up`) in front of a real upstream, on free ports."""

import asyncio
import itertools
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from bartizan.admin.options import api_socket
from bartizan.identity.keys import KeyStore
from bartizan.secrets.keyring import load_or_create

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
# Below the ports that the system gives to outgoing connections, and apart for each worker: nobody takes one before it is used.
_ports = itertools.cycle(range(10_000 + 2_700 * _WORKER + os.getpid() % 997, 12_700 + 2_700 * _WORKER))


def free_port() -> int:
    """A port that nobody listens on, and that this process doesn't give again soon."""
    for port in _ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("no port is free")


async def _echo(request: Request) -> Response:
    """Tells what it was sent."""
    body = await request.body()
    told = {
        "method": request.method,
        "path": request.scope["raw_path"].decode(),
        "query": request.url.query,
        "headers": [[name.decode(), value.decode("latin-1")] for name, value in request.headers.raw],
        "body": body.decode("latin-1"),
    }
    added = json.loads(request.headers.get("x-answer-headers", "{}"))
    return JSONResponse(told, status_code=int(request.headers.get("x-answer", "200")), headers=added)


async def _events(request: Request) -> Response:
    """Server-sent events, one each 0.1 s."""

    async def lines() -> AsyncIterator[bytes]:
        for i in range(int(request.query_params.get("n", "5"))):
            yield f"data: {request.query_params.get('tag', '')}{i}\n\n".encode()
            await asyncio.sleep(0.1)

    return StreamingResponse(lines(), media_type="text/event-stream")


async def _socket(websocket: WebSocket) -> None:
    """Echoes messages."""
    await websocket.accept()
    async for message in websocket.iter_text():
        await websocket.send_text(message)


@contextmanager
def upstream() -> Iterator[int]:
    """A real HTTP server on a port: echoes; `.../events` streams; `.../socket` is a WebSocket."""
    routes = [
        Route("/{rest:path}/events", _events),
        WebSocketRoute("/{rest:path}/socket", _socket),
        Route("/{rest:path}", _echo, methods=["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"]),
    ]
    with served(routes) as port:
        yield port


@contextmanager
def served(routes: Sequence[BaseRoute], port: int = 0) -> Iterator[int]:
    """A real HTTP server of these routes, on a port: on this one if it is given."""
    port = port or free_port()
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), host="127.0.0.1", port=port, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join(5)


@dataclass
class TokenIssuer:
    """An authorization server's key: signs tokens, and publishes its JWK Set."""

    url: str = "https://idp.example.com"
    kid: str = "k1"
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048))

    def jwk(self) -> dict[str, Any]:
        """The public key."""
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return {**public, "kid": self.kid, "use": "sig", "alg": "RS256"}

    def jwks(self) -> str:
        """The JWK Set, as JSON."""
        return json.dumps({"keys": [self.jwk()]})

    def token(self, **claims: Any) -> str:
        """A token, good for an hour unless `claims` say otherwise."""
        now = int(time.time())
        whole = {"iss": self.url, "aud": "orders", "sub": "ines", "iat": now, "exp": now + 3600, **claims}
        kept = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(kept, self.key, "RS256", headers={"kid": self.kid})


class Gateway:
    """A running gateway."""

    def __init__(self, folder: Path, port: int, admin: int, process: asyncio.subprocess.Process) -> None:
        self.folder, self.files, self.state = folder, folder / "files", folder / "state"
        self.port, self.admin, self.process = port, admin, process
        self.url = f"http://127.0.0.1:{port}"
        self.client = httpx.AsyncClient(base_url=self.url, timeout=10)
        self._control = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(api_socket(self.state))), base_url="http://control", timeout=10
        )

    async def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """A request to the gateway."""
        return await self.client.request(method, path, **more)

    async def get(self, path: str, **more: Any) -> httpx.Response:
        """A GET to the gateway."""
        return await self.client.get(path, **more)

    async def raw(self, text: bytes, *, read_s: float = 2.0) -> bytes:
        """Sends bytes as they are, and reads until the other side closes or `read_s` has passed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(text)
        await writer.drain()
        answer = b""
        try:
            async with asyncio.timeout(read_s):
                while chunk := await reader.read(65536):
                    answer += chunk
                    if b"connection: close" not in text.lower() and b"\r\n\r\n" in answer and _complete(answer):
                        break
        except (TimeoutError, ConnectionResetError):
            pass
        writer.close()
        return answer

    async def status(self) -> dict[str, Any]:
        """What `bartizan status --json` shows."""
        return dict((await self._control.get("/status")).json())

    def new_key(self, consumer: str, **more: Any) -> tuple[str, str]:
        """A new API key: its id and its text."""
        store = KeyStore(self.state / "keys.journal", load_or_create(self.state / "control.key"))
        made = store.new(consumer, **more)
        store.close()
        return made.id, made.key.reveal()

    def revoke(self, ident: str) -> None:
        """Ends a key."""
        store = KeyStore(self.state / "keys.journal", load_or_create(self.state / "control.key"))
        store.revoke(ident)
        store.close()

    async def edit(self, name: str, text: str, *, enforced: bool = True) -> dict[str, Any]:
        """Writes a file, and waits until it is enforced (or, with `enforced=False`, refused). Returns the status."""
        before = await self.status()
        (self.files / name).write_text(text.replace("{port}", str(self.port)))

        def done(now: Mapping[str, Any]) -> bool:
            if not enforced:
                return bool(now["refused"]) and now["refused_at"] != before["refused_at"]
            taken = now["reads"] != before["reads"] and not now["pending"]
            return taken and not now["refused"] and all(node["acknowledged"] for node in now["nodes"])

        return await self.until(done)

    async def until(self, holds: Callable[[dict[str, Any]], bool], seconds: float = 10) -> dict[str, Any]:
        """Waits until the status is so."""
        deadline = time.monotonic() + seconds
        while True:
            now = await self.status()
            if holds(now):
                return now
            assert time.monotonic() < deadline, f"still not so after {seconds} s: {now}"
            await asyncio.sleep(0.02)

    async def eventually(self, check: Callable[[], Any], seconds: float = 5) -> None:
        """Waits until an async check returns something true."""
        deadline = time.monotonic() + seconds
        while not await check():
            assert time.monotonic() < deadline, f"still not so after {seconds} s"
            await asyncio.sleep(0.02)

    async def record(self, answer: httpx.Response) -> dict[str, Any]:
        """The record of a request."""
        wanted = answer.headers["x-request-id"]
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            for one in self.records():
                if one.get("request_id") == wanted:
                    return one
            await asyncio.sleep(0.05)
        raise AssertionError(f"no record of {wanted}")

    def records(self) -> list[dict[str, Any]]:
        """All records, complete lines only."""
        path = self.state / "records" / "requests.jsonl"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def pid(self, what: str) -> int:
        """The process id of `envoy`, `bartizan.node` or `bartizan.app`, among this gateway's own."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                except OSError:
                    continue
                mine = str(self.state) in line and str(self.process.pid) != entry.name
                if mine and (f"-m {what} " in line or (what == "envoy" and "--config-path" in line)):
                    return int(entry.name)
        raise AssertionError(f"no process {what}")

    def log(self) -> str:
        """What the gateway's processes said."""
        return (self.folder / "out.log").read_text()


def _complete(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.split(b":")[1])
    return body.endswith(b"0\r\n\r\n")


@asynccontextmanager
async def gateway(
    folder: Path,
    files: Mapping[str, str],
    *,
    concurrency: int = 2,
    wait: bool = True,
    allow_nack: bool = False,
    arguments: Sequence[str] = (),
) -> AsyncIterator[Gateway]:
    """A gateway of these files (name to YAML). `{port}` in them becomes its port. Fails on any configuration that Envoy refuses."""
    port, admin = free_port(), free_port()
    (folder / "files").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / "files" / name).write_text(text.replace("{port}", str(port)))
    own = ["-f", folder / "files", "--state", folder / "state", "--admin", f"127.0.0.1:{admin}", "--concurrency", concurrency]
    with (folder / "out.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bartizan.cli.main",
            "up",
            *map(str, own),
            *arguments,
            stdout=log,
            stderr=log,
            env={**os.environ, "NO_COLOR": "1"},
        )
    gw = Gateway(folder, port, admin, process)
    try:
        if wait:
            await _ready(gw)
        yield gw
        if wait and process.returncode is None and not allow_nack:
            error = (await gw.status())["error"]
            assert not error, f"Envoy refused a configuration: {error}"
    finally:
        await gw.client.aclose()
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), 15)


async def _ready(gw: Gateway) -> None:
    deadline = time.monotonic() + 20
    async with httpx.AsyncClient() as client:
        while True:
            try:
                status = await gw.status()
                taken = status["nodes"] and all(node["acknowledged"] for node in status["nodes"])
                if taken and (await client.get(f"http://127.0.0.1:{gw.admin}/readyz")).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            assert gw.process.returncode is None, f"the gateway ended:\n{gw.log()}"
            assert time.monotonic() < deadline, f"the gateway isn't ready:\n{gw.log()}"
            await asyncio.sleep(0.05)
