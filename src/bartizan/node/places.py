"""Databases of places on a node: what the filter of places names is there before Envoy looks for it.

Beside a control plane that is the one that makes the copies. Elsewhere an operator puts `<database>.mmdb` into the state's folder `geo`;
what isn't there is unknown, and told.
"""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

from bartizan.envoy.names import PLACES
from bartizan.identity.databases import Copies, put_unknowing
from bartizan.model.places import TELLS, Database
from bartizan.xds.release import EXTENSION, Resource

OWN = "geo"
_LOOK_S = 0.5
_NAMED = re.compile(rb"places/([a-z]+)-[0-9a-f]{12}\.mmdb")


class PlaceFiles:
    """`alone`: no control plane shares this state."""

    def __init__(self, state: Path, *, alone: bool) -> None:
        self._state, self._alone = state, alone
        self._copies = Copies()
        self._wanted: dict[Path, tuple[Database, Path]] = {}
        self._told: str | None = None
        self.tell: Callable[[str | None], None] = lambda problem: None
        """Takes what is wrong with them, or None."""

    def adapted(self, one: Resource) -> Resource:
        """The resource as it is; the databases that it names are there from now on."""
        if one.type_url == EXTENSION and one.name == PLACES:
            for found in _NAMED.finditer(one.body):
                self._bring(self._state / found[0].decode(), found[1].decode())
        return one

    def _bring(self, copy: Path, name: str) -> None:
        database = next((known for known in TELLS if known == name), None)
        if database is None or copy in self._wanted:
            return
        self._wanted[copy] = database, self._state / OWN / f"{database}.mmdb"
        if self._alone:
            self._copies.want(self._wanted)
        put_unknowing(copy, database)

    async def run(self) -> None:
        """Looks again and again, for ever."""
        while True:
            if self._alone:
                await asyncio.to_thread(self._copies.refresh)
            self._tell()
            await asyncio.sleep(_LOOK_S)

    def _tell(self) -> None:
        errors = [f"{source}: {error}" for source, error, _ in self._copies.errors(self._wanted)]
        told = f"Databases of places aren't good: {'; '.join(errors)}" if errors else None
        if told != self._told:
            self._told = told
            self.tell(told)
