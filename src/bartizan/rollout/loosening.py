"""What an edit loosens: it is asked for, shown and recorded, never a side effect."""

from collections.abc import Iterator

from bartizan.model.context import ContextSource
from bartizan.model.policy import Policy
from bartizan.model.snapshot import Snapshot

_CONFIGURES = frozenset({"Cors", "Public"})


def loosenings(old: Snapshot, new: Snapshot) -> Iterator[str]:
    """Sentences on what restricts less than before. Deleting a restriction, disabling it and narrowing what it covers are seen for
    certain; a changed rule is told as one that may loosen."""
    left, come = set(map(id, old.policies)), set(map(id, new.policies))
    before = {policy.id: policy for policy in old.policies if id(policy) not in come}
    after = {policy.id: policy for policy in new.policies if id(policy) not in left}
    for name, policy in before.items():
        if policy.mode == "enforce" and policy.kind not in _CONFIGURES:
            yield from _of_one(policy, after.get(name))
    for name, policy in after.items():
        known = before.get(name)
        opens = policy.kind == "Public" and policy.mode == "enforce"
        if opens and (known is None or known.mode != "enforce" or known.target != policy.target):
            yield f"{name} serves {_covered(policy)} without authentication"
    for source in old.contexts.keys() & new.contexts.keys():
        yield from _of_source(old.contexts[source], new.contexts[source])
    for api in new.apis.keys() - old.apis.keys():
        yield f"Api/{api} is served now"


def _of_one(old: Policy, new: Policy | None) -> Iterator[str]:
    if new is None:
        yield f"{old.id} is gone; it covered {_covered(old)}"
    elif new.mode != "enforce":
        yield f"{old.id} is in {new.mode} mode now and no longer refuses anything on {_covered(old)}"
    elif old.floor and not new.floor:
        yield f"{old.id} is no longer a floor"
    elif new.target != old.target:
        yield f"{old.id} covers {_covered(new)} now; it covered {_covered(old)}"
    elif new != old:
        yield f"{old.id} says something else now and may let through more"


def _of_source(old: ContextSource, new: ContextSource) -> Iterator[str]:
    name = f"ContextSource/{new.name}"
    if new.stale != old.stale and new.stale == "keep":
        yield f"{name} keeps values however old they are"
    elif new.stale not in (old.stale, "deny"):
        yield f"{name} has other values stand in for those that are stale"
    if new.max_age > old.max_age:
        yield f"{name} counts values for {new.max_age.total_seconds():g} s now; it did for {old.max_age.total_seconds():g} s"


def _covered(policy: Policy) -> str:
    target = policy.target
    parts = [" ".join(target.methods), f"the API {target.api}" if target.api else "every API", " ".join(target.paths)]
    text = " ".join(part for part in parts if part)
    return text + (f" except {' '.join(target.exclude)}" if target.exclude else "")
