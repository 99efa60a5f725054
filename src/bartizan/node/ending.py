"""How a node has connections of its Envoy ended: it asks the supervisor, which is Envoy's parent and so may, over a pair of sockets.

Both sides are here: `Ender` asks, `serve` answers. Free of gRPC, because the supervisor is.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Sequence

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from bartizan.lib.connections import Ends, allowed, ended

_MOST = 1 << 16
_AT_ONCE = 200
_ANSWER_S = 5.0
_FORBIDDEN = (
    "Open streams of revoked callers can't be ended here: the system forbids the supervisor to touch Envoy's connections ({why}). "
    "New requests are refused all the same. In a container, allow it with the capability SYS_PTRACE, or a seccomp profile with pidfd_getfd."
)
_SILENT = "Open streams of revoked callers can't be ended: the supervisor doesn't answer ({why})."
_ALONE = "Open streams of revoked callers can't be ended: this node isn't run by its supervisor."


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str


class _Asked(_Message):
    end: tuple[Ends, ...] = ()


class _Told(_Message):
    ended: int = 0
    problem: str | None = None


class Ender:
    """The node's side. `problem` says why it can't be done, if it can't."""

    def __init__(self, descriptor: int | None) -> None:
        """`descriptor`: the node's socket; None if nobody is at the other end."""
        self._socket = None if descriptor is None else socket.socket(fileno=descriptor)
        self._lock = asyncio.Lock()
        self.problem: str | None = _ALONE
        if self._socket:
            self.problem = None
            self._socket.setblocking(False)

    async def end(self, connections: Sequence[Ends]) -> int:
        """How many of these were there and are ended. With none, only whether it could be done is looked at."""
        if (there := self._socket) is None:
            return 0
        async with self._lock:
            return sum([await self._ask(there, connections[at : at + _AT_ONCE]) for at in range(0, len(connections) or 1, _AT_ONCE)])

    async def _ask(self, there: socket.socket, connections: Sequence[Ends]) -> int:
        loop, asked = asyncio.get_running_loop(), _Asked(id=os.urandom(8).hex(), end=tuple(connections))
        try:
            async with asyncio.timeout(_ANSWER_S):
                await loop.sock_sendall(there, orjson.dumps(asked.model_dump()))
                told = _Told(id="")
                while told.id != asked.id:  # what was asked by a node before this one isn't for us
                    told = _Told.model_validate_json(await loop.sock_recv(there, _MOST))
        except (OSError, TimeoutError, ValidationError) as error:
            self.problem = _SILENT.format(why=error or "it takes too long")
            return 0
        self.problem = told.problem
        return told.ended


def pair() -> tuple[socket.socket, socket.socket]:
    """The supervisor's side and the node's."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


async def serve(ours: socket.socket, envoy: Callable[[], int | None]) -> None:
    """The supervisor's side, for ever. `envoy`: its process, if there is one."""
    loop = asyncio.get_running_loop()
    ours.setblocking(False)
    while True:
        data = await loop.sock_recv(ours, _MOST)
        try:
            asked = _Asked.model_validate_json(data)
        except ValidationError:
            continue
        told = await asyncio.to_thread(_done, asked, envoy())
        await loop.sock_sendall(ours, orjson.dumps(told.model_dump()))


def _done(asked: _Asked, pid: int | None) -> _Told:
    if pid is None:
        return _Told(id=asked.id)
    try:
        if asked.end:
            return _Told(id=asked.id, ended=ended(pid, asked.end))
        allowed(pid)
    except OSError as error:
        if error.errno in {errno.ESRCH, errno.ENOENT}:  # it has just ended
            return _Told(id=asked.id)
        return _Told(id=asked.id, problem=_FORBIDDEN.format(why=error.strerror))
    return _Told(id=asked.id)
