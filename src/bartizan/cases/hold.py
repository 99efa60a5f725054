"""Asks a scratch instance whether what speaks against an invariant is so, and says what came of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bartizan.cases.context import questions
from bartizan.cases.read import FoundInvariant
from bartizan.cases.suspect import Judge, Suspect, Suspicion
from bartizan.meaning.expression import answered_cel
from bartizan.meaning.formula import TRUE, Atom, Constant, Formula, OfCel, OfPrincipal, filled
from bartizan.meaning.people import KEY, Person
from bartizan.meaning.values import MISSING, answered
from bartizan.scratch import Certificate, Principal, Question, Scratch, Token, Unaskable

_CONTEXTS = 250
_SUSPECTS = 4
_UNNAMED = "PROPFIND"
"""Stands for a method that nobody names."""


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A request that breaks an invariant."""

    suspect: Suspect
    question: Question
    confirmed: bool
    """Whether Envoy let it through. If not, it hangs on conditions for which no request was found, or on Envoy's word against ours."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of an invariant."""

    found: FoundInvariant
    counterexample: Counterexample | None = None
    suspicion: Suspicion = field(default_factory=Suspicion)

    @property
    def passed(self) -> bool:
        """Whether it holds for everyone, on every route, with every method, in any context."""
        return self.counterexample is None


async def kept(scratch: Scratch, judge: Judge, invariants: Iterable[FoundInvariant]) -> list[Kept]:
    """What becomes of these. Unavailable if Envoy has ended."""
    return [await _one(scratch, judge, found) for found in invariants]


async def _one(scratch: Scratch, judge: Judge, found: FoundInvariant) -> Kept:
    suspicion = judge.suspicion(found.invariant)
    if not suspicion.suspects:
        return Kept(found)
    for suspect in suspicion.suspects[:_SUSPECTS]:
        question = await _shown(scratch, suspect)
        if question is not None:
            return Kept(found, Counterexample(suspect, question, True), suspicion)
    first = suspicion.suspects[0]
    return Kept(found, Counterexample(first, _plain(first, scratch), False), suspicion)


async def _shown(scratch: Scratch, suspect: Suspect) -> Question | None:
    """A request that Envoy lets through though it must not. None if none was found."""
    base = _plain(suspect, scratch)
    for question in questions(base, suspect.needs, scratch.snapshot.issuers, 1 if suspect.certain else _CONTEXTS):
        try:
            record = await scratch.record(question)
        except Unaskable:
            continue
        if record["details"] == "via_upstream" and _is_meant(suspect.who, record):
            return question
    return None


def _plain(suspect: Suspect, scratch: Scratch) -> Question:
    host = {"*": "localhost"}.get(suspect.point.host, suspect.point.host.replace("*", "any"))
    # Where more than who and what counts, the time is told: the counterexample holds tomorrow too.
    at = None if suspect.certain else datetime.now(UTC).replace(microsecond=0)
    return Question(suspect.method or _UNNAMED, suspect.point.path, host, principal=_principal(suspect.person, scratch), at=at)


def _principal(person: Person, scratch: Scratch) -> Principal | None:
    match person.sort:
        case "anonymous":
            return None
        case "token":
            return Token(person.name, "someone")
        case "certificate":
            return Certificate(person.name, "spiffe://someone")
    if person.by == KEY:
        return scratch.consumer(person.name)
    for one in scratch.snapshot.consumers[person.name].credentials:
        if one.certificate is not None and one.certificate.ca == person.by:
            return Certificate(person.by, one.certificate.san)
        if one.fingerprint is not None:
            return Certificate(person.by, fingerprint=one.fingerprint)
    return None


def _is_meant(who: Formula, record: Mapping[str, Any]) -> bool:
    """Whether the caller, as Envoy saw it, is one whom the invariant means."""
    seen = {**record["attributes"], "id": record["principal"], "method": record["auth_method"], "issuer": record["issuer"]}
    seen = {**seen, "groups": record["groups"]}
    known = {name: float(value) if isinstance(value, int | float) else str(value) for name, value in seen.items() if value is not None}

    def answer(atom: Atom) -> Formula:
        if isinstance(atom, OfPrincipal):
            found = answered(atom.test, known.get(atom.key, MISSING))
            return atom if found is None else Constant("true" if found else "false")
        if isinstance(atom, OfCel) and atom.closed:
            return answered_cel(atom, known, record["http_method"]) or atom
        return atom

    return filled(who, answer) == TRUE
