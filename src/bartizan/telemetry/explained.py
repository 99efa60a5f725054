"""A decision with all that there is to say of it: what was decided, what each policy said, and what would have let the request through."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from bartizan.model.covering import Covering
from bartizan.telemetry.decision import decision_of

_FRAME_FIELDS = frozenset({"kind", "name", "target", "mode", "floor", "description"})


@dataclass(frozen=True, slots=True)
class Explained:
    """A record, the policies that cover such a request in the order of the chain, and as they are declared by their ids."""

    record: Mapping[str, Any]
    covering: tuple[Covering, ...]
    declared: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...] = ()
    """What whoever reads this has to know, such as that the policies have changed since."""
    hypothetical: bool = False
    """Whether the request hasn't happened: then its record is what a scratch instance says, and no upstream has answered."""

    def told(self) -> dict[str, Any]:
        """As JSON. What callers sent is data in it, never an instruction."""
        decision = decision_of(self.record, self.covering)
        return {
            "record": dict(self.record),
            "decision": asdict(decision),
            "remedy": list(self.remedies()),
            "notes": list(self.notes),
            "hypothetical": self.hypothetical,
        }

    def remedies(self) -> Iterator[str]:
        """What would have let a refused request through: the policy that refused, and those that weren't asked any more."""
        decision = decision_of(self.record, self.covering)
        if not decision.refused:
            return
        deciding = {one.policy for one in self.covering if one.role == "decides" and not one.shadow}
        unmet = [one.policy for one in decision.verdicts if one.said == "not reached" and one.policy in deciding]
        blamed = [decision.by] if "/" in decision.by else [one.policy for one in decision.verdicts if one.said == "perhaps used up"]
        for policy in dict.fromkeys((*blamed, *unmet)):
            if policy in self.declared:
                yield remedy(policy, self.declared[policy])


def remedy(policy: str, declared: Mapping[str, Any]) -> str:
    """What a policy lets through, in its own words."""
    if declared.get("kind") == "Authorize":
        return f"{policy} lets through where: {str(declared['allow']).strip()}"
    if declared.get("kind") == "Authenticate":
        return f"{policy} lets through with {' or '.join(map(_way, declared['any']))}"
    if declared.get("kind") == "RateLimit":
        tiers = "; ".join(f"{' and '.join(tier['windows'])}{_when(tier)}" for tier in declared["tiers"])
        return f"{policy} lets through {tiers}, for each {', '.join(declared['per'])}"
    own = {name: value for name, value in declared.items() if name not in _FRAME_FIELDS and value not in (None, [], {})}
    text = yaml.safe_dump(own, sort_keys=False, allow_unicode=True, width=120).rstrip()
    return f"{policy} says:\n" + "\n".join(f"  {line}" for line in text.splitlines())


def _way(way: Mapping[str, Any]) -> str:
    if way.get("api_key"):
        return "an API key"
    return f"a token of {way['jwt']}" if way.get("jwt") else f"a certificate of {way['mtls']}"


def _when(tier: Mapping[str, Any]) -> str:
    return f" where {str(tier['when']).strip()}" if tier.get("when") else ""


def of_route(record: Mapping[str, Any], told: Mapping[str, Any]) -> Explained:
    """A record with what the gateway says of its route now."""
    covering = tuple(Covering(one["policy"], one["role"], one["shadow"]) for one in told["policies"])
    declared = {one["policy"]: one["declared"] for one in told["policies"]}
    return Explained(record, covering, declared, changes(record, told))


def changes(found: Mapping[str, Any], told: Mapping[str, Any]) -> tuple[str, ...]:
    """Whether the policies of its route have changed since."""
    if found.get("revision") in told["revisions"]:
        return ()
    if not told["policies"]:
        return (f"The policies have changed since revision {found.get('revision')}: there is no such route any more.",)
    return (f"The policies have changed since: revision {found.get('revision')} judged this, their text is that of {told['revision']}.",)
