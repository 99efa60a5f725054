"""Policies of one revision with the live data of another reading: who may call is no part of a revision, and never goes back with one."""

from collections.abc import Iterable, Iterator

from bartizan.compile.read import Read, assemble
from bartizan.model.problem import Problem
from bartizan.model.snapshot import LIVE_KINDS, Resource, Snapshot, share_of


def combined(policies: Snapshot, live: Snapshot) -> Snapshot | tuple[Problem, ...]:
    """The Gateway, APIs and policies of one and the consumers and issuers of the other; or what is wrong between them."""
    if policies is live or policies.revision == live.revision:
        return live
    own = share_of(tuple(_of(policies.resources.values(), live=False)))
    theirs = share_of(tuple(_of(live.resources.values(), live=True)))
    return assemble((Read(own, ()), Read(theirs, ())), policies.files)


def _of(resources: Iterable[Resource], *, live: bool) -> Iterator[Resource]:
    return (one for one in resources if (one.kind in LIVE_KINDS) is live)
