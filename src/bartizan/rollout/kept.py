"""Between what is declared and what the store keeps of it: each document as canonical JSON."""

import orjson

from bartizan.compile.read import Read, assemble, read_documents
from bartizan.errors import Invalid
from bartizan.lib.yaml import Document
from bartizan.model.snapshot import LIVE_KINDS, Snapshot, share_of
from bartizan.store import Content
from bartizan.store.model import canonical


def content_of(snapshot: Snapshot) -> Content:
    """What the store keeps of a snapshot: all but consumers and issuers."""
    kept = {key: canonical(one.document.value) for key, one in snapshot.resources.items() if one.kind not in LIVE_KINDS}
    return Content(snapshot.revision, kept, dict(snapshot.files))


def snapshot_of(content: Content, live: Snapshot) -> Snapshot:
    """What was kept, with the consumers and issuers of `live`. Invalid if they don't go together, or if this version reads it otherwise."""
    reads = [
        # As JSON: a reader of YAML takes some characters that JSON has as they are, such as U+2028, for ends of lines.
        read_documents([Document(orjson.loads(body), {})], f"revision {content.revision}/{kind}/{name}")
        for (kind, name), body in sorted(content.resources.items())
    ]
    own = tuple(one for one in live.resources.values() if one.kind in LIVE_KINDS)
    found = assemble([*reads, Read(share_of(own), ())], content.files)
    if not isinstance(found, Snapshot):
        raise Invalid(f"Revision {content.revision} doesn't go together with the consumers and issuers of now.", problems=found)
    if found.revision != content.revision:
        told = f"This version of Bartizan reads revision {content.revision} as {found.revision}. Use the version that wrote it."
        raise Invalid(told, code="revision-of-other-version")
    return found
