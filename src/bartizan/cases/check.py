"""Cases against what is declared: each becomes a question that can be asked, or a Problem. What doesn't exist is never a silent pass."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches

from bartizan.cases.case import Given
from bartizan.cases.read import Found
from bartizan.compile import Compiled
from bartizan.identity.credentials import view
from bartizan.model.attributes import attribute_problem, has_type
from bartizan.model.consumer import Issuer
from bartizan.model.problem import Place, Problem
from bartizan.model.snapshot import Snapshot
from bartizan.scratch import Certificate, Principal, Question, Token, Unaskable, UnknownKey
from bartizan.scratch.request import Setting, sent, setting_of
from bartizan.telemetry.decision import REFUSERS

_UNUSED = "RateLimit"
_NEVER = "no limit is ever used up in a test, so none refuses"


@dataclass(frozen=True, slots=True)
class Trial:
    """A case and the question that asks it."""

    found: Found
    question: Question


@dataclass(frozen=True, slots=True)
class _Known:
    """What cases may name."""

    snapshot: Snapshot
    setting: Setting
    listeners: Mapping[str, object]
    cas: Mapping[str, object]
    modes: Mapping[str, str]
    """The mode of each policy, by its id."""


def trials(found: Iterable[Found], compiled: Compiled) -> tuple[tuple[Trial, ...], tuple[Problem, ...]]:
    """The questions of these cases; or, if one of them can't be asked or names what doesn't exist, none and all problems."""
    known = _known(compiled)
    cases = tuple(found)
    if problems := {problem for one in cases for problem in _problems(one, known)}:
        return (), tuple(sorted(problems))
    return tuple(Trial(one, question_of(one.given, known.snapshot)) for one in cases), ()


def _known(compiled: Compiled) -> _Known:
    snapshot = compiled.snapshot
    policies = (*snapshot.policies, *(policy for part in compiled.parts.values() for policy in part.policies))
    return _Known(
        snapshot,
        setting_of(snapshot),
        {one.name: one for one in snapshot.gateway.listeners},
        {name: ca for policy in snapshot.policies for name, ca in getattr(policy, "client_cas", {}).items()},
        {policy.id: policy.mode for policy in policies},
    )


def question_of(given: Given, snapshot: Snapshot) -> Question:
    """What is asked. All that it names exists."""
    named = (given.device.id if given.device else None) or ""
    return Question(
        given.method,
        given.path,
        given.host,
        tuple((name, value) for name, values in given.headers.items() for value in values),
        principal=_principal(given, snapshot),
        at=given.at,
        source=given.source.address,
        listener=given.listener,
        size=given.size,
        ja4=given.device.ja4 if given.device else "",
        device=named,
        device_state=snapshot.devices[named].state if named else "pending",
        context=given.context,
        place=given.source.place(),
    )


def _principal(given: Given, snapshot: Snapshot) -> Principal | None:
    caller = given.principal
    if caller is None:
        return None
    if caller.consumer is not None:
        consumer = snapshot.consumers[caller.consumer]
        return view(consumer) if consumer.counts(given.at or datetime.now(UTC)) else UnknownKey()
    if caller.issuer is not None:
        return Token(caller.issuer, caller.subject or "", caller.claims)
    return Certificate(caller.ca or "", caller.san or "", caller.fingerprint or "")


def _problems(one: Found, known: _Known) -> Iterator[Problem]:
    named = [*_caller(one, known), *_device(one, known), *_context(one, known), *_listener(one, known)]
    yield from named
    yield from _refuser(one, known)
    for policy in one.case.shadow:
        yield from _shadow(one, policy, known)
    if not named:
        try:
            sent(question_of(one.given, known.snapshot), known.setting, one.given.listener or next(iter(known.listeners)))
        except Unaskable as error:
            yield Problem(one.place("given"), "case-unaskable", str(error))


def _device(one: Found, known: _Known) -> Iterator[Problem]:
    device = one.given.device
    if device is not None and device.id is not None and device.id not in known.snapshot.devices:
        yield _unknown(one.place("given", "device", "id"), "Device", device.id, known.snapshot.devices)


def _context(one: Found, known: _Known) -> Iterator[Problem]:
    types = known.snapshot.gateway.attributes
    contextual = known.snapshot.contextual()
    for name, value in one.given.context.items():
        at = one.place("given", "context", name)
        if name not in contextual:
            near = get_close_matches(name, contextual, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]!r}?" if near else f"Sources tell: {', '.join(sorted(contextual)) or 'nothing'}."
            yield Problem(at, "attribute-undeclared", f"no ContextSource tells the attribute {name!r}", hint)
        elif not has_type(value, types[name]):
            yield Problem(at, "attribute-type", f"the attribute {name!r} is declared as a {types[name]}")
        elif wrong := attribute_problem(value):
            yield Problem(at, "attribute-value", f"the attribute {name!r} {wrong}")


def _caller(one: Found, known: _Known) -> Iterator[Problem]:
    caller, at = one.given.principal, one.place("given", "principal")
    if caller is None:
        return
    if caller.consumer is not None and caller.consumer not in known.snapshot.consumers:
        yield _unknown(at, "Consumer", caller.consumer, known.snapshot.consumers)
    if caller.ca is not None and caller.ca not in known.cas:
        yield _unknown(at, "CA", caller.ca, known.cas)
    if caller.issuer is not None:
        issuer = known.snapshot.issuers.get(caller.issuer)
        if issuer is None:
            yield _unknown(at, "Issuer", caller.issuer, known.snapshot.issuers)
        else:
            yield from (_misspelt(at, claim, issuer) for claim in caller.claims if _near(claim, _claims(issuer)))


def _claims(issuer: Issuer) -> tuple[str, ...]:
    return (*issuer.attributes.values(), *([issuer.groups] if issuer.groups else []))


def _near(name: str, among: Iterable[str]) -> str:
    """Which of `among` the name was probably meant to be. Empty if it is one of them, or like none."""
    names = tuple(among)
    near = get_close_matches(name, names, n=1, cutoff=0.75)
    return near[0] if near and name not in names else ""


def _misspelt(at: Place, claim: str, issuer: Issuer) -> Problem:
    told = f"the Issuer {issuer.name!r} takes nothing from the claim {claim!r}"
    return Problem(at, "claim-unknown", told, f"Did you mean {_near(claim, _claims(issuer))!r}?")


def _listener(one: Found, known: _Known) -> Iterator[Problem]:
    if one.given.listener and one.given.listener not in known.listeners:
        yield _unknown(one.place("given", "listener"), "listener", one.given.listener, known.listeners)


def _refuser(one: Found, known: _Known) -> Iterator[Problem]:
    by, at = one.case.by, one.place("by")
    if by is None:
        return
    if by.partition("/")[0] == _UNUSED:
        yield Problem(at, "limit-unused", _NEVER, "Expect what the other policies say.")
    elif "/" not in by and by in REFUSERS:
        return
    elif by not in known.modes:
        yield _unknown(at, "policy", by, (*known.modes, *sorted(REFUSERS)))
    elif known.modes[by] != "enforce":
        hint = "Expect its verdict in `shadow`." if known.modes[by] == "shadow" else ""
        yield Problem(at, "policy-not-enforced", f"{by} has the mode {known.modes[by]!r}, so it refuses nothing", hint)


def _shadow(one: Found, policy: str, known: _Known) -> Iterator[Problem]:
    at = one.place("shadow", policy)
    if policy not in known.modes:
        yield _unknown(at, "policy", policy, known.modes)
    elif policy.partition("/")[0] == _UNUSED:
        yield Problem(at, "limit-unused", _NEVER)
    elif known.modes[policy] != "shadow":
        yield Problem(at, "policy-not-in-shadow", f"{policy} has the mode {known.modes[policy]!r}", "Expect its refusals with `by`.")


def _unknown(at: Place, kind: str, name: str, among: Iterable[str]) -> Problem:
    names = tuple(among)
    near = [one for one in names if one.partition("/")[2] == name] or get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}?" if near else ""
    return Problem(at, f"{kind.lower()}-unknown", f"there is no {kind} {name!r}", hint)
