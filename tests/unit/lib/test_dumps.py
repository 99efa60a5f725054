"""No core dumps: of this process, of its children, and nobody looks in."""

import os
import subprocess
import sys

SCRIPT = """
import ctypes, resource, subprocess, sys
from bartizan.lib.dumps import no_dumps
print(ctypes.CDLL(None).prctl(3), end=" ")
no_dumps()
print(ctypes.CDLL(None).prctl(3), resource.getrlimit(resource.RLIMIT_CORE), end=" ")
print(subprocess.run(["sh", "-c", "ulimit -c; cat /proc/self/coredump_filter"], capture_output=True, text=True).stdout.strip())
"""


def test_no_core_file_is_left_and_memory_is_closed() -> None:
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env={**os.environ})
    assert ran.stdout == "1 0 (0, 0) 0\n00000000\n"
