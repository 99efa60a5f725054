"""What Envoy acknowledged last, on disk and sealed, so that a node serves it again without a control plane.

One file for each version of a resource, and a manifest that names them. The manifest is replaced last and at once, so
that a crash at any moment leaves the old state or the new one. Whatever is missing, changed or moved refuses the whole.
"""

import hashlib
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import orjson

from bartizan.errors import Unavailable
from bartizan.lib.sockets import private_folder
from bartizan.secrets.envelope import CannotOpen, Envelope
from bartizan.xds.release import Position, Resource, version_of

_FORMAT = 1
_MANIFEST = "manifest"
_Names: TypeAlias = tuple[str, str, str]
"""Type URL, name and version of a resource."""
_MANY = 64
"""So many new files are synced together, which takes one wait instead of one for each."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A whole state."""

    position: Position
    resources: tuple[Resource, ...]


class LastGood:
    """The kept state in `folder`. Its methods block: call them off the event loop."""

    def __init__(self, folder: Path, envelope: Envelope) -> None:
        self._folder = folder
        self._envelope = envelope
        self._files: dict[_Names, str] = {}
        self._fresh = True
        self._saving = threading.Lock()

    def load(self) -> Kept | None:
        """What was saved, or None if nothing was. Unavailable if any of it was changed or can't be read: then none is to be trusted."""
        try:
            sealed = (self._folder / _MANIFEST).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(f"{_MANIFEST}: {error.strerror or error}") from error
        try:
            manifest = orjson.loads(self._envelope.open(sealed, "last-good/manifest"))
            if manifest["format"] != _FORMAT:
                raise self._unreadable(f"it is of format {manifest['format']}, and this version knows {_FORMAT}")
            resources = tuple(self._read(*names) for names in manifest["resources"])
            self._files = {names: _file(*names) for names in map(tuple, manifest["resources"])}
            return Kept(Position(manifest["sequence"], manifest["revision"], manifest["generation"]), resources)
        except (CannotOpen, OSError) as error:
            raise self._unreadable(str(error)) from error

    def save(self, position: Position, resources: Iterable[Resource]) -> None:
        """Writes what isn't there yet, then the manifest, then removes what the manifest no longer names."""
        with self._saving:
            private_folder(self._folder)
            self._save(position, {(one.type_url, one.name, one.version): one for one in resources})

    def _save(self, position: Position, held: dict[_Names, Resource]) -> None:
        new = held.keys() - self._files.keys()
        files = {names: _file(*names) for names in new}
        for names, file in files.items():
            self._write(file, self._envelope.seal(held[names].body, _context(*names)), sync=len(new) <= _MANY)
        if len(new) > _MANY:
            os.sync()
        self._write_manifest(position, tuple(held))
        gone = [self._files.pop(names) for names in self._files.keys() - held.keys()]
        self._files |= files
        for file in self._leftovers() if self._fresh else gone:
            (self._folder / file).unlink(missing_ok=True)
        self._fresh = False

    def _write_manifest(self, position: Position, names: tuple[_Names, ...]) -> None:
        manifest = {
            "format": _FORMAT,
            "sequence": position.sequence,
            "revision": position.revision,
            "generation": position.generation,
            "resources": names,
        }
        self._write(_MANIFEST, self._envelope.seal(orjson.dumps(manifest), "last-good/manifest"), sync=True)
        self._sync_folder()

    def _leftovers(self) -> set[str]:
        """What is there from before we came and isn't named."""
        return {path.name for path in self._folder.iterdir()} - set(self._files.values()) - {_MANIFEST}

    def _read(self, type_url: str, name: str, version: str) -> Resource:
        sealed = (self._folder / _file(type_url, name, version)).read_bytes()
        body = self._envelope.open(sealed, _context(type_url, name, version))
        if version_of(body) != version:
            raise self._unreadable(f"{name} isn't version {version}")
        return Resource(type_url, name, version, body)

    def _write(self, file: str, content: bytes, *, sync: bool) -> None:
        partial = self._folder / f".{file}.new"
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
            if sync:
                opened.flush()
                os.fsync(descriptor)
        partial.replace(self._folder / file)

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _unreadable(self, reason: str) -> Unavailable:
        return Unavailable(
            f"The last good state in {self._folder} can't be trusted, so none of it is served: {reason} "
            f"Start the control plane, which replaces it; or remove {self._folder}.",
            code="last-good-unreadable",
        )


def _file(type_url: str, name: str, version: str) -> str:
    return hashlib.sha256(f"{type_url}\0{name}\0{version}".encode()).hexdigest()


def _context(type_url: str, name: str, version: str) -> str:
    return f"last-good/{type_url}/{name}/{version}"
