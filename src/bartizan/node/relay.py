"""The node's side of the control plane: says what it holds, applies what it is sent, reports. Without a control plane it keeps serving."""

import asyncio
import logging
from base64 import b64encode
from collections.abc import Callable

import orjson

from bartizan.errors import BartizanError
from bartizan.node.trust import Judge
from bartizan.xds.frames import Answer, Hello, Report, encoded
from bartizan.xds.link import Call, Connect, Lost
from bartizan.xds.release import NOTE, Release
from bartizan.xds.server import AdsServer
from bartizan.xds.signed import ASK, BEAT, decoded_order

_log = logging.getLogger(__name__)
_FIRST_S = 0.1
_LONGEST_S = 2.0
_REFUSED_S = 30.0


class Relay:
    """Connects `server` with the control plane, again and again. What `judge` refuses, Envoy never sees.

    A release waits `connect_s` for an Envoy that is just (re)starting.
    """

    def __init__(self, connect: Connect, node_id: str, server: AdsServer, judge: Judge, *, connect_s: float = 3.0) -> None:
        self._connect = connect
        self._node_id = node_id
        self._server = server
        self._judge = judge
        self._connect_s = connect_s
        self._first = asyncio.Event()
        self._told: str | None = None
        self._again_s = _LONGEST_S
        self._reported: Report | None = None
        self.problem: str | None = None
        """A trouble of the node's own, reported unless Envoy has one."""
        self.disk_problem: str | None = None
        """Why what is held can't be kept; reported unless there is another."""
        self.certificate_problem: str | None = None
        self._streams_problem: str | None = None
        self._stale_problem: str | None = None
        self._places_problem: str | None = None
        self.heard: Callable[[], None] = lambda: None
        """Is called whenever the control plane says that this node holds the newest."""

    def stale(self, problem: str | None) -> None:
        """Takes why API keys are refused."""
        self._stale_problem = problem
        self._server.tell()

    def places(self, problem: str | None) -> None:
        """Takes what is wrong with databases of places."""
        if problem:
            _log.error("%s", problem)
        self._places_problem = problem
        self._server.tell()

    def streams(self, problem: str | None) -> None:
        """Takes why open streams can't be ended."""
        if problem != self._streams_problem:
            if problem:
                _log.error("%s", problem)
            self._streams_problem = problem
            self._server.tell()

    def certificate(self, problem: str | None) -> None:
        """Takes what is wrong with the node's certificate."""
        if problem and problem != self.certificate_problem:
            _log.error("%s", problem)
        self.certificate_problem = problem
        self._server.tell()

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
            except Lost as error:
                pause = _FIRST_S if self._told is None else pause
                self._tell(f"the control plane can't be reached ({error}); what is held is served on")
            except TimeoutError:
                pause = _FIRST_S  # what was refused is asked for again, by saying anew what is held
            except ValueError as error:
                self._tell(f"the control plane sent what can't be read: {error}")
            self._first.set()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_S)

    async def _session(self) -> None:
        async with self._connect() as call:
            outgoing: asyncio.Queue[Hello | Answer] = asyncio.Queue()
            outgoing.put_nowait(Hello(node_id=self._node_id, held=self._server.state.versions(), report=self._report()))
            tasks = [asyncio.create_task(work) for work in (self._write(call, outgoing), self._watch(outgoing))]
            try:
                await self._follow(call, outgoing)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, call: Call, outgoing: asyncio.Queue[Hello | Answer]) -> None:
        """Until the control plane ends the talk. TimeoutError if nothing better has come for a while after a refusal."""
        async with asyncio.timeout(None) as patience:
            async for data in call:
                patience.reschedule(None)
                order = decoded_order(data)
                if order.id == 0:
                    raise Lost(order.signed[:200].decode(errors="replace"))
                if order.id & BEAT and not order.id & ASK:
                    self._heard(order.signed)
                    continue
                if order.id & ASK:
                    outgoing.put_nowait(Answer(report=self._report(), id=order.id, notes=self._notes(order.signed)))
                    continue
                try:
                    release = self._judge.judged(order.signed, self._server.position, self._server.state)
                except BartizanError as error:
                    patience.reschedule(asyncio.get_running_loop().time() + self._refused(error.message))
                    outgoing.put_nowait(Answer(report=self._report(), id=order.id, distrust=error.message))
                    continue
                await self._apply(order.id, release, outgoing)

    def _heard(self, data: bytes) -> None:
        try:
            counts = self._judge.counts(data, self._server.position)
        except (BartizanError, ValueError) as error:
            self._tell(f"what the control plane says can't be believed: {error}")
            return
        if counts:
            self.heard()

    def _notes(self, asked: bytes) -> dict[str, str]:
        """What the control plane asks for: what this node knows to be revoked. ValueError if it can't be read."""
        held, names = self._server.state.of(NOTE), frozenset(orjson.loads(asked))
        return {name: b64encode(one.body).decode() for name, one in held.items() if name in names}

    async def _apply(self, number: int, release: Release, outgoing: asyncio.Queue[Hello | Answer]) -> None:
        self._tell(None)
        outcome = await self._server.apply(release, connect_s=self._connect_s)
        self.problem, self._again_s = None, _LONGEST_S
        self._first.set()
        answer = Answer(report=self._report(), id=number, acknowledged=outcome.acknowledged, error=outcome.error, took_s=outcome.took_s)
        outgoing.put_nowait(answer)

    def _refused(self, why: str) -> float:
        """After how many seconds to ask again: it comes again then, and may be long."""
        self.problem = why
        self._tell(why)
        self._first.set()
        again_s, self._again_s = self._again_s, min(self._again_s * 2, _REFUSED_S)
        return again_s

    @staticmethod
    async def _write(call: Call, outgoing: asyncio.Queue[Hello | Answer]) -> None:
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
            problem=server.problem
            or self._stale_problem
            or self.problem
            or self.disk_problem
            or self.certificate_problem
            or self._streams_problem
            or self._places_problem,
        )
        return report

    def _tell(self, trouble: str | None) -> None:
        """Logs a change for better or worse once, not each attempt."""
        if trouble != self._told:
            _log.warning("%s", trouble) if trouble else _log.info("the control plane is there")
            self._told = trouble
