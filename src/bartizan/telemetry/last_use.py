"""When each API key was last used, to the minute, and which client certificates that callers show end soon: told by the records of all
nodes, which are read behind the requests.

What was found lies in one file, with how far each file of records was read: so a restart goes on where it ended. It is written at most
twice a minute, however many requests there are, and holds a line's worth of each key.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from bartizan.lib.files import replaced
from bartizan.telemetry.places import REQUESTS, folders

FILE = "last-use.json"
_KEEP_S = 30.0
_MINUTE_S = 60
_CHUNK = 1 << 20
_LONGEST_LINE = 1 << 20
_KEY, _TIME, _ENDS = b'"key":"key_', b'"time":"', b'"certificate_ends":"'
_TEXT = slice(len(b'"key":"'), len(b'"key":"key_') + 12)
"""Where the id is, seen from where `_KEY` was found."""


_SOON_S = 14 * 86400
_MOST_ENDING = 10_000
_MOST_TOLD = 20
_NAMED = 100


@dataclass(slots=True)
class Used:
    """What is known: in seconds since the epoch."""

    keys: dict[str, int] = field(default_factory=dict)
    """A key's id, then the minute of its last use."""
    since: int | None = None
    """Of what was before nothing is known."""
    read: dict[str, dict[str, int]] = field(default_factory=dict)
    """Of each folder's files, told by their first lines, the bytes that were read."""
    ending: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Client certificates by their SHA-256: whom they mean, and when they end."""


def used(state: Path) -> Used:
    """What is kept in the state. Nothing is known if there is no file, or it can't be read: then the records tell it anew."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        told = orjson.loads((state / FILE).read_bytes())
        kept = dict(told.get("ending", {})) if isinstance(told, dict) else {}  # a file of an earlier version knows none
        ending = {str(one): (str(who), int(ends)) for one, (who, ends) in kept.items()}
        return Used(dict(told["keys"]), told["since"], dict(told["read"]), ending)
    return Used()


