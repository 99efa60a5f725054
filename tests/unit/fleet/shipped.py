"""A node that ships and a control plane that takes, over loopback, with a line between them that can be broken."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bartizan.fleet.intake import Intake
from bartizan.telemetry.places import folder_of
from bartizan.telemetry.search import files
from bartizan.telemetry.shipping import MOST_FRAME
from bartizan.xds.link import Call, Link, Lost

TIME = "2026-11-22T08:00:00.000Z"


def record(number: int, size: int = 0) -> str:
    return json.dumps({"time": TIME, "request_id": str(number), "user_agent": "x" * size}) + "\n"


def append(folder: Path, first: int, last: int, size: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "requests.jsonl").open("a") as file:
        file.write("".join(record(i, size) for i in range(first, last)))


class Line:
    """The control plane's door for the node `edge`, without TLS."""

    def __init__(self, records: Path, bounds: tuple[int, int] = (1 << 20, 1 << 30)) -> None:
        self.records = records
        self.bounds = bounds
        self.open = True
        self.tasks: set[asyncio.Task[None]] = set()
        self.ended: list[BaseException] = []

    async def __aenter__(self) -> "Line":
        self.intake = Intake(self.records, lambda: self.bounds)
        self.server = await asyncio.start_server(self._met, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self.server.close()
        await self.cut()
        await asyncio.to_thread(self.intake.close)

    async def restart(self) -> None:
        """The control plane ends, whatever it is doing, and is there again."""
        await self.cut()
        await asyncio.to_thread(self.intake.close)
        self.intake = Intake(self.records, lambda: self.bounds)

    async def cut(self) -> None:
        for task in tuple(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(reader, writer, MOST_FRAME)
        if self.open:
            task = asyncio.create_task(self.intake.talk("edge", link))
            self.tasks.add(task)
            await asyncio.wait([task])
            self.tasks.discard(task)
            if not task.cancelled() and (error := task.exception()):
                self.ended.append(error)
        await link.close()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Call]:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError as error:
            raise Lost(str(error)) from error
        link = Link(reader, writer, MOST_FRAME)
        try:
            yield link
        finally:
            await link.close()

    def kept(self) -> list[int]:
        paths = reversed(list(files(folder_of(self.records, "edge"))))
        return [int(json.loads(line)["request_id"]) for path in paths for line in path.read_bytes().splitlines()]

    async def until(self, count: int, seconds: float = 20) -> None:
        async with asyncio.timeout(seconds):
            while self.intake.told("edge") is None or self.taken() < count:
                await asyncio.sleep(0.02)

    def taken(self) -> int:
        told = self.intake.told("edge") or {}
        return int(told.get("requests", {}).get("records", 0))
