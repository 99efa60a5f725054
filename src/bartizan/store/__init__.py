"""The store: revisions, the audit log, and notes that outlast restarts. The only place that speaks SQL.

`open_store(url)` gives a `Store` of five parts, each a file: `revisions.py`, `audit.py`, `notes.py`, `proposals.py` and
`authorizations.py`. All of it is synchronous and may be called from any thread. Rows never leave: callers get the values of `model.py`.
A new table is a new file in `migrations/versions/`, the same in `tables.py`, and a part here.
"""

from bartizan.store.audit import Wanted
from bartizan.store.authorizations import Authorization, Authorizations
from bartizan.store.database import Tampered
from bartizan.store.model import Change, Commit, Content, Door, Draft, Entry, Event, Finding, Head, Note, Proposal, Seal, canonical
from bartizan.store.opening import Store, embedded, open_store

__all__ = [
    "Authorization",
    "Authorizations",
    "Change",
    "Commit",
    "Content",
    "Door",
    "Draft",
    "Entry",
    "Event",
    "Finding",
    "Head",
    "Note",
    "Proposal",
    "Seal",
    "Store",
    "Tampered",
    "Wanted",
    "canonical",
    "embedded",
    "open_store",
]
