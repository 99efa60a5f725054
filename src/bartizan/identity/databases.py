"""Databases of places, as Envoy reads them: copies in the state's folder `places`, so that nothing but a good file is ever read.

A copy is made beside the one before, looked at, and put in its place by one rename, which Envoy notices. A file that isn't good is told,
and the copy before stays. Where there never was one, a database stands that knows nothing: nothing is missing then that Envoy would refuse
to start without, and conditions refuse as they do for whatever isn't known.
"""

import logging
import os
import shutil
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bartizan.envoy import names
from bartizan.lib import mmdb
from bartizan.lib.files import made_once, synced
from bartizan.model.gateway import Gateway
from bartizan.model.places import TELLS, UNKNOWN, Database
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot

_log = logging.getLogger("bartizan")

_KEYS: Mapping[str, str] = {
    "source.country": "iso_code",
    "source.region": "subdivisions",
    "source.city": "city",
    "source.asn": "autonomous_system_number",
    "source.operator": "autonomous_system_organization",
    "source.anonymous": "is_anonymous",
    "source.hosting": "is_hosting_provider",
    "source.vpn": "is_anonymous_vpn",
    "source.tor": "is_tor_exit_node",
    "source.proxy": "is_public_proxy",
}
"""By what a database tells it."""
_ISP = "isp"

Stamp = tuple[int, int, int, int]


def _key(database: Database, name: str) -> str:
    return _ISP if database == "operator" and name == "source.operator" else _KEYS[name]


def tells(path: Path, database: Database) -> frozenset[str]:
    """What this file can tell of all that such a database is for. ValueError with what is wrong with it, such as that it is none."""
    try:
        found = mmdb.described(path, {_key(database, name) for name in TELLS[database]})
    except OSError as error:
        raise ValueError(f"it can't be read: {error.strerror}") from None
    told = frozenset(name for name in TELLS[database] if _key(database, name) in found.keys)
    if not told:
        raise ValueError(f"it tells nothing of {', '.join(TELLS[database])}: it is a {found.kind}")
    return told


def unknowing(database: Database) -> bytes:
    """A database that knows nothing. Of truths it says so, because there what isn't listed isn't so."""
    return mmdb.telling({_key(database, name): UNKNOWN for name in TELLS[database]} if database == "anonymous" else {})


def put_unknowing(path: Path, database: Database) -> None:
    """Sees to it that Envoy finds a database there: one that knows nothing, unless there is a good one. OSError if it can't be written."""
    try:
        mmdb.described(path)
    except (OSError, ValueError):
        path.unlink(missing_ok=True)
        made_once(path, unknowing(database))


@dataclass(slots=True)
class _Held:
    database: Database
    source: Path
    copied: Stamp | None = None
    """The file as it was when it was looked at last, good or not."""
    seen: Stamp | None = None
    error: str = ""


@dataclass(slots=True)
class Copies:
    """Copies of files that change, by where each copy is."""

    _held: dict[Path, _Held] = field(default_factory=dict)

    def want(self, wanted: Mapping[Path, tuple[Database, Path]]) -> None:
        """From now on these too, each with where it comes from. New ones are copied at once."""
        new = {copy: _Held(*which) for copy, which in wanted.items() if copy not in self._held}
        for copy, held in new.items():
            self._take(copy, held)
        self._held = {**self._held, **new}

    def refresh(self) -> None:
        """Takes over files that changed and have come to rest since the last look."""
        for copy, held in self._held.items():
            stamp = _stamp(held.source)
            if stamp == held.seen and stamp != held.copied:
                self._take(copy, held)
            held.seen = stamp

    def errors(self, of: Container[Path]) -> Iterator[tuple[Path, str, bool]]:
        """Of these copies the files that aren't good, with what is wrong; and whether a copy is used that was made before."""
        for copy, held in self._held.items():
            if held.error and copy in of:
                yield held.source, held.error, _knows(copy, held.database)

    def _take(self, copy: Path, held: _Held) -> None:
        held.copied = held.seen = _stamp(held.source)
        try:
            _replace(copy, held)
        except ValueError as error:
            if str(error) != held.error:
                kept = "the one before is used on" if _knows(copy, held.database) else "nothing is known of places that it tells"
                _log.error("the database of places %s: %s; %s", held.source, error, kept)
            held.error = str(error)
            return
        if held.error:
            _log.info("the database of places %s is good again", held.source)
        held.error = ""


def _replace(copy: Path, held: _Held) -> None:
    """ValueError if the file isn't good; then the copy before stays."""
    partial = copy.with_name(f".{copy.name}.new")
    copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        shutil.copyfile(held.source, partial)
        if lost := _told(copy, held.database) - tells(partial, held.database):
            raise ValueError(f"it tells nothing of {', '.join(sorted(lost))}, as the one before did")
        _sync(partial)
        os.replace(partial, copy)
        synced(copy.parent)
    except OSError as error:
        raise ValueError(f"it can't be copied: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _told(copy: Path, database: Database) -> frozenset[str]:
    """What the copy tells; nothing if it is none, or one that knows nothing."""
    return tells(copy, database) if _knows(copy, database) else frozenset()


def _knows(copy: Path, database: Database) -> bool:
    nothing = unknowing(database)
    try:
        return (copy.stat().st_size != len(nothing) or copy.read_bytes() != nothing) and bool(tells(copy, database))
    except (OSError, ValueError):
        return False


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


@dataclass(slots=True)
class Databases:
    """The databases that a gateway names. `folder`: what relative names start from. `state`: where copies are kept; None makes none."""

    folder: Path
    state: Path | None = None
    _copies: Copies = field(default_factory=Copies)
    _named: frozenset[Path] = frozenset()
    """The copies that some gateway which is served, or on its way out, asks for."""

    def problems(self, snapshot: Snapshot) -> Iterator[Problem]:
        """What keeps a snapshot from being served: a database that isn't there, is none, or lacks what policies ask for. One that was good
        before is told by `warnings` instead, for its copy is used on."""
        resource, told = snapshot.resource(snapshot.gateway), set[str]()
        for database, file in snapshot.gateway.places.files():
            at = resource.place(("places", database))
            try:
                told |= self._tells(database, file)
            except ValueError as error:
                told.update(TELLS[database])
                yield Problem(at, "place-database-unusable", f"{file}: {error}", "Relative names start from the folder of these files.")
        for name in sorted(snapshot.gateway.places.told().keys() - told):
            for policy in snapshot.policies:
                if name in repr(policy):
                    message = f"no database of the Gateway tells {name}: the files don't hold it"
                    yield Problem(snapshot.resource(policy).place(), "place-untold", message, "Name a database that does.")

    def _tells(self, database: Database, file: str) -> frozenset[str]:
        """ValueError."""
        copy = self.state / names.place_file(database, file) if self.state is not None else None
        return (_told(copy, database) if copy is not None else None) or tells(self.folder / file, database)

    def declare(self, gateways: Iterable[Gateway]) -> None:
        """Takes over what these gateways say: those of what is served, and of what is on its way out."""
        if self.state is not None:
            named = {pair for gateway in gateways for pair in gateway.places.files()}
            wanted = {self.state / names.place_file(one, file): (one, self.folder / file) for one, file in named}
            self._copies.want(wanted)
            self._named = frozenset(wanted)

    def refresh(self) -> None:
        """Takes over files that changed."""
        self._copies.refresh()

    def warnings(self) -> list[str]:
        """What `status` tells."""
        return [
            f"the database of places {source}: {error}; {'the one before is used on' if kept else 'nothing is known of what it tells'}"
            for source, error, kept in self._copies.errors(self._named)
        ]
