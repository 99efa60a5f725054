"""The keys of a state: data keys, which seal what is in it, wrapped by a key-encryption key that is kept elsewhere.

`control.keyring` and `node.keyring` hold them wrapped, with nothing that opens them, and say where the key-encryption key is. The current
one seals, all of them open. Whoever has the keyring in use notices that it has changed, and takes up what is new: handed over by a key that
it holds already, so that nothing outside has to be asked while a gateway serves.
"""

import base64
import binascii
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal
from weakref import WeakValueDictionary

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bartizan.errors import Conflict, Unavailable
from bartizan.lib.files import locked_at_once, made_once, replaced
from bartizan.secrets.envelope import KEY_BYTES, CannotOpen, Envelope, key_ident
from bartizan.secrets.keyfile import naming, placed, read_key
from bartizan.secrets.places import ring_file, sealed_with
from bartizan.secrets.sources import AnyKek, File, Place, Unreachable

_LONGEST_PAUSE_S = 10.0
_IN_USE: "WeakValueDictionary[Path, Envelope]" = WeakValueDictionary()
"""What this process has open and isn't wrapped by a file: many of its parts use one state, and a key far away is asked once."""


class Entry(BaseModel):
    """A data key, as it is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    state: Literal["current", "former"]
    made: float
    """Seconds since the epoch."""
    wrapped: str
    handed: dict[str, str] = Field(default_factory=dict)
    """While keys are rotated: this one, sealed by those before it, by their ids."""


class Kept(BaseModel):
    """What a keyring holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    kek: AnyKek
    keys: tuple[Entry, ...] = Field(min_length=1)
    """The current one first."""


class Keyring:
    """The keyring that belongs to the key file `key` of a state."""

    def __init__(self, key: Path) -> None:
        self.key, self.path = key, ring_file(key)
        self._seen: tuple[int, int, int] | None = None

    def read(self) -> Kept:
        """What it holds. Unavailable if it can't be read; FileNotFoundError if there is none."""
        try:
            return Kept.model_validate_json(self.path.read_bytes())
        except ValidationError:
            told = (
                f"The keyring {self.path} is damaged, or of a newer version. Restore it from a backup: what is sealed can't be opened else."
            )
            raise Unavailable(told, code="keyring-damaged") from None

    def write(self, kept: Kept) -> None:
        """Puts this in its place, whole or not at all. Only while `changing`."""
        replaced(self.path, kept.model_dump_json(indent=1).encode())

    def newer(self, held: Mapping[bytes, bytes]) -> tuple[bytes, ...] | None:
        """The keys, the current one first, if they aren't those of the last time."""
        stamp = self._stamp()
        if stamp is None or stamp == self._seen:
            return None
        kept = self.read()
        keys = self.keys(kept, held)
        self._seen = stamp
        return keys

    def keys(self, kept: Kept, held: Mapping[bytes, bytes]) -> tuple[bytes, ...]:
        """The data keys of a keyring, for somebody who holds these already. Unavailable if one can't be had."""
        return tuple(self._key(one, held, kept.kek) for one in kept.keys)

    def _key(self, entry: Entry, held: Mapping[bytes, bytes], kek: AnyKek) -> bytes:
        found = held.get(bytes.fromhex(entry.id)) or _handed(entry, held, self.handing(entry.id))
        found = found or kek.unwrap(entry.wrapped, Place(self.key, entry.id))
        if len(found) != KEY_BYTES or key_ident(found).hex() != entry.id:
            raise Unavailable(
                f"The keyring {self.path} holds another key than {entry.id}. Restore it from a backup.", code="keyring-damaged"
            )
        return found

    def handing(self, ident: str) -> str:
        """What a key is sealed for when one before it hands it over."""
        return f"handed/{self.key.stem}/{ident}"

    def wrapped(self, key: bytes, kek: AnyKek, state: Literal["current", "former"], made: float) -> Entry:
        """A data key as it is kept."""
        ident = key_ident(key).hex()
        return Entry(id=ident, state=state, made=made, wrapped=kek.wrap(key, Place(self.key, ident)))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else rotates or rewraps meanwhile."""
        lock = os.open(self.path.with_name(f"{self.path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not locked_at_once(lock):
                raise Conflict(f"The keys of {self.path} are being changed by somebody else just now.", code="keyring-busy")
            yield
        finally:
            os.close(lock)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Nobody changes it meanwhile."""
        with self._locked(fcntl.LOCK_SH):
            yield

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Nobody else changes it meanwhile, nor seals anything while it is `kept`."""
        with self._locked(fcntl.LOCK_EX):
            yield

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, how)
            yield
        finally:
            os.close(folder)

    def _stamp(self) -> tuple[int, int, int] | None:
        """Changes whenever the file does. None if it can't be looked at: what is held counts on."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


