"""The state folder that docs/guide/history.md shows: always the same, down to its signatures."""

from dataclasses import replace
from pathlib import Path

from bartizan.compile.read import assemble, read
from bartizan.model.snapshot import Snapshot
from bartizan.rollout.kept import content_of
from bartizan.secrets.keyring import load_or_create
from bartizan.secrets.seal import Signatures
from bartizan.secrets.signing import SigningKey
from bartizan.store import Change, Content, Event, embedded, open_store
from bartizan.store.opening import HEAD

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:9101
---
kind: Authenticate
name: orders-callers
any: [api_key]
"""
STATUS = (
    "\n---\nkind: Public\nname: orders-status\ntarget: {api: orders, paths: [/orders/status]}\nreason: the status page asks without a key\n"
)
FIRST_MS = 1_795_251_600_000


def make(state: Path) -> None:
    """A day of work."""
    state.mkdir()
    (state / "signing.key").write_bytes(load_or_create(state / "control.key").seal(bytes(range(32)), "signing-key"))
    times = iter((0, 0, 4_020_250, 4_020_260, 4_500_000, 8_000_000, 8_000_010, 8_000_020))
    seal = Signatures(SigningKey(state / "signing.key", load_or_create(state / "control.key")))
    with open_store(embedded(state), seal, head=state / HEAD, clock=lambda: (FIRST_MS + next(times)) / 1000) as store:

        def commit(content: Content, change: Change) -> None:
            made = store.revisions.commit(content, change)
            store.audit.append(
                Event(change.author, "revision.commit", f"revision/{made.revision}", change.door, "done", {"commit": made.number})
            )

        first, second = _content(FILES), _content(FILES + STATUS)
        commit(first, Change(None, "files", "policies/ at the start", "files"))
        loosens = ("Public/orders-status lets everyone through on orders /orders/status",)
        commit(second, Change(1, "ada", "the status page needs no key", "api", loosens))
        store.audit.append(Event("grace", "block", "block_k3v7", "10.1.2.3", "refused: viewers may not", {"ip": "203.0.113.9"}))
        commit(replace(first), Change(2, "ada", "back to 1: the page shows names", "rollback"))


def _content(text: str) -> Content:
    found = assemble([read(text, "all.yaml")], {})
    assert isinstance(found, Snapshot), "\n".join(map(str, found))
    return content_of(found)
