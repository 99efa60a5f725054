"""Whom a node believes: the keys that may sign its releases, and what else a release must be before Envoy sees any of it."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from bartizan.errors import Forbidden, Unavailable
from bartizan.identity.revoked import REVOKED, forgets
from bartizan.lib.files import replaced
from bartizan.secrets.signing import PUBLIC_BYTES, verified
from bartizan.xds.beat import opened_beat
from bartizan.xds.member import GROUP
from bartizan.xds.release import NOTE, Position, Release, Resource, State
from bartizan.xds.signed import PURPOSE, Statement, opened

TOLERANCE_S = 300.0
"""So far may a node's clock be ahead of the control plane's."""
_BEAT_OFF_S = 900.0
"""As long as a release may be on its way."""
_NAME = "trust.json"


class Trusted(BaseModel):
    """What stands in the file: the node's group, and the public keys in hex."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: str = GROUP
    keys: tuple[str, ...]

    @property
    def public(self) -> frozenset[bytes]:
        """The keys. ValueError if one is none."""
        keys = frozenset(map(bytes.fromhex, self.keys))
        if any(len(key) != PUBLIC_BYTES for key in keys):
            raise ValueError("a key isn't 64 hexadecimal digits")
        return keys


def trust_file(state: Path) -> Path:
    """Where a node with this state keeps whom it believes."""
    return state / _NAME


def read_trust(state: Path) -> Trusted:
    """Unavailable if there is nothing that can be read."""
    path = trust_file(state)
    try:
        found = Trusted.model_validate_json(path.read_bytes())
        found.public  # noqa: B018 - whether it can be read
        return found
    except OSError as error:
        raise Unavailable(f"No key is trusted: {path} can't be read ({error.strerror}).", code="trust-missing") from error
    except (ValidationError, ValueError) as error:
        raise Unavailable(f"No key is trusted: {path} is damaged. Join anew, or restore it.", code="trust-damaged") from error


def write_trust(state: Path, keys: Iterable[bytes], group: str = GROUP) -> None:
    """Replaces the file at once; does nothing if it says this already."""
    path = trust_file(state)
    text = Trusted(group=group, keys=tuple(sorted(key.hex() for key in keys))).model_dump_json().encode()
    if path.exists() and path.read_bytes() == text:
        return
    replaced(path, text)


_FORGETS = (
    "it knows less of what was revoked or blocked than this node, so keys would count again. The control plane's state may be an older "
    "one, and its release key another. To give up what this node knows, end it, remove last-good in its state, and start it"
)


@dataclass(frozen=True, slots=True)
class Judge:
    """Decides whether a release is taken. The file is read for each, so that a key that is added or dropped counts at once."""

    state: Path
    clock: Callable[[], float] = time.time

    def judged(self, data: bytes, at: Position, held: State) -> Release:
        """The release. Forbidden if it isn't to be taken; Unavailable if no key is known."""
        trust = read_trust(self.state)
        public = trust.public
        try:
            told, release = opened(data, lambda key, signature, text: key in public and verified(key, signature, text))
        except ValueError as error:
            raise _refused(str(error)) from error
        if reason := self._misfit(told, trust) or _backward(release, at) or _elsewhere(told, release, at, held):
            raise _refused(reason)
        if _forgets(held.of(NOTE), release, self.clock() + TOLERANCE_S):
            raise _refused(_FORGETS)
        return release

    def counts(self, data: bytes, at: Position) -> bool:
        """Whether a beat says that this node holds the newest. ValueError if it can't be believed; Unavailable if no key is known."""
        trust = read_trust(self.state)
        public = trust.public
        beat = opened_beat(data, lambda key, signature, text: key in public and verified(key, signature, text))
        off = abs(self.clock() - beat.at)
        if off > _BEAT_OFF_S:
            raise ValueError(f"its time and this machine's are {off:.0f} s apart; set the clock that is wrong")
        return beat.group == trust.group and at.sequence >= beat.sequence

    def _misfit(self, told: Statement, trust: Trusted) -> str:
        if told.purpose != PURPOSE:
            return f"it is signed for {told.purpose[:40]!r}, not as a release"
        if told.group != trust.group:
            return f"it is for the nodes of group {told.group[:63]!r}, and this one is of {trust.group!r}"
        late = self.clock() - told.not_after
        if late > TOLERANCE_S:
            return f"it was to be taken {late:.0f} s ago at the latest. If it has just been sent, set this machine's clock"
        return ""


def _forgets(held: Mapping[str, Resource], release: Release, until: float) -> bool:
    """A second look: the control plane has heard what this node knows before it sends anything."""
    after: dict[str, bytes | None] = {}
    for step in release.steps:
        after |= {one.name: one.body for one in step.changed if one.type_url == NOTE}
        after |= {name: None for type_url, name in step.removed if type_url == NOTE}
    try:
        return any(forgets(held[name].body, body, until) for name, body in after.items() if name in held and name.startswith(REVOKED))
    except ValueError:  # of another version: what was revoked is in it nevertheless
        return False


def _backward(release: Release, at: Position) -> str:
    if release.sequence < at.sequence:
        return f"it is number {release.sequence}, and number {at.sequence} is held: it was sent before"
    if release.generation < at.generation:
        return f"its live data is of generation {release.generation}, and {at.generation} is held: what was revoked since would count again"
    return ""


def _elsewhere(told: Statement, release: Release, at: Position, held: State) -> str:
    after = held.digest_after(release.steps)
    if after != told.state:
        return "what would be held after it isn't what was signed"
    if release.sequence == at.sequence and (release.position != at or after != held.digest):
        return f"it is number {release.sequence} again, and says something else"
    return ""


def _refused(reason: str) -> Forbidden:
    return Forbidden(f"A release is refused: {reason}. What is held is served on.", code="release-refused")
