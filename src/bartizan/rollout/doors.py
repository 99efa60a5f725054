"""Two doors lead into one store: files, and the admin API. This says which of them counts when both have been used. Pure.

| the files say | the store's newest revision | what counts |
|---|---|---|
| the same as the newest | - | it; the files are in step |
| the same as when they were taken last | has moved on (API, rollback) | the newest; the difference is shown as drift |
| something new | is the one that the files were taken with | the files, as a new commit |
| something new | has moved on as well | the newest stands; the edit is refused until someone decides |
"""

from enum import Enum


class Counts(Enum):
    """What counts."""

    IN_STEP = "in step"
    FILES = "files"
    STORE = "store"
    DRIFT = "drift"


def counts(files: str, base: str | None, newest: str | None) -> Counts:
    """What counts, by revisions: what the files say, what they said when they were taken last, and what is newest in the store."""
    if newest is None:
        return Counts.FILES
    if files == newest:
        return Counts.IN_STEP
    if files == base:
        return Counts.STORE
    return Counts.FILES if base == newest else Counts.DRIFT
