"""What an edit means, as values: changes for sets of people, at places."""

from dataclasses import dataclass
from typing import Literal

from bartizan.meaning.who import Who

What = Literal["loses", "gains", "conditions"]
Status = Literal["kept", "new", "removed"]
Kind = Literal["allowed", "refused", "conditional"]
OTHER_METHODS = "other methods"


@dataclass(frozen=True, slots=True)
class Condition:
    """What a request depends on: what policies say, as it is written, and which do."""

    text: str
    policies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """What becomes of a request on one side."""

    kind: Kind
    conditions: tuple[Condition, ...] = ()
    """Of a refusal the one that isn't met; else all that are left to meet."""


@dataclass(frozen=True, slots=True)
class Change:
    """What changes for some people."""

    what: What
    who: Who
    before: State
    after: State


@dataclass(frozen=True, slots=True)
class Place:
    """Requests to which a change applies."""

    api: str
    host: str
    path: str
    methods: tuple[str, ...]
    """In capitals; `other methods` are those that nobody names. Empty: any."""
    status: Status = "kept"
    """Whether the route is there on both sides."""


@dataclass(frozen=True, slots=True)
class Group:
    """Places where the same changes."""

    places: tuple[Place, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Moved:
    """Some people who fall under other limits than before. Empty words: under none."""

    who: Who
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class LimitChange:
    """A limit that is another one, comes or goes at these places, or means others. Empty words: it isn't there."""

    policy: str
    before: str
    after: str
    places: tuple[Place, ...]
    moved: tuple[Moved, ...] = ()
    """For whom, if they are let through, and what it says to them."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an edit means."""

    access: tuple[Group, ...] = ()
    """By what policies say, for everyone as they are after the edit."""
    limits: tuple[LimitChange, ...] = ()
    callers: tuple[str, ...] = ()
    """The consumers and issuers that are declared otherwise, as sentences."""
    live: tuple[Group, ...] = ()
    """By what those are, with the policies as they were: it holds at once, and no rollback of policies takes it back."""
    live_limits: tuple[LimitChange, ...] = ()
    """The same of limits."""

    @property
    def empty(self) -> bool:
        """Whether nothing changes for anybody."""
        return not (self.access or self.limits or self.live or self.live_limits)
