"""The file that tells how far the audit log went, signed, so that a log whose end was cut off shows it."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from bartizan.errors import Unavailable
from bartizan.lib.files import replaced
from bartizan.store.database import BUSY_S, Tampered
from bartizan.store.model import Head, Seal, canonical


class HeadFile:
    """One such file. It only ever goes forward, because its writers take turns."""

    def __init__(self, path: Path, seal: Seal | None) -> None:
        self.path = path
        self._seal = seal

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds off other writers on this machine."""
        with self._named():
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.path.with_name(self.path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._wait(lock)
            yield
        finally:
            os.close(lock)

    def read(self) -> Head | None:
        """What was written last; None if nothing ever was."""
        with self._named():
            try:
                text = self.path.read_bytes()
            except FileNotFoundError:
                return None
        try:
            told = orjson.loads(text)
            head, signer, signature = Head(told["number"], told["hash"]), told["signer"], bytes.fromhex(told["signature"])
        except (ValueError, KeyError, TypeError):
            raise Tampered(f"The file {self.path} is damaged. Restore it from a backup.", code="audit-head-damaged") from None
        if self._seal is not None and not self._seal.verify(signer, _signed_text(head), signature):
            raise Tampered(f"The file {self.path} wasn't signed with a key that is trusted.", code="audit-head-forged")
        return head

    def write(self, head: Head) -> None:
        """Whole or not at all. Only while `locked`, by who signs."""
        if self._seal is None:
            raise ValueError("nobody signs")
        told = {"number": head.number, "hash": head.hash, "signer": self._seal.signer}
        text = canonical({**told, "signature": self._seal.sign(_signed_text(head)).hex()}) + b"\n"
        with self._named():
            replaced(self.path, text)

    def _wait(self, lock: int) -> None:
        ends = time.monotonic() + BUSY_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > ends:
                    raise Unavailable(f"Another writer holds {self.path}; try again.", code="store-busy") from None
                time.sleep(0.002)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unavailable(f"The file {self.path} can't be used: {error.strerror or error}.", code="audit-head-unusable") from error


def _signed_text(head: Head) -> bytes:
    return b"bartizan audit head 1\0" + canonical({"hash": head.hash, "number": head.number})
