"""What `make run` runs, as a stranger would: it starts, says what to try, and each of those requests gets the answer that was said."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.e2e.gateway import free_port

ROOT = Path(__file__).parents[2]
PORTS = ("8080", "9101", "9180")


def copied(folder: Path) -> tuple[Path, dict[str, str]]:
    """The quickstart in a folder of its own, on ports of its own."""
    ports = {port: str(free_port()) for port in PORTS}
    quickstart = folder / "examples" / "quickstart"
    shutil.copytree(ROOT / "examples" / "quickstart", quickstart, ignore=shutil.ignore_patterns("__pycache__"))
    for file in quickstart.iterdir():
        text = file.read_text()
        for port, other in ports.items():
            text = re.sub(rf"\b{port}\b", other, text)
        file.write_text(text)
    return quickstart / "run.py", ports


@contextmanager
def running(script: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, script], stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(15)


def said(log: Path, process: subprocess.Popen[bytes]) -> list[tuple[str, int]]:
    """The requests to try, each with the status that was said."""
    deadline = time.monotonic() + 30
    while "Ctrl-C ends everything" not in log.read_text():
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    return [(line, int(status)) for line, status in re.findall(r"^  (curl .*?)\s+# (\d+),", log.read_text(), re.MULTILINE)]


def answered(line: str) -> int:
    """The status that a curl command of this form gets."""
    words = iter(shlex.split(line)[1:])
    method, headers, url = "GET", {}, ""
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word != "-i":
            url = word
    return httpx.request(method, url, headers=headers).status_code


def serves(line: str, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            answered(line)
            return
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_each_request_that_it_says_to_try_gets_the_answer_that_it_says(tmp_path: Path) -> None:
    script, ports = copied(tmp_path)
    secrets: list[str] = []
    for start in ("first", "second"):
        log = tmp_path / f"{start}.log"
        with running(script, log) as process:
            tries = said(log, process)
            assert len(tries) == 6
            serves(tries[0][0])
            assert {line: answered(line) for line, _ in tries} == dict(tries)
            assert httpx.get(f"http://127.0.0.1:{ports['9180']}/readyz").status_code == 200
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert children
        assert not [child for child in children if Path(f"/proc/{child}").exists()], "something outlives it"
        secrets += re.findall(r"bz_\w+", log.read_text())
    assert len(set(secrets)) == 2, "the keys of the first start count at the second"
    assert os.stat(tmp_path / ".bartizan" / "quickstart" / "control.key").st_mode & 0o077 == 0


def test_what_keeps_it_from_starting_is_a_sentence(tmp_path: Path) -> None:
    script, _ = copied(tmp_path)
    gateway = script.with_name("gateway.yaml")
    gateway.write_text(gateway.read_text().replace("kind: Gateway", "kind: Gatewai", 1))
    log = tmp_path / "log"
    with running(script, log) as process:
        assert process.wait(30) == 1
    assert "Traceback" not in log.read_text()
    assert "gateway.yaml" in log.read_text()
