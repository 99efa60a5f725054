"""What became of an invariant, for people: a request that breaks it, and how much else does."""

from collections.abc import Iterator

from bartizan.cases import Kept
from bartizan.cases.hold import Counterexample
from bartizan.cases.telling import who
from bartizan.cli.output import printable
from bartizan.scratch import Question


def broken_lines(kept: Kept) -> Iterator[str]:
    """Of one that is broken: by whom, where, and whether Envoy said so."""
    found, suspicion = kept.counterexample, kept.suspicion
    if found is None or suspicion.who is None:
        return
    yield printable(f"{who(found)} {_may(found)} {_asked(found.question)}")
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


def _asked(question: Question) -> str:
    return f"{question.method} {question.host}{question.path}"


def _context(found: Counterexample) -> Iterator[str]:
    """What else the request held, where anything hangs on it."""
    question = found.question
    if not found.confirmed or found.suspect.certain or question.at is None:
        return
    yield f"at {question.at.isoformat()}, from {question.source}"
    for name, value in question.place:
        yield f"with source.{name} = {value}"
    for name, value in question.headers:
        yield f"with {name}: {value}"
    if question.ja4:
        yield f"with the TLS fingerprint {question.ja4}"
