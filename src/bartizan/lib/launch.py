"""Run as a script between us and a child: ties the child's life to ours, then becomes it.

It is a program of its own because the alternative, code between fork and exec, isn't safe in a process with threads:
gRPC's fork handlers abort such a child.
"""

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1


def launch(parent: int, argv: list[str], cannot_run: int) -> None:
    """Becomes the program `argv`, which the kernel kills when `parent` ends, and which leaves no core dump: its memory holds secrets."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:  # a program to which the kernel pipes dumps isn't bound by the limit: it gets none of the memory
        with open("/proc/self/coredump_filter", "w", encoding="ascii") as filter_:
            filter_.write("0")
    except OSError:
        pass
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we asked
        sys.exit(cannot_run)
    try:
        os.execvp(argv[0], argv)  # noqa: S606  no shell is meant
    except OSError as error:
        sys.stderr.write(f"{argv[0]}: {error.strerror}\n")
        sys.exit(cannot_run)


if __name__ == "__main__":
    launch(int(sys.argv[1]), sys.argv[3:], int(sys.argv[2]))
