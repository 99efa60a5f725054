"""Opens a store: the tables are there and of this version, or it says what is in the way."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bartizan.store.audit import Audit
from bartizan.store.database import Database
from bartizan.store.model import Seal
from bartizan.store.notes import Notes
from bartizan.store.revisions import Revisions

FILE = "store.db"
HEAD = "audit.head"


@dataclass(frozen=True, slots=True)
class Store:
    """An open store."""

    revisions: Revisions
    audit: Audit
    notes: Notes
    database: Database

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends its connections."""
        self.database.close()


def embedded(state: Path) -> str:
    """The URL of the store in this folder: what is used when no other is named."""
    return f"sqlite:///{state.absolute() / FILE}"


def open_store(
    url: str, seal: Seal | None = None, *, head: Path | None = None, create: bool = True, clock: Callable[[], float] = time.time
) -> Store:
    """The store at `sqlite:///PATH` or `postgresql://...`, brought to this version's tables.

    Without `seal` nothing can be committed or appended, and signatures aren't checked. `head` is the file that tells how far the audit log
    went; whoever appends keeps it. Without `create` a store that isn't there is NotFound."""
    database = Database(url, create=create, clock=clock)
    return Store(Revisions(database, seal), Audit(database, seal, head), Notes(database), database)
