"""What became of cases and invariants, as JSON."""

from typing import Any

from bartizan.cases.hold import Counterexample, Kept
from bartizan.cases.run import Outcome
from bartizan.meaning import Person
from bartizan.meaning.people import KEY
from bartizan.scratch import Token


def case_told(outcome: Outcome) -> dict[str, Any]:
    """A case: what was expected, and what happened."""
    found, decision = outcome.trial.found, outcome.decision
    case = found.case
    return {
        "name": case.name,
        "file": found.file,
        "line": found.place().line,
        "passed": outcome.passed,
        "expected": {"expect": case.expect, "by": case.by, "status": case.status, "shadow": dict(case.shadow)},
        "happened": {
            "expect": "refuse" if decision.refused else "allow",
            "by": decision.by if decision.refused else None,
            "status": outcome.record["status"] if decision.refused else None,
            "why": decision.why,
            "shadow": {one.policy: one.said for one in decision.verdicts if one.shadow},
        },
        "mismatches": list(outcome.mismatches),
    }


def who(found: Counterexample) -> str:
    """Who breaks an invariant, in words."""
    person, principal = found.suspect.person, found.question.principal
    match person.sort:
        case "anonymous":
            return "an anonymous caller"
        case "token":
            claims = f" that claims {dict(principal.claims)}" if isinstance(principal, Token) and principal.claims else ""
            return f"a token of {person.name}{claims}"
        case "certificate":
            return f"a certificate of {person.name} that no consumer lists"
    return f"the consumer {person.name}{_by(person)}"


def _by(person: Person) -> str:
    return "" if person.by == KEY else f" with a certificate of {person.by}"


def broken_told(kept: Kept) -> dict[str, Any]:
    """As JSON."""
    found = kept.counterexample
    return {
        "name": kept.found.name,
        "file": kept.found.file,
        "line": kept.found.place().line,
        "passed": kept.passed,
        "says": kept.found.invariant.model_dump(mode="json", exclude_none=True, exclude={"name"}),
        "counterexample": None if found is None else _told(found),
        "who": kept.suspicion.who.text if kept.suspicion.who else None,
        "routes": kept.suspicion.spots,
    }


def _told(found: Counterexample) -> dict[str, Any]:
    question, principal = found.question, found.question.principal
    return {
        "confirmed": found.confirmed,
        "certain": found.suspect.certain,
        "who": who(found),
        "sort": found.suspect.person.sort,
        "name": found.suspect.person.name or None,
        "claims": dict(principal.claims) if isinstance(principal, Token) else None,
        "method": question.method,
        "host": question.host,
        "path": question.path,
        "at": question.at.isoformat() if question.at else None,
        "source": question.source,
        "place": dict(question.place),
        "headers": [list(one) for one in question.headers],
        "conditions": [{"policy": policy, "text": text} for policy, text in found.suspect.conditions],
    }
