"""The load: wrk with a generated script, and what a request costs a process while it runs."""

import re
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.programs import cpu_s, found

_SCRIPT = """-- made by the benchmark
local made, at = {}, 0
local function prepare()
  local keys, tokens, paths, fresh = KEYS, TOKENS, PATHS, FRESH
  for i = 1, #paths do
    local headers = {}
    if #fresh > 0 and i % 100 == 0 then headers["authorization"] = "Bearer " .. fresh[i / 100 % #fresh + 1]
    elseif #keys > 0 and (i % 2 == 0 or #tokens == 0) then headers["x-api-key"] = keys[(i * 7919) % #keys + 1]
    elseif #tokens > 0 then headers["authorization"] = "Bearer " .. tokens[(i * 104729) % #tokens + 1] end
    made[i] = wrk.format("GET", paths[i], headers)
  end
end
init = function() prepare() end
request = function()
  at = at % #made + 1
  return made[at]
end
DELAY
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d %d %d %d %d\\n", summary.requests, summary.duration, e.connect, e.read, e.write, 
    e.status, e.timeout, latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"""


@dataclass(frozen=True, slots=True)
class Burst:
    """What wrk saw."""

    requests: int
    seconds: float
    failed: int
    """Errors of the connection and timeouts."""
    refused: int
    """Answers of 400 and above."""
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def _list(of: Sequence[str]) -> str:
    return "{" + ",".join(f'"{one}"' for one in of) + "}"


def script(
    path: Path, paths: Sequence[str], keys: Sequence[str] = (), tokens: Sequence[str] = (), *, fresh: Sequence[str] = (), delay_ms: int = 0
) -> Path:
    """A script for wrk: these paths in turn, half of the requests with a key and half with a token, each hundredth with a fresh one."""
    delay = f"delay = function() return {delay_ms} end" if delay_ms else ""
    text = (
        _SCRIPT.replace("KEYS", _list(keys)).replace("TOKENS", _list(tokens)).replace("PATHS", _list(paths)).replace("FRESH", _list(fresh))
    )
    path.write_text(text.replace("DELAY", delay))
    return path


def command(port: int, with_script: Path, seconds: int, connections: int = 64) -> list[str]:
    """wrk's command line: one thread."""
    return [
        found("wrk"),
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--timeout",
        "5s",
        "-s",
        str(with_script),
        f"http://127.0.0.1:{port}/",
    ]


def told(output: str) -> Burst:
    """What wrk says at its end."""
    match = re.search(r"^RESULT " + " ".join([r"(\d+)"] * 10) + "$", output, re.MULTILINE)
    if match is None:
        raise RuntimeError(f"wrk says nothing of use: {output[-500:]}")
    requests, micros, connect, read, write, status, timeout, p50, p99, _ = map(int, match.groups())
    return Burst(requests, micros / 1e6, connect + read + write + timeout, status, p50 / 1000, p99 / 1000)


def burst(port: int, with_script: Path, seconds: int, connections: int = 64) -> Burst:
    """Runs wrk for a while, as fast as it gets answers."""
    ran = subprocess.run(
        command(port, with_script, seconds, connections), capture_output=True, text=True, timeout=seconds + 60, check=False
    )
    return told(ran.stdout + ran.stderr)


@dataclass(frozen=True, slots=True)
class Target:
    """A process on a port, and the requests that it is sent."""

    pid: int
    port: int
    script: Path
    good: bool = True
    """Whether every request must be answered with less than 400; otherwise every one with more."""


def us_per_request(target: Target, seconds: int) -> float:
    """Microseconds of the process's CPU per request, while wrk runs for a while."""
    before = cpu_s(target.pid)
    seen = burst(target.port, target.script, seconds)
    used = cpu_s(target.pid) - before
    wrong = seen.refused if target.good else seen.requests - seen.refused
    if seen.failed or wrong > 0:
        raise RuntimeError(f"{seen.failed} requests failed and {wrong} of {seen.requests} had the wrong answer on port {target.port}")
    return used * 1e6 / seen.requests


@dataclass(frozen=True, slots=True)
class Compared:
    """Several targets over a reference, each measured beside it again and again."""

    us: dict[str, float]
    """Medians of the microseconds per request."""
    ratio: dict[str, float]
    """Medians of the ratios to the reference measured just before and just after."""
    extra_us: dict[str, float]


def compare(reference: str, targets: dict[str, Target], rounds: int, seconds: int) -> Compared:
    """Measures all of them in turn, so that what disturbs the machine disturbs all alike."""
    seen: dict[str, list[float]] = {name: [] for name in targets}
    ratios: dict[str, list[float]] = {name: [] for name in targets if name != reference}
    extra: dict[str, list[float]] = {name: [] for name in targets if name != reference}
    for target in targets.values():
        us_per_request(target, 1)
    for _ in range(rounds):
        for name in ratios:
            base = us_per_request(targets[reference], seconds)
            mine = us_per_request(targets[name], seconds)
            seen[reference].append(base)
            seen[name].append(mine)
            ratios[name].append(mine / base)
            extra[name].append(mine - base)
    middle = statistics.median
    return Compared(
        {name: middle(values) for name, values in seen.items()},
        {name: middle(values) for name, values in ratios.items()},
        {name: middle(values) for name, values in extra.items()},
    )
