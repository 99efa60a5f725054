"""The files that declare everything: read with a cache, watched until they have settled."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from watchfiles import Change, awatch

from bartizan.compile.read import Read, assemble, read
from bartizan.model.problem import Place, Problem
from bartizan.model.snapshot import Snapshot
from bartizan.policies import PolicyKind

QUIET_MS = 200
"""A folder has settled when nothing changed for this long."""
LATEST_MS = 2000
"""Changes are taken at the latest after this long, even if more come."""
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class _Cached:
    stamp: tuple[int, int, int]
    read: Read
    text: str


class Folder:
    """A file or a folder of YAML files. Files that didn't change aren't read again, and give the very same resources."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._cache: dict[Path, _Cached] = {}
        self._texts: dict[str, str] = {}
        self._named: dict[str, tuple[tuple[int, int, int], bytes]] = {}
        self._good: Snapshot | None = None

    @property
    def base(self) -> Path:
        """The folder that relative file names in resources start from."""
        return self.root if self.root.is_dir() else self.root.parent

    def paths(self) -> Iterator[Path]:
        """The YAML files, in order; hidden files and folders are left out."""
        if not self.root.is_dir():
            yield self.root
            return
        for folder, folders, names in os.walk(self.root, onerror=_told):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            # A link that leads nowhere is among the names: it is told as a file that can't be read, for what it declared must not
            # vanish in silence.
            yield from (Path(folder, name) for name in sorted(names) if name.endswith(_SUFFIXES) and not name.startswith("."))

    def snapshot(self) -> Snapshot | tuple[Problem, ...]:
        """What the files declare now, or everything that is wrong with them."""
        self._texts = {}
        skipped = len(str(self.root)) + 1 if self.root.is_dir() else len(str(self.root.parent)) + 1
        try:
            reads = [self._read(path, str(path)[skipped:]) for path in self.paths()]
        except OSError as error:
            where = Place(str(error.filename or self.root)[skipped:] or ".", 1)
            return (Problem(where, "folder-unreadable", f"the folder can't be read: {error.strerror}", "Check its permissions."),)
        files, problems = self._files(reads)
        found = tuple(problems) if problems else assemble(reads, files, self._good)
        if isinstance(found, Snapshot):
            self._good = found
        return found

    def texts(self) -> dict[str, str]:
        """The files that the last snapshot was read from, by their names."""
        return self._texts

    def _read(self, path: Path, name: str) -> Read:
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            known = self._cache.get(path)
            if known is None or known.stamp != stamp:
                text = path.read_text(encoding="utf-8")
                known = self._cache[path] = _Cached(stamp, read(text, name), text)
            self._texts[name] = known.text
            return known.read
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it isn't UTF-8 text"
            return Read(
                (), (Problem(Place(name, 1), "file-unreadable", f"the file can't be read: {why}", "Check its name and its permissions."),)
            )

    def _files(self, reads: list[Read]) -> tuple[dict[str, bytes], list[Problem]]:
        """The contents of files that policies name. They are part of what the policy says."""
        found: dict[str, bytes] = {}
        problems: list[Problem] = []
        for resource in (resource for one in reads for resource in one.resources):
            if not isinstance(resource.value, PolicyKind):
                continue
            for name in resource.value.file_names():
                try:
                    found[name] = self._content(name)
                except OSError as error:
                    hint = "A relative name starts from the folder of these files."
                    problems.append(Problem(resource.place(), "file-unreadable", f"the file {name} can't be read: {error.strerror}", hint))
        return found, problems

    def _content(self, name: str) -> bytes:
        path = self.base / name
        stat = path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        known = self._named.get(name)
        if known is None or known[0] != stamp:
            known = self._named[name] = (stamp, path.read_bytes())
        return known[1]

    async def settled(self, stop: asyncio.Event) -> AsyncIterator[None]:
        """Yields each time the folder has changed and come to rest."""

        def counts(_: Change, path: str) -> bool:
            return self.root.is_dir() or Path(path) == self.root or path in self._watched()

        # step: how long it must be quiet; debounce: the latest.
        async for _ in awatch(self.base, watch_filter=counts, debounce=LATEST_MS, step=QUIET_MS, stop_event=stop, rust_timeout=60_000):
            yield

    def _watched(self) -> set[str]:
        return {str(self.base / name) for name in self._named}


def _told(error: OSError) -> None:
    """What a folder that can't be read declares must not vanish in silence."""
    raise error
