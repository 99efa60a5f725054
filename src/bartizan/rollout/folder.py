"""The files that declare everything: read with a cache, watched until they have settled."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from watchfiles import Change, awatch

from bartizan.compile.read import Read, assemble, read
from bartizan.model.problem import Place, Problem
from bartizan.model.snapshot import Share, Snapshot

QUIET_MS = 200
"""A folder has settled when nothing changed for this long."""
LATEST_MS = 2000
"""Changes are taken at the latest after this long, even if more come."""
_EARLY_MS = 60
"""When nothing changed for this long, the rest of the quiet time is used to prepare."""
_STEP_MS = 20
"""How long nothing must change until the watcher tells of what did."""
_TELL_MS = 100
"""How long it waits for that at most."""
_LATE_MS = 250
"""A file that changed longer ago isn't what the watcher has just told of."""
_TICK_NS = 20_000_000
"""Two changes of a file that are closer than this may have the same time."""
_SUFFIXES = (".yaml", ".yml")
TESTS = (".test.yaml", ".test.yml")
"""How the names of test files end. They declare nothing."""

Stamp = tuple[int, int, int, int]
"""When a file was written, when anything of it changed, its size and its inode: another content has another stamp."""


@dataclass(frozen=True, slots=True)
class Look:
    """Which files there are, as a walk found them. Two that are equal found the same."""

    stamps: dict[str, Stamp | None]
    """By whole path, in order; None for what can't be read."""
    named: dict[str, Stamp | None]
    """The same for the files that policies named at the last reading."""
    error: tuple[str, str] | None = None
    """The folder that couldn't be read, and why."""
    newest: int = field(default=0, compare=False)
    """When the last change was that files and folders tell of."""


@dataclass(frozen=True, slots=True)
class _Cached:
    stamp: Stamp
    read: Read
    text: str
    sure: bool
    """Whether a change since the reading would have given another stamp."""


class Folder:
    """A file or a folder of YAML files. Files that didn't change aren't read again, and give the very same resources."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._cache: dict[str, _Cached] = {}
        self._texts: dict[str, str] = {}
        self._named: dict[str, tuple[Stamp, bytes, bool]] = {}
        self._wanted: tuple[str, ...] = ()
        self._good: Snapshot | None = None
        self._last: tuple[Look, Snapshot | tuple[Problem, ...]] | None = None
        self._beside: Read | None = None

    def beside(self, found: Read) -> None:
        """What is declared elsewhere goes together with the files from now on, as if it stood in one of them."""
        if found is not self._beside:
            self._beside, self._last = found, None

    @property
    def base(self) -> Path:
        """The folder that relative file names in resources start from."""
        return self.root if self.root.is_dir() else self.root.parent

    def look(self) -> Look:
        """Walks over the files without reading them."""
        named = {name: _stamp(self.base / name) for name in self._wanted}
        try:
            found = dict(_within(str(self.root)) if self.root.is_dir() else [(str(self.root), _stamp(self.root))])
        except OSError as error:
            return Look({}, named, (str(error.filename or self.root), error.strerror or str(error)))
        files = {path: stamp for path, stamp in found.items() if not path.endswith(os.sep)}
        return Look(files, named, newest=max((stamp[1] for stamp in (*found.values(), *named.values()) if stamp is not None), default=0))

    def snapshot(self, look: Look | None = None) -> Snapshot | tuple[Problem, ...]:
        """What the files declare, or everything that is wrong with them. Without any change, the very same answer as before."""
        look = look or self.look()
        if self._last is not None and self._last[0] == look:
            return self._last[1]
        skipped = len(str(self.base)) + 1
        if look.error is not None:
            folder, why = look.error
            where = Place(folder[skipped:] or ".", 1)
            return (Problem(where, "folder-unreadable", f"the folder can't be read: {why}", "Check its permissions."),)
        self._texts = {}
        reads = [self._read(path, stamp, path[skipped:]) for path, stamp in look.stamps.items()]
        files, problems = self._files(reads)
        reads += [self._beside] if self._beside is not None else []
        found = tuple(problems) if problems else assemble(reads, files, self._good)
        if isinstance(found, Snapshot):
            self._good = found
        self._remember(look, found)
        return found

    def _remember(self, look: Look, found: Snapshot | tuple[Problem, ...]) -> None:
        self._cache = {path: self._cache[path] for path in look.stamps if path in self._cache}
        sure = all(one.sure for one in self._cache.values()) and all(sure for _, _, sure in self._named.values())
        stamps = {path: self._cache[path].stamp if path in self._cache else None for path in look.stamps}
        named = {name: self._named[name][0] if name in self._named else None for name in self._wanted}
        self._last = (Look(stamps, named), found) if sure else None

    def texts(self) -> dict[str, str]:
        """The files that the last snapshot was read from, by their names."""
        return self._texts

    def _read(self, path: str, stamp: Stamp | None, name: str) -> Read:
        known = self._cache.get(path)
        try:
            if known is None or known.stamp != stamp or not known.sure:
                known = self._cache[path] = _read_anew(Path(path), name, known)
        except (OSError, UnicodeDecodeError) as error:
            self._cache.pop(path, None)
            why = error.strerror if isinstance(error, OSError) else "it isn't UTF-8 text"
            told = f"the file can't be read: {why}"
            return Read(Share(), (Problem(Place(name, 1), "file-unreadable", told, "Check its name and its permissions."),))
        self._texts[name] = known.text
        return known.read

    def _files(self, reads: list[Read]) -> tuple[dict[str, bytes], list[Problem]]:
        """The contents of files that policies name. They are part of what the policy says."""
        found: dict[str, bytes] = {}
        problems: list[Problem] = []
        named = [pair for one in reads if one.named for pair in one.named]
        self._wanted = tuple(dict.fromkeys(name for name, _ in named))
        self._named = {name: self._named[name] for name in self._wanted if name in self._named}
        for name, resource in named:
            try:
                found[name] = found[name] if name in found else self._content(name)
            except OSError as error:
                self._named.pop(name, None)
                hint = "A relative name starts from the folder of these files."
                problems.append(Problem(resource.place(), "file-unreadable", f"the file {name} can't be read: {error.strerror}", hint))
        return found, problems

    def _content(self, name: str) -> bytes:
        path = self.base / name
        now, stamp = time.time_ns(), _stamp_of(path.stat())
        known = self._named.get(name)
        if known is None or known[0] != stamp or not known[2]:
            content = path.read_bytes()
            # The very same object stays, so that nobody compares the whole of it.
            known = self._named[name] = (stamp, known[1] if known is not None and known[1] == content else content, _is_sure(stamp, now))
        return known[1]

    async def settled(self, prepare: Callable[[Look], None] | None = None) -> AsyncIterator[Look]:
        """Yields what is there each time the folder has changed and come to rest. `prepare` is called with what may be yielded next, while
        it isn't certain yet that the folder is at rest."""

        def counts(_: Change, path: str) -> bool:
            return self.root.is_dir() or Path(path) == self.root or path in {str(self.base / name) for name in self._wanted}

        noticed = asyncio.Event()
        changes = awatch(self.base, watch_filter=counts, debounce=_TELL_MS, step=_STEP_MS, rust_timeout=60_000)
        watching = asyncio.create_task(_notice(noticed, changes))
        watching.add_done_callback(lambda _: noticed.set())
        before = self.look()
        try:
            while await noticed.wait():
                if watching.done():
                    watching.result()  # what went wrong with it, if anything did
                    return
                before = await self._rest(noticed, before, prepare)
                yield before
        finally:
            watching.cancel()

    async def _rest(self, noticed: asyncio.Event, before: Look, prepare: Callable[[Look], None] | None) -> Look:
        """Waits until the folder has settled. The watcher alone can't tell: it is late, and a file that goes on growing is one change to
        it, however long it takes. So the files say themselves when they changed, and are looked at again in the end."""
        clock = asyncio.get_running_loop().time
        latest = clock() + LATEST_MS / 1000
        look = self.look()
        while True:
            noticed.clear()
            changed = clock() - _age_s(look, before)
            due = min(changed + QUIET_MS / 1000, latest)
            if await _quiet(noticed, min(changed + _EARLY_MS / 1000, latest) - clock()):
                if prepare is not None:
                    prepare(look)
                await _quiet(noticed, due - clock())
            before, look = look, self.look()
            if clock() >= latest or (look == before and clock() >= due and not noticed.is_set()):
                return look


