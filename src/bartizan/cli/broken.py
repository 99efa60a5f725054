"""What became of an invariant, for people and as JSON: a request that breaks it, and how much else does."""

from collections.abc import Iterator
from typing import Any

from bartizan.cases import Kept
from bartizan.cases.hold import Counterexample
from bartizan.cli.output import printable
from bartizan.meaning import Person
from bartizan.meaning.people import KEY
from bartizan.scratch import Question, Token


def broken_lines(kept: Kept) -> Iterator[str]:
    """Of one that is broken: by whom, where, and whether Envoy said so."""
    found, suspicion = kept.counterexample, kept.suspicion
    if found is None or suspicion.who is None:
        return
    yield printable(f"{_who(found)} {_may(found)} {_asked(found.question)}")
    for line in _context(found):
        yield f"  {printable(line)}"
    for policy, text in found.suspect.conditions:
        yield f"  it hangs on {policy}{f': {printable(text)}' if text else ''}"
    spots = f"{suspicion.spots:,} combinations of a route and a method" if suspicion.spots > 1 else "one route, with one method"
    yield f"it is broken by {printable(suspicion.who.text)}, on {spots}"


def _may(found: Counterexample) -> str:
    if found.confirmed:
        return "is let through:"
    if found.suspect.certain:
        return "is let through by what is compiled, but Envoy refuses it, so one of them is mistaken; please report it:"
    return "may be let through (no request was found that shows it, and nothing shows that there is none):"


def _who(found: Counterexample) -> str:
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


def _asked(question: Question) -> str:
    return f"{question.method} {question.host}{question.path}"


def _context(found: Counterexample) -> Iterator[str]:
    """What else the request held, where anything hangs on it."""
    question = found.question
    if not found.confirmed or found.suspect.certain or question.at is None:
        return
    yield f"at {question.at.isoformat()}, from {question.source}"
    for name, value in question.headers:
        yield f"with {name}: {value}"
    if question.ja4:
        yield f"with the TLS fingerprint {question.ja4}"


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
        "who": _who(found),
        "sort": found.suspect.person.sort,
        "name": found.suspect.person.name or None,
        "claims": dict(principal.claims) if isinstance(principal, Token) else None,
        "method": question.method,
        "host": question.host,
        "path": question.path,
        "at": question.at.isoformat() if question.at else None,
        "source": question.source,
        "headers": [list(one) for one in question.headers],
        "conditions": [{"policy": policy, "text": text} for policy, text in found.suspect.conditions],
    }
