"""Small files that are there whole or not at all, for their owner alone."""

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path


def made_once(path: Path, content: bytes) -> None:
    """Writes the file unless there is one; of several that do so at once, one wins. OSError if it can't be written."""
    partial = _partial(path, content)
    try:
        with suppress(FileExistsError):
            path.hardlink_to(partial)
    finally:
        partial.unlink(missing_ok=True)
    synced(path.parent)


def replaced(path: Path, content: bytes) -> None:
    """Writes the file in the place of the one that is there. OSError if it can't be written; then that one stays."""
    partial = _partial(path, content)
    try:
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    synced(path.parent)


def _partial(path: Path, content: bytes) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    return partial


def synced(folder: Path) -> None:
    """What was made, renamed or taken away in this folder outlasts a crash."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def locked_at_once(descriptor: int) -> bool:
    """Takes the lock of an open file, until it is closed. False if another process has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