def load_or_create(path: Path, kek: AnyKek | None = None) -> Envelope:
    """The envelope of the keys that belong to the key file `path` of a state; of two that create them at once, one wins and both get the
    same. `kek`: where the key-encryption key is, if they are made; by default in that file. Unavailable if it isn't to be had: another key
    in its place would open nothing."""
    ring, at = Keyring(path), path.absolute()
    if (known := _IN_USE.get(at)) is not None:
        known.look()
        return known
    with naming(placed(path)):
        keys = _begun(ring, kek or File()) if not ring.path.exists() else None
        if keys is None:
            keys = ring.newer({})
            _settle(ring)
        if keys is None:
            raise Unavailable(f"The keyring {ring.path} was taken away while it was read.", code="keyring-missing")
    envelope = Envelope(*keys, ring=ring)
    if not isinstance(kek_at(path), File):
        _IN_USE[at] = envelope
    return envelope


def load_patiently(path: Path, say: Callable[[str], None]) -> Envelope:
    """The same, for what is to run: as long as the key-encryption key can't be asked, it is asked again; `say` is told why, each time."""
    pause_s = 1.0
    while True:
        try:
            return load_or_create(path)
        except Unreachable as error:
            say(f"{error.message} What is sealed in {path.parent} can't be opened without it; it is asked again in {pause_s:.0f} s.")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def has_key(path: Path) -> bool:
    """Whether there are such keys, wherever what opens them is."""
    return path.exists() or placed(path) != path or ring_file(path).exists()


def kek_at(path: Path) -> AnyKek | None:
    """Where the key-encryption key of these keys is. None if there are none yet."""
    try:
        return Keyring(path).read().kek
    except FileNotFoundError:
        return None


def _begun(ring: Keyring, kek: AnyKek) -> tuple[bytes, ...] | None:
    """Makes the keyring. A state of before had one key, in the file that is the key-encryption key's now: it stays as it is, and
    becomes the first data key. The keys, if that state can only be read; else the keyring has them."""
    ring.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ring.changing():
        if ring.path.exists():
            return None
        if (before := _before(ring.key, kek)) is not None:
            kept = Kept(kek=File(), keys=(ring.wrapped(before, File(), "current", time.time()),))
            try:
                made_once(ring.path, kept.model_dump_json(indent=1).encode())
            except OSError:
                return (before,)
            return None
        if not isinstance(kek, File) or not placed(ring.key).exists():
            kek.prepare(ring.key)
        kept = Kept(kek=kek, keys=(ring.wrapped(secrets.token_bytes(KEY_BYTES), kek, "current", time.time()),))
        made_once(ring.path, kept.model_dump_json(indent=1).encode())
    return None


def _before(key: Path, kek: AnyKek) -> bytes | None:
    """The key of a state that has no keyring yet; None if nothing is sealed in it. Unavailable if what is can't be opened."""
    at, used = placed(key), sealed_with(key)
    try:
        found = read_key(at)
    except FileNotFoundError:
        if used or (at != key and isinstance(kek, File)):
            told = f"The key file {at} isn't there, and what it sealed in {key.parent} can't be opened"
            by = f" (by the key {', '.join(sorted(used))})" if used else ""
            raise Unavailable(
                f"{told}{by}. Is its disk mounted? Else put it back, with {ring_file(key)}.", code="key-file-missing"
            ) from None
        return None
    if used and (ident := key_ident(found).hex()) not in used:
        told = f"What is in {key.parent} was sealed with the key {', '.join(sorted(used))}, and {at} is the key {ident}"
        raise Unavailable(f"{told}. Put back {ring_file(key)}, and the key file that belongs to it.", code="keyring-missing")
    return found if used else None


def _settle(ring: Keyring) -> None:
    """Clears away what a crash left while the key-encryption key was changed. What can't be written stays as it is."""
    if ring.read().kek.is_settled(ring.key):
        return
    with suppress(OSError, Unavailable), ring.changing():
        kept = ring.read()
        kept.kek.settle(ring.key, kept.keys[0].wrapped)


def _handed(entry: Entry, held: Mapping[bytes, bytes], context: str) -> bytes | None:
    """The key, if one that is held hands it over."""
    for ident, sealed in entry.handed.items():
        if (former := held.get(bytes.fromhex(ident))) is not None:
            with suppress(CannotOpen, binascii.Error):
                return Envelope(former).open(base64.b64decode(sealed, validate=True), context)
    return None
