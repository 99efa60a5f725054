"""A snapshot with other documents in it, as somebody asks for them over the admin API."""

from collections.abc import Mapping, Sequence

import orjson

from bartizan.admin.plane import Documents
from bartizan.compile.crosscheck import cross_problems
from bartizan.compile.read import Read, assemble, read_documents
from bartizan.errors import Invalid
from bartizan.lib.yaml import Document
from bartizan.model.problem import Problem
from bartizan.model.snapshot import LIVE_KINDS, Snapshot, share_of, with_live
from bartizan.policies import PolicyKind


def changed(before: Snapshot, documents: Documents, sent: Mapping[str, bytes]) -> Snapshot:
    """What was there with these documents put or taken away. Invalid with every problem."""
    # As JSON, which is what was looked at: a reader of YAML would read some of it otherwise.
    reads = [
        read_documents([Document(orjson.loads(body), {})], f"api/{kind}/{name}")
        for (kind, name), body in documents.items()
        if body is not None
    ]
    if all(kind in LIVE_KINDS for kind, _ in documents) and not sent:
        return _with_live(before, documents, reads)
    rest = share_of(tuple(one for key, one in before.resources.items() if key not in documents))
    known = {**before.files, **sent}
    kept = [(name, one) for one in rest.resources if isinstance(one.value, PolicyKind) for name in one.value.file_names()]
    named = [*kept, *(pair for made in reads for pair in made.named)]
    missing = [
        Problem(one.place(), "file-unknown", f"the file {name} isn't part of the revision", "`bartizan apply -f` sends it along.")
        for name, one in named
        if name not in known
    ]
    if missing:
        raise Invalid("The change names files that aren't there.", problems=tuple(missing))
    found = assemble((*reads, Read(rest, ())), {name: known[name] for name, _ in named}, before)
    if not isinstance(found, Snapshot):
        raise Invalid("The change has problems.", problems=found)
    return found


def _with_live(before: Snapshot, documents: Documents, reads: Sequence[Read]) -> Snapshot:
    """The same for documents that are live data, among however many others."""
    problems = {problem for made in reads for problem in made.problems}
    put = share_of(tuple(resource for made in reads for resource in made.resources))
    if not problems:
        after = with_live(before, put, [key for key, body in documents.items() if body is None])
        problems = set(cross_problems(after, before))
        if not problems:
            return after
    raise Invalid("The change has problems.", problems=tuple(sorted(problems)))
