"""A key-encryption key in a file: `control.key` and `node.key` of a state, beside what they open or in the folder of `--key-folder`."""

import binascii
from contextlib import suppress
from pathlib import Path
from typing import Literal

from bartizan.errors import Unavailable
from bartizan.lib.files import synced
from bartizan.secrets.envelope import HEADER_BYTES, Envelope, sealed_by
from bartizan.secrets.keyfile import made, naming, placed, read_key
from bartizan.secrets.places import ring_file
from bartizan.secrets.sources._kind import Held, Kek, Place, wrapping


class File(Kek):
    """One that is made where there is none. A new one waits beside the old until the keyring holds what it wrapped."""

    source: Literal["file"] = "file"

    def told(self) -> str:
        return "a key file"

    def prepare(self, key: Path) -> None:
        at = placed(key)
        with naming(at):
            made(_next(at) if at.exists() else at)

    def wrap(self, key: bytes, place: Place) -> str:
        at = placed(place.key)
        with naming(at):
            sealed = wrapping(_newest(at)).seal(key, place.context)
        return binascii.b2a_base64(sealed, newline=False).decode()

    def unwrap(self, wrapped: str, place: Place) -> bytes:
        at, sealed = placed(place.key), _bytes(wrapped)
        with naming(at):
            found = _fitting(at, sealed)
        if found is None:
            raise _missing(place.key, at, sealed)
        return Held(found, f"The key file {at}", "Put back the key file", "key-file-wrong").unwrapped(sealed, place)

    def is_settled(self, key: Path) -> bool:
        return not _next(placed(key)).exists()

    def settle(self, key: Path, wrapped: str) -> None:
        at, sealed = placed(key), _bytes(wrapped)
        with naming(at), suppress(FileNotFoundError):
            if wrapping(read_key(_next(at))).key_id == sealed_by(sealed):
                _next(at).replace(at)
            else:
                _next(at).unlink()
            synced(at.parent)


def _next(at: Path) -> Path:
    return at.with_name(f"{at.name}.next")


def _newest(at: Path) -> bytes:
    try:
        return read_key(_next(at))
    except FileNotFoundError:
        return read_key(at)


def _fitting(at: Path, sealed: bytes) -> Envelope | None:
    """The one that sealed it; else another one that there is."""
    found = None
    for file in (at, _next(at), at):  # the last look is for one that was given its place meanwhile
        with suppress(FileNotFoundError):
            found = wrapping(read_key(file))
            if found.key_id == sealed_by(sealed):
                return found
    return found


def _bytes(wrapped: str) -> bytes:
    try:
        return binascii.a2b_base64(wrapped, strict_mode=True)
    except (binascii.Error, ValueError):
        return b""


def _missing(key: Path, at: Path, sealed: bytes) -> Unavailable:
    told = (
        f"The key file {at} isn't there, and what it sealed in {key.parent} can't be opened: {ring_file(key)} was wrapped with "
        f"the key {sealed_by(sealed[:HEADER_BYTES])}. Is its disk mounted? Else put it back from where you keep it."
    )
    return Unavailable(told, code="key-file-missing")
