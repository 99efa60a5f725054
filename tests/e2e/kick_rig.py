"""A gateway with one more node whose changes wait for a second person and a canary; callers at each node; and ways to hurt it."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.gateway import free_port, upstream
from tests.e2e.test_canary import Fleet
from tests.e2e.test_fleet_up import FILES

PATHS = ("/orders/a", "/orders/b", "/orders/never")
"""One policy refuses the first, another the second; all refuse the third."""
_PAUSE_S = 0.008
_RESTARTS_S = 45.0
"""A control plane that was killed may take so long to come back, on a machine that has much else to do."""
_GONE = {"app": ("up", "bartizan.app"), "node": ("up", "bartizan.node"), "envoy": ("up", "envoy.json")}
PROCESSES = {**_GONE, "edge node": ("edge-1", "bartizan.node"), "edge envoy": ("edge-1", "envoy.json")}
"""Whose children they are, and by what they are told."""


def refusing(*paths: str) -> dict[str, Any]:
    """An IpAccess that refuses these paths, and the one that all refuse."""
    return {"target": {"api": "orders", "paths": [*paths, "/orders/never"]}, "deny": ["127.0.0.0/8"]}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller got; status 0 if there was no answer."""

    node: str
    path: str
    sent: float
    received: float
    status: int
    request_id: str


class Kicked(Fleet):
    """A fleet that is kicked."""

    backend: int
    api: int
    extra: int
    """Where the other machine would have a listener of the name `extra`."""
    second: str
    """The token of the second person."""

    async def ask(self, method: str, path: str, *, by: str = "", **body: Any) -> httpx.Response | None:
        """What the admin API answers to the machine's owner, or to the holder of a token; None if it doesn't."""
        inside = httpx.AsyncHTTPTransport(uds=str(self.state / "run" / "api.sock"))
        headers = {"authorization": f"Bearer {by}"} if by else {}
        url = f"http://127.0.0.1:{self.api}" if by else "http://control"
        try:
            async with httpx.AsyncClient(transport=None if by else inside, timeout=20) as client:
                return await client.request(method, url + path, json=body or None, headers=headers)
        except httpx.TransportError:
            return None

    async def insist(self, method: str, path: str, *statuses: int, by: str = "", **body: Any) -> Any:
        """Asks until it answers, and so; whoever is restarted meanwhile."""
        deadline = time.monotonic() + _RESTARTS_S
        while True:
            answer = await self.ask(method, path, by=by, **body)
            if answer is not None and answer.status_code in statuses:
                return answer.json()
            told = answer.text if answer is not None else "nothing"
            assert time.monotonic() < deadline, (method, path, told, self.log())
            await asyncio.sleep(0.05)

    async def put(self, policy: dict[str, Any], name: str = "shut") -> str:
        """Changes a policy. Returns the revision."""
        return str((await self.insist("PUT", f"/v1/resources/IpAccess/{name}", 200, **policy))["revision"])

    async def approve(self) -> None:
        """The second person approves what waits; 409 says that she has."""
        await self.insist("POST", "/v1/rollout/approval", 200, 409, by=self.second)

    async def ended(self, seconds: float = _RESTARTS_S) -> dict[str, Any]:
        """The rollout, as soon as it has ended."""
        deadline = time.monotonic() + seconds
        while (told := await self.insist("GET", "/v1/rollout", 200))["status"] not in {"done", "failed", "aborted"}:
            assert time.monotonic() < deadline, (told, self.log())
            await asyncio.sleep(0.03)
        return dict(told)

    async def all_hold(self, revision: str, seconds: float = _RESTARTS_S) -> None:
        """Waits until all nodes have acknowledged this revision."""

        def so(told: dict[str, Any]) -> bool:
            good = ("acknowledged", "connected", "kept", "envoy")
            nodes = {node["node_id"]: node["position"]["revision"] for node in told["nodes"] if all(node[one] for one in good)}
            return nodes == dict.fromkeys(self.ports, revision) and told["revision"] == revision

        try:
            await self.until(so, seconds)
        except AssertionError:
            raise AssertionError((revision, await self.status(), self.log())) from None

    def kill(self, *names: str, how: signal.Signals = signal.SIGKILL) -> None:
        """All of them at once. What isn't there yet, since it was killed just now, is passed over."""
        for name in names:
            try:
                os.kill(self.pid(*PROCESSES[name]), how)
            except (StopIteration, ProcessLookupError, FileNotFoundError):
                continue

    def log(self) -> str:
        """What the control plane's machine said last."""
        return (self.folder / "up.log").read_text()[-6000:]

    def records(self) -> dict[str, dict[str, Any]]:
        """The records of all nodes by the requests' ids."""
        found: dict[str, dict[str, Any]] = {}
        for path in (self.state / "records").rglob("requests*.jsonl*"):
            for line in path.read_text().split("\n")[:-1]:
                if (one := json.loads(line)).get("request_id"):
                    found[one["request_id"]] = one
        return found


