"""Ends the open streams of callers whose key was revoked, or who were blocked or removed: within seconds, and nobody else's."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import orjson
from pydantic import ValidationError

from bartizan.envoy import names
from bartizan.identity.brake import Brake
from bartizan.identity.revoked import BRAKES, blocks
from bartizan.identity.table import holders
from bartizan.node.ending import Ender
from bartizan.node.streams import OpenStreams, Standing, Stream
from bartizan.telemetry.tail import followed
from bartizan.xds.release import Resource
from bartizan.xds.server import AdsServer

_log = logging.getLogger(__name__)
_KEY_TABLES = "keys/"
_FORGOTTEN_S = 3.5 * names.OPEN_EVERY_S
_LONGEST_FILE = 1 << 18
_EVERY_S = 1.0


class Watch:
    """Follows what Envoy tells of open streams in `path`, and what `server` holds; has `ender` end those that may not go on."""

    def __init__(self, server: AdsServer, ender: Ender, path: Path, tell: Callable[[str | None], None]) -> None:
        """`tell`: why streams can't be ended, or None."""
        self._server, self._ender, self._path, self._tell = server, ender, path, tell
        self._streams = OpenStreams(_FORGOTTEN_S)
        self._tables: dict[str, tuple[bytes, frozenset[tuple[str, str]]]] = {}
        """Who counts by each table, with its hash."""
        self._standing: Standing | None = None

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._look())
            group.create_task(self._tidy())

    async def _follow(self) -> None:
        async for batch in followed(self._path):
            if new := self._streams.note(batch, time.monotonic()):
                await self._judge(self._streams.all() if self._take_standing() else new)
            self._shorten()

    async def _look(self) -> None:
        """Judges all streams whenever who may call has changed."""
        while True:
            if not self._server.applying and len(self._streams) and self._take_standing():
                await self._judge(self._streams.all())
            await self._server.changed()

    async def _tidy(self) -> None:
        while True:
            await self._ender.end(())
            self._tell(self._ender.problem)
            for _ in range(30):
                await asyncio.sleep(_EVERY_S)
                self._streams.forget(time.monotonic())

    async def _judge(self, streams: Iterable[Stream]) -> None:
        standing, now = self._standing, time.time()
        against = {stream: why for stream in streams if (why := standing.against(stream, now))} if standing else {}
        if not against:
            return
        for why in sorted(set(against.values())):
            _log.warning("%s: open streams are ended", why)
        self._streams.drop(against)
        await self._ender.end(sorted({stream.ends for stream in against}))
        self._tell(self._ender.problem)

    def _take_standing(self) -> bool:
        """Reads who may call from what is held. Whether that is new."""
        tables = {name: self._holders(one) for name, one in self._server.given(names.ECDS).items() if name.startswith(_KEY_TABLES)}
        if not tables or not self._server.serving:
            return False  # a node that was just started: nothing is known of anybody yet
        before, self._tables = self._tables, tables
        if self._standing and all(before.get(name) is one for name, one in tables.items()):
            found = self._standing.holders
        else:
            found = frozenset[tuple[str, str]]().union(*(one for _, one in tables.values()))
        standing = Standing(found, self._brakes(), self._lost())
        news, self._standing = standing != self._standing, standing
        return news

    def _brakes(self) -> tuple[Brake, ...]:
        note = self._server.state.of(names.NOTE).get(BRAKES)
        try:
            return blocks(note.body) if note else ()
        except ValidationError:  # of a later version. New requests are refused all the same
            return ()

    def _lost(self) -> frozenset[str]:
        note = self._server.state.of(names.NOTE).get(names.LOST)
        try:
            return frozenset(map(str, orjson.loads(note.body))) if note else frozenset()
        except (orjson.JSONDecodeError, TypeError):
            return frozenset()

    def _holders(self, table: Resource) -> tuple[bytes, frozenset[tuple[str, str]]]:
        known = self._tables.get(table.name)
        return known if known and known[0] == table.digest else (table.digest, holders(table.body))

    def _shorten(self) -> None:
        """Nothing of it is kept. What is lost of a line comes again with the next."""
        with suppress(OSError):
            if self._path.stat().st_size > _LONGEST_FILE:
                os.truncate(self._path, 0)