class LastUse:
    """Follows the records below `records`, and keeps what they tell in the folder `state`. Methods may be called from any thread."""

    def __init__(self, state: Path, records: Path, is_known: Callable[[str], bool]) -> None:
        """`is_known`: whether there is such a key; of others nothing is kept."""
        self._path, self._records, self._is_known = state / FILE, records, is_known
        self._lock = threading.Lock()
        self._used = used(state)
        self._seen: dict[Path, dict[Path, tuple[int, int, str]]] = {}
        """In each folder the files with their inode, their size, and what tells them."""
        self._kept = time.monotonic()
        self._changed = self._ended = False

    def of(self, ident: str) -> int | None:
        """When this key was last used, in seconds since the epoch; None if that isn't known."""
        return self._used.keys.get(ident)

    def warnings(self, now: float) -> list[str]:
        """Client certificates that were shown and end soon, the next to end first."""
        ending = sorted((ends, who, one) for one, (who, ends) in dict(self._used.ending).items() if ends > now)
        found = [
            f"the client certificate {one[:16]}... of {_shown(who)} expires at {_told(ends)}" for ends, who, one in ending[:_MOST_TOLD]
        ]
        return found + ([f"{len(ending) - _MOST_TOLD} more client certificates expire soon"] if len(ending) > _MOST_TOLD else [])

    def look(self) -> None:
        """Reads what was recorded since the last look. It may take a while, at the first time."""
        self._ended = False
        with self._lock:
            for folder in folders(self._records):
                self._look_in(folder)
            if self._changed and time.monotonic() - self._kept >= _KEEP_S:
                self._keep()

    def end(self) -> None:
        """Looks no further, and keeps what was found. Another look goes on from there."""
        self._ended = True
        self.keep()

    def keep(self) -> None:
        """Keeps what was found since it was kept last."""
        with self._lock:
            if self._changed:
                self._keep()

    def _keep(self) -> None:
        self._kept, self._changed = time.monotonic(), False
        found = {ident: when for ident, when in self._used.keys.items() if self._is_known(ident)}
        self._used.keys = found
        told = {"keys": found, "since": self._used.since, "read": self._used.read, "ending": self._used.ending}
        with suppress(OSError):  # a full disk costs what is told of keys, and nothing else
            replaced(self._path, orjson.dumps(told))

    def _look_in(self, folder: Path) -> None:
        name, before = str(folder.relative_to(self._records)), self._seen.get(folder, {})
        read, seen = self._used.read.get(name, {}), {}
        for path in sorted(folder.glob(f"{REQUESTS}*.jsonl")):
            with suppress(OSError):
                stat = path.stat()
                known = before.get(path)
                if known is None or known[:2] != (stat.st_ino, stat.st_size):
                    known = stat.st_ino, stat.st_size, self._looked_at(path, read)
                seen[path] = known
        there = {head: read[head] for _, _, head in seen.values() if head in read}
        self._changed = self._changed or there != self._used.read.get(name, {})
        self._seen[folder], self._used.read[name] = seen, there

    def _looked_at(self, path: Path, read: dict[str, int]) -> str:
        """Reads what is new in a file, and notes how far. Returns what tells it, whatever its name: its first line."""
        with path.open("rb") as file:
            line = file.readline(_LONGEST_LINE)
            if not line.endswith(b"\n"):
                return ""
            head = hashlib.sha256(line).hexdigest()[:16]
            if (end := self._read(file, read.get(head, 0))) != read.get(head):
                read[head], self._changed = end, True
            return head

    def _read(self, file: BinaryIO, begin: int) -> int:
        """Reads whole lines from `begin` on. Where they end."""
        file.seek(begin)
        while not self._ended and (chunk := file.read(_CHUNK)):
            end = chunk.rfind(b"\n") + 1
            if not end:
                break
            self._take(chunk[:end])
            begin += end
            file.seek(begin)
        return begin

    def _take(self, lines: bytes) -> None:
        if self._used.since is None and (first := _minute(lines, 0, lines.find(b"\n"))):
            self._used.since = first
        now = int(time.time()) // _MINUTE_S * _MINUTE_S
        keys = self._used.keys
        for ident, when in _uses(lines):
            if ident in keys or self._is_known(ident):
                keys[ident] = max(min(when, now), keys.get(ident, 0))
        self._take_ending(lines, now)

    def _take_ending(self, lines: bytes, now: int) -> None:
        ending = self._used.ending
        for one in _shown_soon(lines, now):
            certificate, who, ends = str(one.get("certificate")), str(one.get("principal") or one.get("device_id") or ""), _ends(one)
            if ending.get(certificate) != (who, ends) and (certificate in ending or len(ending) < _MOST_ENDING):
                self._used.ending = {known: told for known, told in ending.items() if told[1] > now} | {certificate: (who, ends)}
                ending, self._changed = self._used.ending, True


def _uses(lines: bytes) -> Iterator[tuple[str, int]]:
    """Keys that were used, and when. What callers sent can't look like one: quotes in it are escaped."""
    at = lines.find(_KEY)
    while at >= 0:
        end = lines.find(b"\n", at)
        if when := _minute(lines, at, end):
            yield lines[at + _TEXT.start : at + _TEXT.stop].decode("ascii", "replace"), when
        at = lines.find(_KEY, end)


def _shown_soon(lines: bytes, now: int) -> Iterator[dict[str, Any]]:
    """Records of requests that came with a client certificate that counted and ends soon."""
    at = lines.find(_ENDS)
    while at >= 0:
        end = lines.find(b"\n", at)
        text = lines[at + len(_ENDS) : lines.find(b'"', at + len(_ENDS))]
        if text.isdigit() and now < int(text) < now + _SOON_S:
            with suppress(orjson.JSONDecodeError):
                record = orjson.loads(lines[lines.rfind(b"\n", 0, at) + 1 : end])
                if record.get("auth_method") == "mtls" or record.get("device_id"):
                    yield record
        at = lines.find(_ENDS, end)


def _ends(record: Mapping[str, Any]) -> int:
    text = str(record.get("certificate_ends"))
    return int(text) if text.isdigit() else 0


def _shown(who: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in who[:_NAMED]) or "somebody"


def _told(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _minute(lines: bytes, begin: int, end: int) -> int:
    """The minute of the line whose rest this is; 0 if it is no record."""
    at = lines.rfind(_TIME, begin, end) + len(_TIME)
    return _seconds(lines[at : at + 16]) if at >= len(_TIME) else 0


@lru_cache(maxsize=1024)
def _seconds(minute: bytes) -> int:
    try:
        return int(datetime.strptime(minute.decode(), "%Y-%m-%dT%H:%M").replace(tzinfo=UTC).timestamp())
    except ValueError:
        return 0
