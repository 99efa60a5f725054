"""How fast an edit reaches a fleet: 100 simulated nodes, three real Envoys, one node that answers nothing.

`python -m bench.fleet HOST PORT FOLDER` is the simulated nodes: each joins by a token from its input, over TLS with a certificate of
its own, and acknowledges each release as soon as it has it. They share this machine with all else, so they don't check signatures.
"""

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from bartizan.node.membership import connecting, join
from bartizan.plane.nodes import authority, registry
from bartizan.secrets.keyring import load_or_create
from bartizan.xds.asking import token_text
from bartizan.xds.frames import Answer, Hello, Manifest, Report, encoded
from bartizan.xds.release import Position
from bartizan.xds.signed import ASK, BEAT, decoded_order
from bench.everywhere import answered
from bench.measures import Effort, Figures, percentile
from bench.programs import Gateway, first_answer, free_port, gateway, nginx
from bench.world import Keys, Size, Tokens, api_file, authorize, write_files, write_keys

SIMULATED = 100
_QUIET_S = 0.2


@dataclass(slots=True)
class _Simulated:
    """The simulated nodes: when all of them had each release, by the clock of the whole machine."""

    process: subprocess.Popen[str]
    at: dict[int, float] = field(default_factory=dict)
    ready: threading.Event = field(default_factory=threading.Event)

    def listen(self) -> None:
        """Until they end."""
        for line in self.process.stdout or ():
            sequence, at = line.split()
            self.at[int(sequence)] = float(at)
            self.ready.set()

    def when(self, sequence: int) -> float:
        """When all had it."""
        deadline = time.monotonic() + 10
        while sequence not in self.at:
            if time.monotonic() > deadline:
                raise RuntimeError(f"not all simulated nodes have release {sequence} after 10 s")
            time.sleep(0.002)
        return self.at[sequence]


@contextmanager
def _simulated(folder: Path, port: int, tokens: list[str]) -> Iterator[_Simulated]:
    folder.mkdir()
    with (folder / "out.log").open("wb") as log:
        argv = [sys.executable, "-m", "bench.fleet", "127.0.0.1", str(port), str(folder)]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdin
    process.stdin.write("\n".join(tokens))
    process.stdin.close()
    made = _Simulated(process)
    listening = threading.Thread(target=made.listen)
    listening.start()
    try:
        if not made.ready.wait(120):
            raise RuntimeError(f"the simulated nodes never had a release:\n{(folder / 'out.log').read_text()[-2000:]}")
        yield made
    finally:
        process.kill()
        process.wait(5)
        listening.join(5)


@contextmanager
def real_node(folder: Path, name: str, control: int, token: str, safe: int = 0) -> Iterator[int]:
    """A node with its Envoy. Yields the port that it serves on; `safe` is that of its listener of this name, if there is one."""
    port = free_port()
    where: tuple[str, ...] = (
        "--control",
        f"127.0.0.1:{control}",
        "--join",
        token,
        "--state",
        str(folder / name),
        "--listen",
        f"web=127.0.0.1:{port}",
    )
    where += ("--listen", f"safe=127.0.0.1:{safe}") if safe else ()
    with (folder / f"{name}.log").open("wb") as log:
        argv = [sys.executable, "-m", "bartizan.cli.main", "node", "run", *where, "--concurrency", "1"]
        process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(15)


def join_tokens(state: Path, count: int) -> list[str]:
    envelope = load_or_create(state / "control.key")
    fingerprint, fleet = authority(state, envelope).fingerprint, registry(state, envelope)
    made = [token_text(bytes.fromhex(fleet.token("default", 3600, f"n-{i:03}").reveal()), fingerprint) for i in range(count)]
    fleet.close()
    return made


