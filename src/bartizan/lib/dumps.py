"""No core dumps: what is in the memory of a process stays out of files, and out of the reach of other processes of the same user."""

import ctypes
import resource
import sys
from contextlib import suppress
from pathlib import Path

_PR_SET_DUMPABLE = 4


def no_dumps() -> None:
    """This process and its children leave no core file; and unless they execute another program, only root looks into their memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # for children; a program to which the kernel pipes dumps isn't bound by the limit
        Path("/proc/self/coredump_filter").write_text("0", encoding="ascii")
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