@dataclass
class Callers:
    """One at each node, asking all the while."""

    fleet: Kicked
    answers: list[Answer] = field(default_factory=list)

    @asynccontextmanager
    async def asking(self) -> AsyncIterator["Callers"]:
        """They ask until this is left."""
        tasks = [asyncio.create_task(self._ask(node, port)) for node, port in self.fleet.ports.items()]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended

    async def _ask(self, node: str, port: int) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers={"x-api-key": self.fleet.key}, timeout=5) as client:
            while True:
                for path in PATHS:
                    self.answers.append(await _asked(client, node, path))
                    await asyncio.sleep(_PAUSE_S)

    def between(self, since: float, until: float) -> Iterable[Answer]:
        """Those that were asked and answered in this time."""
        return (one for one in self.answers if one.sent >= since and one.received <= until)


async def _asked(client: httpx.AsyncClient, node: str, path: str) -> Answer:
    sent, status, ident = time.time(), 0, ""
    try:
        answer = await client.get(path)
        status, ident = answer.status_code, answer.headers.get("x-request-id", "")
    except httpx.TransportError:
        pass
    return Answer(node, path, sent, time.time(), status, ident)


@asynccontextmanager
async def kicked(folder: Path, releases: str, edge: Sequence[object] = (), up: Sequence[object] = ()) -> AsyncIterator[Kicked]:
    """Such a fleet. `edge` and `up`: more options of the two commands."""
    with upstream() as backend:
        made = Kicked(folder, free_port(), free_port())
        made.backend, made.api = backend, free_port()
        (folder / "files").mkdir()
        text = FILES.replace("PORT", str(made.port)).replace("UPSTREAM", str(backend))
        (folder / "files" / "all.yaml").write_text(text.replace("---", f"releases: {releases}\n---", 1))
        try:
            await _start(made, edge, up)
            yield made
        finally:
            for process in made.processes.values():
                if process.returncode is None:
                    process.terminate()
            await asyncio.gather(*(asyncio.wait_for(process.wait(), 10) for process in made.processes.values()))


async def _start(made: Kicked, edge: Sequence[object], up: Sequence[object]) -> None:
    own = ("-f", made.folder / "files", "--state", made.state, "--concurrency", 1)
    doors = ("--admin", f"127.0.0.1:{free_port()}", "--nodes", f"127.0.0.1:{made.nodes}", "--api", f"127.0.0.1:{made.api}")
    await made.start("up", "up", *own, *doors, *up)
    await made.until(lambda told: bool(told["nodes"]) and all(node["acknowledged"] for node in told["nodes"]), _RESTARTS_S)
    made.key = json.loads(await made.told("key", "new", "acme", "--json", "--state", made.state))["key"]
    made.second = (await made.insist("POST", "/v1/tokens", 200, name="bob", role="approver"))["token"]
    made.ports = {"edge-1": free_port(), "local": made.port}
    token = (await made.told("node", "token", "--name", "edge-1", "--state", made.state)).strip()
    where = ("--state", made.folder / "edge-1", "--control", f"127.0.0.1:{made.nodes}", "--listen", f"web=127.0.0.1:{made.ports['edge-1']}")
    await made.start("edge-1", "node", "run", "--join", token, *where, "--concurrency", 1, *edge)
    await made.until(lambda told: len(told["nodes"]) == len(made.ports), _RESTARTS_S)
    await made.all_hold((await made.status())["revision"])
