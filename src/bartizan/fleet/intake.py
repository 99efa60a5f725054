"""Takes the records that nodes ship: looks at each line, keeps them, says how far. Never faster than leaves time for all else."""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from bartizan.fleet.landing import Arrival, Landing
from bartizan.telemetry.places import FAILURES_BYTES, REQUESTS, STREAMS, folder_of, folders
from bartizan.telemetry.shipping import Kept, Opening, decoded, decoded_batch, encoded
from bartizan.telemetry.sifting import Sieve
from bartizan.xds.link import Link, Lost

_log = logging.getLogger(__name__)
_OPENING_S = 10.0
_THREADS = 2
_REST = 1.0
"""For each moment that looking at lines takes, as long is left to other work before the next."""
_AGAIN_S = 2.0
_TELL_EACH_S = 60.0
_MOST_TOLD = 200
_T = TypeVar("_T")


@dataclass(slots=True)
class _Node:
    """How one node's shipping stands."""

    talks: dict[str, asyncio.Task[Any]] = field(default_factory=dict)
    behind: dict[str, int] = field(default_factory=dict)
    problem: str = ""
    taken_at: float = 0.0
    complained: float = float("-inf")


class Intake:
    """Keeps what nodes ship below `records`. `bounds`: at which size a file of requests is closed, and how much of each node is kept."""

    def __init__(self, records: Path, bounds: Callable[[], tuple[int, int]]) -> None:
        self._records = records
        self.bounds = bounds
        self._nodes: dict[str, _Node] = {}
        self._landings: dict[tuple[str, str], Landing] = {}
        self._turn = asyncio.Lock()
        self._pool = ThreadPoolExecutor(_THREADS, "records")  # a disk that is slow for records isn't for all else
        for folder in folders(records)[1:]:  # what was never acknowledged is cut off before anybody reads it
            for stream in STREAMS:
                self._landing(folder.name, stream)

    def close(self) -> None:
        """Waits for what is being written."""
        self._pool.shutdown()

    async def talk(self, name: str, link: Link) -> None:
        """A connection by which this node ships one of its streams, until it ends. A later one for the same takes its place."""
        async with asyncio.timeout(_OPENING_S):
            data = await link.read()
        if data is None:
            return
        stream = decoded(Opening, data).stream
        node, task = self._nodes.setdefault(name, _Node()), asyncio.current_task()
        if (former := node.talks.get(stream)) is not None:
            former.cancel()
        if task is not None:
            node.talks[stream] = task
        try:
            await self._take_all(name, stream, link)
        except ValueError as error:
            node.problem = f"it sent what can't be read: {str(error)[:_MOST_TOLD]}"
            raise
        finally:
            if node.talks.get(stream) is task:
                del node.talks[stream]

    async def _take_all(self, name: str, stream: str, link: Link) -> None:
        landing = await self._on_disk(name, partial(self._landing, name, stream))
        await link.write(encoded(Kept(at=await self._on_disk(name, lambda: landing.at))))
        while (data := await link.read()) is not None:
            arrival, behind = await self._looked_at(name, stream, data)
            at = await self._on_disk(name, partial(landing.take, arrival))
            node = self._nodes[name]
            node.behind[stream], node.taken_at = behind, time.time()
            node.problem = ""
            if arrival.refused or arrival.lost:
                told = f"{arrival.refused} lines are no records, {arrival.lost} records were lost before they came"
                self._complain(name, told, keep=False)
            await link.write(encoded(Kept(at=at)))

    async def _on_disk(self, name: str, work: Callable[[], _T]) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except OSError as error:
            self._complain(name, f"its records can't be kept here: {error.strerror or error}")
            await asyncio.sleep(_AGAIN_S)  # it keeps them meanwhile, and sends them again
            raise Lost("its records can't be kept") from error

    async def _looked_at(self, name: str, stream: str, data: bytes) -> tuple[Arrival, int]:
        """In turns among the nodes, and with pauses."""
        batch, lines = decoded_batch(data)
        found: list[bytes] = []
        records = refused = 0
        pieces = Sieve(name, stream, batch.sent).pieces(lines)
        while True:
            async with self._turn:
                began = time.perf_counter()
                piece = next(pieces, None)
                await asyncio.sleep((time.perf_counter() - began) * _REST)
            if piece is None:
                break
            found.append(piece.lines)
            records, refused = records + piece.records, refused + piece.refused
        return Arrival(batch.after, batch.at, b"".join(found), records, refused, batch.lost), batch.behind

    def _complain(self, name: str, what: str, *, keep: bool = True) -> None:
        """Logs it, not too often; `keep`: shows it as long as it lasts."""
        node, now = self._nodes[name], time.monotonic()
        if keep:
            node.problem = what
        if now - node.complained >= _TELL_EACH_S:
            node.complained = now
            _log.warning("records of node %s: %s", name, what)

    def _landing(self, name: str, stream: str) -> Landing:
        made = self._landings.get((name, stream))
        if made is None:
            made = self._landings[name, stream] = Landing(folder_of(self._records, name), stream, partial(self._bounds_of, stream))
        return made

    def _bounds_of(self, stream: str) -> tuple[int, int]:
        return self.bounds() if stream == REQUESTS else (FAILURES_BYTES, FAILURES_BYTES)

    def told(self, name: str) -> dict[str, Any] | None:
        """How it stands with the records of this node, for `status`; None if it ships none."""
        found = {stream: self._landings[name, stream].totals for stream in STREAMS if (name, stream) in self._landings}
        node = self._nodes.get(name, _Node())
        if not found and not node.problem:
            return None
        streams = {stream: {**asdict(totals), "behind_bytes": node.behind.get(stream, 0)} for stream, totals in found.items()}
        return {**streams, "ships": sorted(node.talks), "taken_at": node.taken_at, "problem": node.problem}
