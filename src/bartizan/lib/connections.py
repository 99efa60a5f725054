"""TCP connections of a child process, ended from outside: its parent gets copies of its sockets from the kernel and shuts them down.

The child needs to know nothing of it: to it, the other side has hung up. Linux lets a parent do so, unless a container forbids it.
"""

import ctypes
import errno
import ipaddress
import os
import socket
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_PIDFD_GETFD = 438
"""The system call's number, the same on every architecture."""
_ESTABLISHED = "01"
_LOCAL, _REMOTE, _STATE, _INODE = 1, 2, 3, 9
"""The columns of /proc/net/tcp."""


class Ends(NamedTuple):
    """A connection by its two ends, each as address:port, IPv6 in brackets."""

    peer: str
    local: str


def ended(pid: int, wanted: Collection[Ends]) -> int:
    """Shuts these connections of process `pid` down, both ways, and tells how many there were. OSError if the system forbids it."""
    inodes = _inodes(pid, {key for one in wanted for key in _keys(one)}) if wanted else frozenset()
    found = 0
    with _Process(pid) as process:
        for number, inode in _sockets(pid) if inodes else ():
            if inode in inodes:
                found += _shut(process, number, inode)
    return found


def allowed(pid: int) -> None:
    """OSError if connections of process `pid` can't be ended by this one."""
    with _Process(pid) as process:
        numbers = [int(name) for name in os.listdir(f"/proc/{pid}/fd")]
        for number in sorted(numbers):
            with suppress(FileNotFoundError):  # closed since
                os.close(_copied(process, number))
                return


class _Process:
    """A process by a descriptor, which means no other one even if its number is given anew."""

    def __init__(self, pid: int) -> None:
        if sys.platform != "linux":
            raise OSError(errno.ENOSYS, "only Linux lets a parent do so")
        self._descriptor = os.pidfd_open(pid)

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _copied(process: int, number: int) -> int:
    """Our own descriptor of the process's open file."""
    made: int = ctypes.CDLL(None, use_errno=True).syscall(_PIDFD_GETFD, process, number, 0)
    if made >= 0:
        return made
    code = ctypes.get_errno()
    if code == errno.EBADF:
        raise FileNotFoundError(code, os.strerror(code))
    raise OSError(code, os.strerror(code))


def _shut(process: int, number: int, inode: int) -> bool:
    """Whether what the process has open under this number was that socket, and is ended now."""
    try:
        copy = _copied(process, number)
    except FileNotFoundError:
        return False
    if os.fstat(copy).st_ino != inode:  # closed since, and the number given to another
        os.close(copy)
        return False
    with socket.socket(fileno=copy) as one:
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:  # it has just ended by itself
            return False
    return True


def _sockets(pid: int) -> Iterator[tuple[int, int]]:
    """Numbers and inodes of all sockets that the process has open."""
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):
            target = os.readlink(f"/proc/{pid}/fd/{name}")
            if target.startswith("socket:["):
                yield int(name), int(target[len("socket:[") : -1])


def _inodes(pid: int, keys: Collection[tuple[str, str]]) -> frozenset[int]:
    """The sockets of the connections with these ends, as the kernel lists them."""
    found = set()
    for table in ("tcp", "tcp6"):
        path = Path(f"/proc/{pid}/net/{table}")
        lines = path.read_text().splitlines()[1:] if path.exists() else []
        for line in lines:
            column = line.split(None, _INODE + 1)
            if column[_STATE] == _ESTABLISHED and (column[_REMOTE], column[_LOCAL]) in keys:
                found.add(int(column[_INODE]))
    return frozenset(found)


def _keys(ends: Ends) -> Iterator[tuple[str, str]]:
    """How the kernel may write the two ends: an IPv4 connection of an IPv6 socket has both in the long form."""
    try:
        peer, local = (_written(one) for one in ends)
    except ValueError:
        return
    yield peer[0], local[0]
    yield peer[1], local[1]


def _written(end: str) -> tuple[str, str]:
    """An end in its short and its long form. ValueError if it is none."""
    host, _, port = end.rpartition(":")
    address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    packed = address.packed
    long = packed if len(packed) > 4 else bytes(10) + b"\xff\xff" + packed
    return f"{_hex(packed)}:{int(port):04X}", f"{_hex(long)}:{int(port):04X}"


def _hex(packed: bytes) -> str:
    """In words of four bytes, each in the order of this machine."""
    words = (int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4))
    return "".join(f"{word:08X}" for word in words)
