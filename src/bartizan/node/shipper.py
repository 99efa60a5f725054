"""Ships the records of a node to its control plane: in order, from where that has got to, and never in the way of anything else."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from bartizan.node.trail import Trail
from bartizan.telemetry.shipping import IN_FLIGHT, At, Batch, Kept, Opening, decoded, encoded, encoded_batch
from bartizan.xds.link import Call, Connect, Lost

_log = logging.getLogger(__name__)
_POLL_S = 0.1
_LOOK_S = 1.0
_FIRST_S, _LONGEST_S = 0.5, 5.0


class Shipper:
    """One stream of the records in `folder`, over a connection of its own: no flood of records holds up a release, or a failed attempt."""

    def __init__(self, folder: Path, stream: str, connect: Connect) -> None:
        self._stream = Opening.model_validate({"stream": stream})
        self._trail = Trail(folder, stream)
        self._connect = connect
        self._lost = 0
        self._under_way: deque[tuple[At, int]] = deque()
        """Where batches end that weren't acknowledged, and how many lost records each tells of."""
        self._told = ""

    async def run(self) -> None:
        """Never returns."""
        pause = _FIRST_S
        while True:
            began = time.monotonic()
            try:
                await self._session()
                self._tell("the control plane has closed the connection")
            except (Lost, TimeoutError, ValueError, OSError) as error:
                self._tell(str(error) or "it takes too long")
            await self._rest(pause)
            pause = _FIRST_S if time.monotonic() - began > _LONGEST_S + pause else min(pause * 2, _LONGEST_S)

    async def _rest(self, seconds: float) -> None:
        """Counts meanwhile what rotation deletes."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            await asyncio.sleep(min(left, _LOOK_S))
            with suppress(OSError):
                await asyncio.to_thread(self._trail.look)

    async def _session(self) -> None:
        async with self._connect() as call:
            await call.write(encoded(self._stream))
            answers = aiter(call)
            at = await self._heard(answers)
            self._settle(at)
            await asyncio.to_thread(self._trail.seek, at)
            free = asyncio.Semaphore(IN_FLIGHT)
            sending = asyncio.create_task(self._send(call, free))
            listening = asyncio.create_task(self._listen(answers, free))
            try:
                done, _ = await asyncio.wait((sending, listening), return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in (sending, listening):
                    task.cancel()
                await asyncio.gather(sending, listening, return_exceptions=True)

    def _settle(self, at: At) -> None:
        """What was under way when the last connection broke: the control plane has all up to `at`."""
        ends = [end for end, _ in self._under_way]
        for _ in range(ends.index(at) + 1 if at in ends else 0):
            self._under_way.popleft()
        self._lost += sum(lost for _, lost in self._under_way)
        self._under_way.clear()

    async def _send(self, call: Call, free: asyncio.Semaphore) -> None:
        trail, looked = self._trail, time.monotonic()
        while True:
            await free.acquire()
            while (piece := await asyncio.to_thread(trail.next)) is None:
                await asyncio.sleep(_POLL_S)
                if time.monotonic() - looked > _LOOK_S:
                    looked = time.monotonic()
                    await asyncio.to_thread(trail.look)
            lost, self._lost = self._lost + trail.lost(), 0
            self._under_way.append((piece.at, lost))
            batch = Batch(after=piece.after, at=piece.at, sent=time.time(), lost=lost, behind=trail.behind())
            await call.write(encoded_batch(batch, piece.lines))

    async def _listen(self, answers: AsyncIterator[bytes], free: asyncio.Semaphore) -> None:
        while True:
            at = await self._heard(answers)
            if not self._under_way or self._under_way[0][0] != at:
                raise ValueError("it acknowledges what wasn't sent")
            self._under_way.popleft()
            self._tell("")
            free.release()

    @staticmethod
    async def _heard(answers: AsyncIterator[bytes]) -> At:
        data = await anext(answers, None)
        if data is None:
            raise Lost("the control plane has closed the connection")
        return decoded(Kept, data).at

    def _tell(self, trouble: str) -> None:
        """Logs a change for better or worse once."""
        if trouble and not self._told:
            _log.warning("%s aren't shipped (%s); they wait here as long as there is room", self._stream.stream, trouble)
        elif self._told and not trouble:
            _log.info("%s are shipped again", self._stream.stream)
        self._told = trouble
