"""What a key may be used for: its scopes, which stand for its consumer's attribute `scopes` as long as the Gateway declares one."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from bartizan.model.attributes import attribute_problem
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot

SCOPES, TYPE = "scopes", "words"
"""The attribute, and what it has to be declared as."""
HINT = f"Declare `attributes: {{{SCOPES}: {TYPE}}}` in the Gateway."

_SCOPE = re.compile(r"[\x21\x23-\x3a\x3c-\x5b\x5d-\x7e]{1,128}")
"""A scope of RFC 6749, without the `;` that ends a field of an identity."""
_MOST = 64
_NAMED = 3


class Scoped(Protocol):
    """A key, as far as it matters here."""

    @property
    def id(self) -> str: ...
    @property
    def consumer(self) -> str: ...
    @property
    def scopes(self) -> tuple[str, ...]: ...


def scopes_problem(scopes: Sequence[str]) -> str | None:
    """What is wrong with the scopes of a key, or None."""
    if len(scopes) > _MOST:
        return f"A key has {_MOST} scopes at most."
    if wrong := next((one for one in scopes if not _SCOPE.fullmatch(one)), None):
        return f"{wrong[:40]!r} is no scope: it has 1 to 128 printable ASCII characters, and no space, quote, '\\' or ';'."
    if len(set(scopes)) != len(scopes):
        return "A scope stands there twice."
    problem = attribute_problem(list(scopes))
    return f"What the scopes make {problem}." if problem else None


def are_declared(attributes: Mapping[str, str]) -> bool:
    """Whether keys with scopes count: policies can ask for them."""
    return attributes.get(SCOPES) == TYPE


def undeclared(keys: Iterable[Scoped], snapshot: Snapshot, before: Snapshot | None) -> Iterator[Problem]:
    """What is wrong with taking away the attribute for which keys have scopes: they would count no more."""
    if before is None or are_declared(snapshot.gateway.attributes) or not are_declared(before.gateway.attributes):
        return
    if having := _having(keys, snapshot):
        at = snapshot.resource(snapshot.gateway).place(("attributes",))
        yield Problem(at, "scopes-undeclared", f"{having}, which count by the attribute `{SCOPES}` alone", f"{HINT} Or revoke the keys.")


def warnings(keys: Iterable[Scoped], snapshot: Snapshot) -> Iterator[str]:
    """Which keys are refused, because nothing could ask for their scopes."""
    if not are_declared(snapshot.gateway.attributes) and (having := _having(keys, snapshot)):
        yield f"{having}, but the Gateway declares no attribute `{SCOPES}` of type `{TYPE}`: they are refused"


def _having(keys: Iterable[Scoped], snapshot: Snapshot) -> str:
    found = [one.id for one in keys if one.scopes and one.consumer in snapshot.consumers]
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return (
        f"the key{'s' if len(found) > 1 else ''} {', '.join(found[:_NAMED])}{more} ha{'ve' if len(found) > 1 else 's'} scopes"
        if found
        else ""
    )