def propagation(folder: Path, effort: Effort) -> Figures:
    """From the settled edit until all simulated nodes have acknowledged it and the three real Envoys enforce it, whichever is last."""
    size = Size(keys=1_000, consumers=1_000)
    port, upstream, door = free_port(), free_port(), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    write_files(folder / "files", size, port, upstream, Tokens())
    keys = write_keys(folder / "state", size, folder)
    tokens = join_tokens(folder / "state", SIMULATED + 3)
    with ExitStack() as stack:
        stack.enter_context(nginx(folder / "upstream", upstream))
        made = stack.enter_context(gateway(folder, port, more=("--nodes", f"127.0.0.1:{door}")))
        first_answer(made, size.path(0), {"x-api-key": keys.texts[0]})
        ports = [port, *(stack.enter_context(real_node(folder, f"real-{i}", door, tokens.pop())) for i in range(2))]
        mute = stack.enter_context(_simulated(folder / "mute", door, [tokens.pop()]))
        many = stack.enter_context(_simulated(folder / "simulated", door, tokens))
        made.until(lambda now: sum(node["acknowledged"] for node in now["nodes"]) == SIMULATED + 4, 120)
        os.kill(mute.process.pid, signal.SIGSTOP)
        return _edits(_Fleet(made, size, upstream, keys, ports, many), effort.edits)


@dataclass(slots=True)
class _Fleet:
    gateway: Gateway
    size: Size
    upstream: int
    keys: Keys
    ports: list[int]
    many: _Simulated


def _edits(fleet: _Fleet, count: int) -> Figures:
    took: list[float] = []
    acknowledged: list[float] = []
    for i in range(count):
        api, closed = (i // 2 * 37) % fleet.size.apis, i % 2 == 0
        allowed = ("nobody",) if closed else ("finance", "sales", "support", "research")
        text = api_file(api, fleet.size, fleet.upstream, authorize(api, fleet.size, departments=allowed))
        before = fleet.gateway.status()["revision"]
        (fleet.gateway.files / "apis" / f"api-{api:04}.yaml").write_text(text)
        settled = time.monotonic() + _QUIET_S
        enforced = answered(fleet.ports, fleet.size.path(api), 403 if closed else 200, {"x-api-key": fleet.keys.texts[0]})
        now = fleet.gateway.until(lambda now, before=before: now["revision"] != before)  # type: ignore[misc]
        had = fleet.many.when(now["sequence"])
        acknowledged.append((had - settled) * 1000)
        took.append((max(had, enforced) - settled) * 1000)
    return {
        "propagation_ms_p50": statistics.median(took),
        "propagation_ms_p99": percentile(took, 0.99),
        "propagation_ms_acknowledged_p50": statistics.median(acknowledged),
    }


async def _simulate(host: str, port: int, folder: Path, tokens: list[str]) -> None:
    had: Counter[int] = Counter()
    some = asyncio.Semaphore(8)

    async def node(number: int, token: str) -> None:
        state = folder / str(number)
        async with some:
            await join(state, (host, port), token, "")
        name, connect = connecting(state)
        async with connect() as call:
            report = Report(position=Position(), envoy=True, acknowledged=True, kept=True)
            await call.write(encoded(Hello(node_id=name, held={}, report=report)))
            async for data in call:
                order = decoded_order(data)
                if order.id & (ASK | BEAT):
                    continue  # no release
                position = _position(order.signed)
                report = Report(position=position, envoy=True, acknowledged=True, kept=True)
                await call.write(encoded(Answer(report=report, id=order.id, acknowledged=True)))
                had[position.sequence] += 1
                if had[position.sequence] == len(tokens):
                    print(position.sequence, time.monotonic(), flush=True)

    await asyncio.gather(*(node(number, token) for number, token in enumerate(tokens)))


def _position(signed: bytes) -> Position:
    told = orjson.loads(signed[4 : 4 + int.from_bytes(signed[:4], "big")])["position"]
    return Manifest.model_validate({"position": told, "steps": ()}).position


if __name__ == "__main__":
    asyncio.run(_simulate(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.stdin.read().split()))
