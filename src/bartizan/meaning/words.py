"""Policies in their own words: what a person wrote, without what every policy has."""

from collections.abc import Mapping

import yaml

from bartizan.compile import Compiled
from bartizan.policies import Phase, PolicyKind

_FRAME = frozenset({"kind", "name", "target", "mode", "floor", "description"})
_LONGEST = 600


def words(policy: PolicyKind) -> str:
    """What it says, on one line."""
    declared = policy.model_dump(mode="json", by_alias=True, exclude_none=True)
    own = {name: value for name, value in declared.items() if name not in _FRAME and value not in (None, [], {}, "")}
    if len(own) == 1 and isinstance(only := next(iter(own.values())), str):
        text = only
    else:
        text = yaml.safe_dump(own, sort_keys=False, allow_unicode=True, width=1 << 20, default_flow_style=True).strip()[1:-1]
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def policies(compiled: Compiled) -> dict[str, PolicyKind]:
    """All that cover something, by their ids."""
    return {policy.id: policy for part in compiled.parts.values() for policy in part.policies}


def limits(held: Mapping[str, PolicyKind]) -> dict[str, PolicyKind]:
    """Those of them that limit how often one may call, by the names that routes count under."""
    return {one.name: one for one in held.values() if one.phase is Phase.LIMITS and one.mode == "enforce"}
