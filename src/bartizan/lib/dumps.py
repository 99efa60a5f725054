"""No core dumps: what is in the memory of a process stays out of files, and out of the reach of other processes of the same user."""

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4


def no_dumps() -> None:
    """This process and its children leave no core file; and unless they execute another program, only root looks into their memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
