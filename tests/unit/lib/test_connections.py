"""Connections of a child process, ended from outside."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bartizan.lib.connections import Ends, allowed, ended

SERVER = """
import socket, sys
server = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
if sys.argv[1] == "::":
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
server.bind((sys.argv[1], 0))
server.listen()
print(server.getsockname()[1], flush=True)
held = []
while True:
    held.append(server.accept()[0])
    held[-1].send(b"x")
"""


@contextmanager
def server(address: str) -> Iterator[tuple[int, int]]:
    """A child that takes connections: its process and its port."""
    child = subprocess.Popen([sys.executable, "-c", SERVER, address], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout
        yield child.pid, int(child.stdout.readline())
    finally:
        child.kill()
        child.communicate()


def connected(host: str, port: int) -> tuple[socket.socket, Ends]:
    made = socket.create_connection((host, port), 3)
    assert made.recv(1) == b"x"
    peer, local = (f"[{one[0]}]:{one[1]}" if ":" in one[0] else f"{one[0]}:{one[1]}" for one in (made.getsockname(), made.getpeername()))
    return made, Ends(peer, local)


@pytest.mark.parametrize(("listens", "comes"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::", "127.0.0.1"), ("::", "::1")])
def test_that_connection_ends_and_no_other(listens: str, comes: str) -> None:
    with server(listens) as (pid, port):
        made = [connected(comes, port) for _ in range(5)]
        assert ended(pid, [made[1][1], made[3][1]]) == 2
        for i, (one, _) in enumerate(made):
            one.settimeout(0.05)
            if i in {1, 3}:
                assert one.recv(1) == b""
            else:
                with pytest.raises(TimeoutError):
                    one.recv(1)
            one.close()


@pytest.mark.parametrize(
    "ends",
    [Ends("127.0.0.1:1", "127.0.0.1:2"), Ends("", ""), Ends("a:b", "127.0.0.1:1"), Ends("/run/a.sock", "127.0.0.1:1"), Ends("[::1]:1", "")],
)
def test_what_isnt_there_ends_nothing(ends: Ends) -> None:
    with server("127.0.0.1") as (pid, port):
        one, own = connected("127.0.0.1", port)
        assert ended(pid, [ends]) == 0
        assert ended(pid, [Ends(own.peer, "127.0.0.1:1"), Ends(own.local, own.peer)]) == 0
        assert ended(pid, []) == 0
        one.settimeout(0.05)
        with pytest.raises(TimeoutError):
            one.recv(1)
        one.close()


def test_whether_it_may_is_told() -> None:
    with server("127.0.0.1") as (pid, _):
        before = len(os.listdir("/proc/self/fd"))
        allowed(pid)
        assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ProcessLookupError):
        allowed(pid)


def test_a_stranger_may_not() -> None:
    """Another user's process: what a system says that forbids it."""
    script = "import os, sys; from bartizan.lib.connections import allowed; os.setuid(65534); allowed(int(sys.argv[1]))"
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    with server("127.0.0.1") as (pid, _):
        ran = subprocess.run([sys.executable, "-c", script, str(pid)], capture_output=True, text=True, check=False)
    assert "PermissionError" in ran.stderr
