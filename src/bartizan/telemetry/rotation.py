"""Rotates and prunes the files of records, so that a disk never fills: rename, tell Envoy to reopen, delete the oldest."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

_CHECK_S = 2.0


def due(path: Path, rotate: int) -> bool:
    """Whether the file has reached the size at which it is closed."""
    try:
        return path.stat().st_size >= rotate
    except OSError:
        return False


def rotated(path: Path) -> Path:
    """Gives the file its final name, behind all others whatever the clock says. Envoy goes on writing to it until it reopens."""
    seconds, rest = divmod(time.time_ns(), 10**9)
    target = path.with_name(f"{path.stem}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime(seconds))}-{rest:09d}{path.suffix}")
    last = max(path.parent.glob(f"{path.stem}-*{path.suffix}"), default=target)
    head, _, number = last.stem.rpartition("-")
    if last >= target and number.isdecimal():
        target = path.with_name(f"{head}-{int(number) + 1:09d}{path.suffix}")
    path.rename(target)
    return target


def pruned(path: Path, keep: int) -> list[Path]:
    """Deletes the oldest closed files until all together hold at most `keep` bytes. Returns them."""
    closed = sorted(path.parent.glob(f"{path.stem}-*{path.suffix}"))
    total = sum(one.stat().st_size for one in (*closed, *([path] if path.exists() else [])))
    gone = []
    for one in closed:
        if total <= keep:
            break
        total -= one.stat().st_size
        one.unlink()
        gone.append(one)
    return gone


async def keep_bounded(sizes: Callable[[], Mapping[Path, tuple[int, int]]], reopen: Callable[[], Awaitable[None]]) -> None:
    """Looks after the files for ever. `sizes` gives for each the size at which it is closed and how much is kept, in bytes."""
    while True:
        await asyncio.sleep(_CHECK_S)
        bounds = sizes()
        full = [path for path, (rotate, _) in bounds.items() if due(path, rotate)]
        for path in full:
            rotated(path)
        if full:
            await reopen()
        for path, (_, keep) in bounds.items():
            pruned(path, keep)
