"""The step between us and a child."""

import os
import subprocess
import sys
from pathlib import Path

from bartizan.lib import launch

SCRIPT = str(Path(launch.__file__))


def run(parent: int, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-I", "-S", SCRIPT, str(parent), "78", *argv], capture_output=True, text=True, check=False)


def test_becomes_the_program() -> None:
    ran = run(os.getpid(), "sh", "-c", "echo $0 $1; exit 5", "a", "b c")
    assert (ran.returncode, ran.stdout) == (5, "a b c\n")


def test_does_not_start_what_has_lost_its_parent() -> None:
    ran = run(os.getpid() + 1, "sh", "-c", "echo started")
    assert (ran.returncode, ran.stdout) == (78, "")


def test_tells_what_can_not_be_executed() -> None:
    ran = run(os.getpid(), "/no/such/program")
    assert ran.returncode == 78
    assert "/no/such/program: No such file" in ran.stderr


def test_leaves_no_core_dump() -> None:
    assert run(os.getpid(), "sh", "-c", "ulimit -c; ulimit -Hc; cat /proc/self/coredump_filter").stdout == "0\n0\n00000000\n"
