"""Opens a store: the tables are there and of this version, or it says what is in the way."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bartizan.store.audit import Audit
from bartizan.store.authorizations import Authorizations
from bartizan.store.database import Database
from bartizan.store.model import Finding, Head, Seal
from bartizan.store.notes import Notes
from bartizan.store.proposals import Proposals
from bartizan.store.revisions import Revisions

FILE = "store.db"
HEAD = "audit.head"


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of looking at everything again."""

    head: Head | None
    """The last entry of the audit log."""
    commits: Mapping[str, int]
    """How many, by team."""
    audit: tuple[Finding, ...]
    """What is wrong with the audit log."""
    revisions: tuple[Finding, ...]
    """And with the commits and what they hold."""

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.audit and not self.revisions

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "good": self.good,
            "head": {"number": self.head.number, "hash": self.head.hash} if self.head else None,
            "commits": dict(self.commits),
            "audit": [{"number": one.number, "message": one.message} for one in self.audit],
            "revisions": [{"number": one.number, "message": one.message} for one in self.revisions],
        }


@dataclass(frozen=True, slots=True)
class Store:
    """An open store."""

    revisions: Revisions
    audit: Audit
    notes: Notes
    proposals: Proposals
    authorizations: Authorizations
    database: Database

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def verified(self, head: Head | None = None) -> Verified:
        """Everything looked at again. `head`: an entry that the audit log must hold."""
        last, audit = self.audit.verify(head)
        commits = self.revisions.teams()
        faults = (*(one for team in commits for one in self.revisions.findings(team)), *self.revisions.content_findings())
        return Verified(last, commits, audit, faults)

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
    parts = (Notes(database), Proposals(database, seal), Authorizations(database, seal))
    return Store(Revisions(database, seal), Audit(database, seal, head), *parts, database)
