"""Where the records of which node are: those of the machine's own Envoy in the folder itself, those that nodes shipped below it."""

import re
from pathlib import Path

REQUESTS, FAILURES = "requests", "failures"
"""The two streams: records of requests, and apart the failed attempts to authenticate."""
STREAMS = (REQUESTS, FAILURES)
FAILURES_BYTES = 4 << 20
"""Failed attempts are read as they come, and hold whole addresses: a file of them is closed, and kept, at this size."""
_NODES = "nodes"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def folder_of(records: Path, node: str) -> Path:
    """Where the records of this node are. ValueError if no node can be called so."""
    if not _NAME.fullmatch(node):
        raise ValueError(f"{node[:80]!r} isn't the name of a node")
    return records / _NODES / node


def folders(records: Path) -> list[Path]:
    """All folders of records: the machine's own first."""
    try:
        shipped = sorted(one for one in (records / _NODES).iterdir() if _NAME.fullmatch(one.name))
    except OSError:
        shipped = []
    return [records, *shipped]
