"""The node's side of the control plane: says what it holds, applies what it is sent, reports. Without a control plane it keeps serving."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import grpc

from bartizan.xds.frames import METHOD, OPTIONS, SERVICE, Answer, Hello, Report, decoded_order, encoded
from bartizan.xds.server import AdsServer

_log = logging.getLogger(__name__)
_FIRST_S = 0.1
_LONGEST_S = 2.0


class _Call(Protocol):
    """grpc.aio's StreamStreamCall, as far as we use it."""

    async def write(self, message: bytes) -> None: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class Relay:
    """Connects `server` with the control plane at the unix socket `control`, again and again.

    A release waits `connect_s` for an Envoy that is just (re)starting.
    """

    def __init__(self, control: Path, node_id: str, server: AdsServer, *, connect_s: float = 3.0) -> None:
        self._control = control
        self._node_id = node_id
        self._server = server
        self._connect_s = connect_s
        self._first = asyncio.Event()
        self._told: str | None = None
        self._reported: Report | None = None
        self.problem: str | None = None
        """A trouble of the node's own, reported unless Envoy has one."""

    async def first_contact(self, seconds: float) -> None:
        """Returns when the control plane has brought us up to date, can't be reached, or takes longer than that."""
        try:
            async with asyncio.timeout(seconds):
                await self._first.wait()
        except TimeoutError:
            return

    async def run(self) -> None:
        """Never returns."""
        pause = _FIRST_S
        while True:
            try:
                await self._session()
                self._tell("the control plane has closed the connection")
                pause = _FIRST_S
            except grpc.aio.AioRpcError as error:
                pause = _FIRST_S if self._told is None else pause
                self._tell(f"the control plane can't be reached ({error.code().name.lower()}); what is held is served on")
            except ValueError as error:
                self._tell(f"the control plane sent what can't be read: {error}")
            self._first.set()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_S)

    async def _session(self) -> None:
        async with grpc.aio.insecure_channel(f"unix:{self._control}", options=OPTIONS) as channel:
            call: _Call = channel.stream_stream(f"/{SERVICE}/{METHOD}")()
            outgoing: asyncio.Queue[Hello | Answer] = asyncio.Queue()
            outgoing.put_nowait(Hello(node_id=self._node_id, held=self._server.state.versions(), report=self._report()))
            tasks = [asyncio.create_task(work) for work in (self._write(call, outgoing), self._watch(outgoing))]
            try:
                await self._follow(call, outgoing)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, call: _Call, outgoing: asyncio.Queue[Hello | Answer]) -> None:
        async for data in call:
            order = decoded_order(data)
            self._tell(None)
            outcome = await self._server.apply(order.release, connect_s=self._connect_s)
            self.problem = None
            self._first.set()
            report = self._report()
            outgoing.put_nowait(
                Answer(report=report, id=order.id, acknowledged=outcome.acknowledged, error=outcome.error, took_s=outcome.took_s)
            )

    @staticmethod
    async def _write(call: _Call, outgoing: asyncio.Queue[Hello | Answer]) -> None:
        while True:
            await call.write(encoded(await outgoing.get()))

    async def _watch(self, outgoing: asyncio.Queue[Hello | Answer]) -> None:
        """Reports what changes between releases, such as an Envoy that comes or goes, or a state that is kept."""
        while True:
            reported = self._reported
            if not self._server.applying and (now := self._report()) != reported:
                outgoing.put_nowait(Answer(report=now))
            await self._server.changed()

    def _report(self) -> Report:
        """How we stand. Each is sent, so that only what differs from it is news."""
        server = self._server
        report = self._reported = Report(
            position=server.position,
            envoy=server.connected,
            acknowledged=server.acknowledged,
            kept=server.kept,
            problem=server.problem or self.problem,
        )
        return report

    def _tell(self, trouble: str | None) -> None:
        """Logs a change for better or worse once, not each attempt."""
        if trouble != self._told:
            _log.warning("%s", trouble) if trouble else _log.info("the control plane is there")
            self._told = trouble