def _age_s(look: Look, before: Look) -> float:
    """How long ago the last change was. If no time tells of it, as with a link that leads elsewhere now or a clock of another machine, all
    that is known is that something has changed by now."""
    age = (time.time_ns() - look.newest) / 1e9
    return age if look.newest > before.newest and 0 <= age <= _LATE_MS / 1000 else 0.0


def _within(folder: str) -> Iterator[tuple[str, Stamp | None]]:
    """The YAML files, in order, without hidden ones; and the folders they are in, whose names end with a slash."""
    yield folder + os.sep, _stamp_of(os.stat(folder))
    with os.scandir(folder) as found:
        entries = sorted(((one.name, one) for one in found if not one.name.startswith(".")), key=lambda pair: pair[0])
    folders = []
    for name, entry in entries:
        if _is_dir(entry):
            if not entry.is_symlink():
                folders.append(entry.path)
        elif name.endswith(_SUFFIXES) and not name.endswith(TESTS):
            # A link that leads nowhere is told as a file that can't be read, for what it declared must not vanish in silence.
            yield entry.path, _stamp(entry)
    for one in folders:
        yield from _within(one)


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _stamp(file: Path | os.DirEntry[str]) -> Stamp | None:
    try:
        return _stamp_of(file.stat())
    except OSError:
        return None


def _stamp_of(stat: os.stat_result) -> Stamp:
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino


def _is_sure(stamp: Stamp, now: int) -> bool:
    return max(stamp[0], stamp[1]) < now - _TICK_NS


def _read_anew(path: Path, name: str, known: _Cached | None) -> _Cached:
    now, stamp = time.time_ns(), _stamp_of(path.stat())
    text = path.read_text(encoding="utf-8")
    same = known is not None and known.text == text
    return _Cached(stamp, known.read if known is not None and same else read(text, name), text, _is_sure(stamp, now))


async def _notice(noticed: asyncio.Event, changes: AsyncIterator[object]) -> None:
    async for _ in changes:
        noticed.set()


async def _quiet(noticed: asyncio.Event, seconds: float) -> bool:
    """Waits so long. Whether nothing was noticed."""
    with suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, seconds)):
            await noticed.wait()
    return not noticed.is_set()
