"""What an edit means: who gains and who loses access where, whose access hangs on other conditions, and which limits change."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from bartizan.compile import Compiled
from bartizan.meaning.access import Access, Asked
from bartizan.meaning.changes import Meaning
from bartizan.meaning.comparison import Comparison, Side
from bartizan.meaning.people import people_of
from bartizan.meaning.who import Teller
from bartizan.meaning.words import policies
from bartizan.meaning.world import World
from bartizan.model.snapshot import Declaration, Snapshot

_NAMED = 5


def difference(before: Compiled, after: Compiled) -> Meaning:
    """What it means to go from one to the other. Both are good."""
    people = people_of((before.snapshot, after.snapshot))
    old, new = Access(before), Access(after)
    # Policies are compared for everyone as they are after the edit; what became of the people themselves is told apart.
    now = replace(before.snapshot, consumers=after.snapshot.consumers, issuers=after.snapshot.issuers, devices=after.snapshot.devices)
    asked = Asked(World(after.snapshot, people))
    former = asked if _same_frame(before.snapshot, after.snapshot) else Asked(World(now, people))
    left, right = Side(old, former, policies(before)), Side(new, asked, policies(after))
    comparison = Comparison(left, right, Teller(asked.world))
    callers = tuple(_callers(before.snapshot, after.snapshot))
    if not callers:
        return Meaning(comparison.groups(), comparison.limits())
    earlier = Side(old, Asked(World(before.snapshot, people)), left.held)
    live = Comparison(earlier, left, Teller(former.world))
    return Meaning(comparison.groups(), comparison.limits(), callers, live.groups(), live.limits())


def _same_frame(before: Snapshot, after: Snapshot) -> bool:
    """Whether both tell Envoy the same of a principal."""

    def frame(of: Snapshot) -> tuple[object, ...]:
        cas = [(policy.id, getattr(policy, "client_cas", None)) for policy in of.policies if getattr(policy, "client_cas", None)]
        return of.gateway.attributes, of.gateway.api_keys, cas, of.contexts

    return frame(before) == frame(after)


def _callers(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """The consumers and issuers that are declared otherwise, in words."""
    pairs: tuple[tuple[str, Mapping[str, Declaration], Mapping[str, Declaration]], ...] = (
        ("consumer", before.consumers, after.consumers),
        ("issuer", before.issuers, after.issuers),
        ("device", before.devices, after.devices),
    )
    for kind, old, new in pairs:
        added, removed = sorted(new.keys() - old.keys()), sorted(old.keys() - new.keys())
        changed = sorted(name for name in new.keys() & old.keys() if new[name] is not old[name] and new[name] != old[name])
        for what, names in (("new", added), ("gone", removed), ("changed", changed)):
            if names:
                more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
                yield f"{len(names):,} {kind}{'s' if len(names) > 1 else ''} {what}: {', '.join(names[:_NAMED])}{more}"
