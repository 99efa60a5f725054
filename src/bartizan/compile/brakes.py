"""Emergency brakes as Envoy's refusals: each under a name of its own, so that a record tells which brake refused."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from bartizan.envoy import names
from bartizan.envoy.matching import header, principal, source_in
from bartizan.model.fields import network

BY_CLAIM = {"token": names.H_JTI, "session": names.H_SID}
"""What is known of a token alone, and the header where its claim is noted."""


class Braked(Protocol):
    """A brake, as far as Envoy has to know it."""

    @property
    def id(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def value(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Refused:
    """What is refused: before credentials are looked up, and when the principal is known."""

    early: tuple[tuple[str, Any], ...]
    late: tuple[tuple[str, Any], ...]


def refused(brakes: Iterable[Braked]) -> Refused:
    """Each brake's name and predicate. Those of keys are none here: a braked key isn't in the tables."""
    early, late = [], []
    for one in sorted(brakes, key=lambda brake: brake.id):
        early += [(name_of(one), predicate) for predicate in _early(one)]
        if one.what == "consumer":
            late.append((name_of(one), principal("id", one.value)))
        elif one.what in BY_CLAIM:
            late.append((name_of(one), header(BY_CLAIM[one.what], exact=one.value)))
    return Refused(tuple(early), tuple(late))


def name_of(brake: Braked) -> str:
    """What the record says of a request that it refused."""
    return f"block/{brake.id}"


def _early(brake: Braked) -> Iterator[Any]:
    if brake.what == "ip":
        parsed = network(brake.value)
        yield source_in([(str(parsed.network_address), parsed.prefixlen)])
    elif brake.what == "path":
        # The gate has refused every spelling of a path but the plain one; case is left to the upstream, so any case is braked.
        below = "" if brake.value == "/" else r"(?:[/?]\C*)?"
        everything = r"\C*" if brake.value == "/" else ""
        yield header(":path", safe_regex={"google_re2": {}, "regex": f"(?i){re.escape(brake.value)}{below}{everything}"})
