"""A node as its control plane knows it: connected now or once, what it holds, what it said last."""

import asyncio
import time
from dataclasses import dataclass

import orjson

from bartizan.xds.frames import Answer, Hello, Report
from bartizan.xds.release import Outcome, Position, Versions
from bartizan.xds.signed import ASK, BEAT, Order

GROUP = "default"
"""The group of nodes that weren't put into another."""
_SENT_S = 600.0
"""So long may it take to send a release: a whole state over a thin line."""
_LONGEST = 2000
"""So much of a node's words is kept: it may run on another machine, which may be taken over."""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """How one node stands."""

    node_id: str
    """Its name."""
    group: str
    proven: bool
    """Its certificate says its name."""
    connected: bool
    position: Position
    since: float
    """Unix time at which it came to this position."""
    lag: int
    """How many releases came after the one that it holds."""
    envoy: bool
    acknowledged: bool
    """Its Envoy has taken all of it."""
    kept: bool
    """All of it is on the node's disk: the node serves it again after a restart, even alone."""
    error: str | None
    took_s: float
    """How long its last release took, from its arrival at the node to Envoy's word."""


class Member:
    """One node. `level` is the edit of the control plane's state that it holds; None as long as only what it said of itself tells."""

    def __init__(self, name: str, group: str, hello: Hello | None = None, *, proven: bool = False) -> None:
        self.name, self.group, self.proven = name, group, proven
        self.report = hello.report if hello else Report(position=Position(), envoy=False, acknowledged=False)
        self.held: Versions = hello.held if hello else {}
        self.level: int | None = None
        self.tried = 0
        """The edit that it was last brought to, or refused."""
        self.refused = ""
        """Why its Envoy refused that."""
        self.lagging = False
        """It was waited for long enough: nobody waits for it until it has caught up."""
        self.asked = False
        """What it knows to be revoked is known here."""
        self.needs = 0
        """It gets nothing of an earlier generation of live data: it knows better."""
        self.outgoing: asyncio.Queue[tuple[Order, asyncio.Event]] = asyncio.Queue()
        """What is to be sent, and what to set when it is."""
        self.gone = asyncio.Event()
        self.due = asyncio.Event()
        """There is something new for it."""
        self.since = time.time()
        self.took_s = 0.0
        self._orders = 0
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._expected: dict[int, asyncio.Future[Outcome]] = {}

    def beat(self, signed: bytes) -> None:
        """Sends a beat, unless what was sent before is still here."""
        if self.outgoing.empty():
            self.outgoing.put_nowait((Order(BEAT, signed), asyncio.Event()))

    async def ask(self, names: tuple[str, ...], seconds: float) -> Answer | None:
        """Its answer, with its notes of these names; None if it left, or is so late."""
        return await self.send(orjson.dumps(names), seconds, ASK)

    async def send(self, signed: bytes, seconds: float, mark: int = 0) -> Answer | None:
        """Its answer; None if it left, or is so late after it was sent."""
        self._orders += 1
        number, sent = self._orders | mark, asyncio.Event()
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self.outgoing.put_nowait((Order(number, signed), sent))
        sending, leaving = asyncio.ensure_future(sent.wait()), asyncio.ensure_future(self.gone.wait())
        try:
            await asyncio.wait((sending, leaving), timeout=_SENT_S, return_when=asyncio.FIRST_COMPLETED)
            if sent.is_set():
                await asyncio.wait((answer, leaving), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            self._waiting.pop(number, None)
        return answer.result() if answer.done() else None

    def heard(self, answer: Answer) -> None:
        """Takes what it says."""
        if answer.report.position != self.report.position:
            self.since = time.time()
        self.report = answer.report
        if answer.id:
            self.took_s = answer.took_s
            waiting = self._waiting.get(answer.id)
            if waiting and not waiting.done():
                waiting.set_result(answer)

    def expect(self, edit: int) -> asyncio.Future[Outcome]:
        """What will have become of this edit, or of a later one in its place."""
        return self._expected.setdefault(edit, asyncio.get_running_loop().create_future())

    def settle(self, edit: int, outcome: Outcome) -> None:
        """Tells those who expect it."""
        for expected in [one for one in self._expected if one <= edit]:
            future = self._expected.pop(expected)
            if not future.done():
                future.set_result(outcome)

    def leave(self) -> None:
        """It isn't connected any more."""
        self.gone.set()
        self.settle(max(self._expected, default=0), Outcome(False))

    def status(self, lag: int) -> NodeStatus:
        """How it stands."""
        report, connected = self.report, not self.gone.is_set()
        return NodeStatus(
            node_id=self.name,
            group=self.group,
            proven=self.proven,
            connected=connected,
            position=report.position,
            since=self.since,
            lag=lag,
            envoy=connected and report.envoy,
            acknowledged=connected and report.acknowledged,
            kept=report.kept,
            error=report.problem[:_LONGEST] if report.problem else None,
            took_s=self.took_s,
        )


def absent(name: str, group: str, lag: int) -> NodeStatus:
    """A node that belongs to the fleet and hasn't come since the control plane was started."""
    never = Member(name, group, proven=True)
    never.gone.set()
    never.since = 0.0
    return never.status(lag)
