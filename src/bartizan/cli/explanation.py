"""A decision as `explain` tells it: what was decided, what each policy said, what was seen, and what would have let the request through."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from bartizan.cli.output import painted, printable, say
from bartizan.model.covering import Covering
from bartizan.telemetry.decision import Decision, Verdict, decision_of

_COLOURS = {"allowed": "green", "denied": "red", "perhaps used up": "red", "counted": "green"}
_FRAME_FIELDS = frozenset({"kind", "name", "target", "mode", "floor", "description"})


@dataclass(frozen=True, slots=True)
class Explanation:
    """A record, the policies that cover such a request in the order of the chain, and as they are declared by their ids."""

    record: Mapping[str, Any]
    covering: tuple[Covering, ...]
    declared: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...] = ()
    """What whoever reads this has to know, such as that the policies have changed since."""
    hypothetical: bool = False
    """Whether the request hasn't happened: then its record is what a scratch instance says, and no upstream has answered."""

    def told(self) -> dict[str, Any]:
        """As JSON."""
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

    def show(self) -> None:
        """Prints it."""
        for line in self.lines():
            say(line)

    def lines(self) -> Iterator[str]:
        """As people read it."""
        found, decision = printable(self.record), decision_of(self.record, self.covering)
        asked = f"{found.get('http_method', '?')} {found.get('host', '')}{found.get('path', '')}"
        yield f"{asked} at {found['time']}: {self._outcome(decision)}"
        yield f"by {painted(decision.by, 'bold')}: {decision.why}"
        told = ("revision", "generation", "api", "route")
        yield ", ".join(f"{name} {found[name] or 'none'}" for name in told if name in found)
        caller = found.get("principal") or "nobody"
        yield f"principal {caller} by {found.get('auth_method') or 'nothing'}, from {found.get('source')}"
        absent = "missing" if self.hypothetical else "missing, or no policy asks for it"
        for name, value in {**(found.get("attributes") or {}), "groups": found.get("groups")}.items():
            yield f"  {name} = {value if value not in (None, '') else absent}"
        yield from _verdict_lines(decision.verdicts)
        yield from self.remedies()
        for note in self.notes:
            yield painted(note, "yellow")

    def _outcome(self, decision: Decision) -> str:
        would = "would be " if self.hypothetical else ""
        answered = decision.refused or not self.hypothetical
        status = f" with {self.record.get('status', 'no answer')}" if answered else ""
        return would + (painted("refused", "red") if decision.refused else painted("let through", "green")) + status


def _verdict_lines(verdicts: Sequence[Verdict]) -> Iterator[str]:
    if verdicts:
        yield "policies, in the order of the chain:"
    for verdict in verdicts:
        said = painted(verdict.said, _COLOURS.get(verdict.said, "dim"))
        note = f" ({printable(verdict.note)})" if verdict.note else ""
        yield f"  {verdict.policy}: {said}{' (shadow)' if verdict.shadow else ''}{note}"


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
