"""The node asks, the supervisor ends connections."""

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from bartizan.lib.connections import Ends
from bartizan.node import ending
from bartizan.node.ending import Ender, pair, serve
from tests.unit.lib.test_connections import connected, server


@asynccontextmanager
async def talking(envoy: Callable[[], int | None]) -> AsyncIterator[Ender]:
    ours, its = pair()
    task = asyncio.create_task(serve(ours, envoy))
    ender = Ender(its.detach())
    try:
        yield ender
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        ours.close()
        assert ender._socket
        ender._socket.close()


async def test_many_connections_are_ended_in_several_messages() -> None:
    with server("127.0.0.1") as (pid, port):
        made = [connected("127.0.0.1", port) for _ in range(30)]
        nobody = [Ends(f"127.0.0.1:{i + 1}", "127.0.0.1:9") for i in range(500)]
        async with talking(lambda: pid) as ender:
            assert await ender.end([*nobody, *(ends for _, ends in made[:20])]) == 20
            assert ender.problem is None
        for i, (one, _) in enumerate(made):
            one.settimeout(0.01)
            with pytest.raises(TimeoutError) if i >= 20 else contextlib.nullcontext():
                assert one.recv(1) == b""
            one.close()


async def test_without_an_envoy_there_is_nothing_to_end() -> None:
    async with talking(lambda: None) as ender:
        assert await ender.end([Ends("127.0.0.1:1", "127.0.0.1:2")]) == 0
        assert ender.problem is None


async def test_an_envoy_that_has_just_ended_is_no_trouble() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    async with talking(lambda: child.pid) as ender:
        assert await ender.end([]) == 0
        assert ender.problem is None


async def test_what_the_system_forbids_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(ending, "allowed", forbidden)
    async with talking(lambda: 1) as ender:
        await ender.end([])
        assert ender.problem and "SYS_PTRACE" in ender.problem
        monkeypatch.setattr(ending, "allowed", lambda _: None)
        await ender.end([])
        assert ender.problem is None


async def test_an_answer_to_a_node_before_isnt_taken_for_ours() -> None:
    ours, its = pair()
    ours.send(b'{"id": "of another", "ended": 7}')
    ender = Ender(its.detach())
    task = asyncio.create_task(serve(ours, lambda: None))
    assert await ender.end([]) == 0
    ours.send(b"not JSON, though")
    await ender.end([])
    assert ender.problem and "doesn't answer" in ender.problem
    task.cancel()
    ours.close()
    assert ender._socket
    ender._socket.close()


async def test_rubbish_doesnt_end_the_supervisors_side() -> None:
    ours, its = pair()
    task = asyncio.create_task(serve(ours, lambda: None))
    its.send(b"rubbish")
    its.send(b'{"id": "a", "end": [["x"]]}')
    ender = Ender(its.detach())
    await ender.end([])
    assert ender.problem is None
    task.cancel()
    ours.close()
    assert isinstance(ender._socket, socket.socket)
    ender._socket.close()


async def test_a_node_without_a_supervisor_says_so() -> None:
    ender = Ender(None)
    assert await ender.end([Ends("127.0.0.1:1", "127.0.0.1:2")]) == 0
    assert ender.problem and "supervisor" in ender.problem
