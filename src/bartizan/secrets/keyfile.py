"""The file that holds a key: for its owner alone, beside what the key opens, or in a folder on another disk."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bartizan.errors import Unavailable
from bartizan.lib.files import made_once, replaced
from bartizan.secrets.envelope import KEY_BYTES
from bartizan.secrets.places import ring_file, sealed_with

ELSEWHERE = "keys.at"
"""The file beside a key that names the folder in which it is instead."""


def placed(path: Path) -> Path:
    """Where this key of a state is."""
    try:
        return Path((path.parent / ELSEWHERE).read_text(encoding="utf-8").rstrip("\n")) / path.name
    except (FileNotFoundError, NotADirectoryError):
        return path


def made(path: Path) -> None:
    """Makes a key file unless there is one; of several that do so at once, one wins."""
    made_once(path, secrets.token_bytes(KEY_BYTES))


def keep_elsewhere(state: Path, folder: Path, names: tuple[str, ...]) -> bool:
    """Keeps these keys of a state in another folder from now on; those that there are move. Whether that is on another disk. A crash on the
    way loses nothing: the keys are in both places then."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = folder.absolute()
    at = state / ELSEWHERE
    with naming(folder):
        if (known := placed(state / names[0]).parent) not in {state, folder}:
            raise Unavailable(f"The keys of {state} are kept in {known}. Move them to {folder} yourself, and write that into {at}.")
        if known == state:
            for name in names:
                _move(state / name, folder / name)
            replaced(at, f"{folder}\n".encode())
        for name in names:
            (state / name).unlink(missing_ok=True)
        return folder.stat().st_dev != state.stat().st_dev


def _move(path: Path, to: Path) -> None:
    """Copies a key; makes one where there is none yet, and nothing that one was needed for."""
    try:
        key = read_key(path)
    except FileNotFoundError:
        key = None
    if not to.exists():
        if key is None and (ring_file(path).exists() or sealed_with(path)):
            told = f"The key file {path} isn't there, so it can't be moved. Put it back from where you keep it."
            raise Unavailable(told, code="key-file-missing")
        made_once(to, key or secrets.token_bytes(KEY_BYTES))
    elif key is not None and read_key(to) != key:
        raise Unavailable(f"{path} and {to} are two keys. Take away the one that opens nothing.", code="key-file-ambiguous")
    read_key(to)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """What the system refuses is Unavailable."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"The key file {path} can't be used: {error.strerror or error}.", code="key-file-unusable") from error


def read_key(path: Path) -> bytes:
    """The key in this file. FileNotFoundError if it isn't there, Unavailable if it is damaged or open to others."""
    # O_NONBLOCK: a FIFO put in the file's place must not hang us before it is looked at.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _check(os.fstat(descriptor), path)
        key = os.read(descriptor, KEY_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(key) != KEY_BYTES:
        raise Unavailable(
            f"The key file {path} is damaged: it has to hold {KEY_BYTES} bytes. Restore it from a backup: "
            "what was sealed with it can't be opened otherwise.",
            code="key-file-damaged",
        )
    return key


def _check(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Unavailable(f"The key file {path} isn't a regular file.", code="key-file-unusable")
    if found.st_mode & 0o077:
        raise Unavailable(
            f"The key file {path} is open to other users (mode {stat.S_IMODE(found.st_mode):04o}). Close it: chmod 600 {path}",
            code="key-file-open-to-others",
        )
    if found.st_uid not in (0, os.geteuid()):
        raise Unavailable(f"The key file {path} belongs to another user (uid {found.st_uid}).", code="key-file-of-another-user")
