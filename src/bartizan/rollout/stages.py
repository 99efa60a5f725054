"""The life of a change as a table: which stage follows on which event. Pure; `plane/rollouts.py` does what it says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from bartizan.errors import Conflict, Forbidden
from bartizan.model.releases import Releases

Status = Literal["waiting", "running", "paused", "done", "failed", "aborted", "superseded"]
Asked = Literal["approve", "pause", "resume", "promote", "abort"]
ENDED: frozenset[Status] = frozenset({"done", "failed", "aborted", "superseded"})
Figures: TypeAlias = Mapping[str, float | int | str]


@dataclass(frozen=True, slots=True)
class Rollout:
    """One change on its way out. Times are seconds since the epoch."""

    number: int
    """The commit's."""
    revision: str
    before: str
    """The revision that is active until this one is."""
    author: str
    stages: tuple[str, ...]
    """All of them, the last `everywhere`."""
    implied: int = 0
    """How many stages at the beginning nobody wrote down: tests run wherever there are some."""
    at: int = 0
    """The stage it is in."""
    status: Status = "running"
    why: str = ""
    """Why it waits, is paused or has ended."""
    began: float = 0.0
    since: float = 0.0
    """When it came into this stage and status."""
    approved: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    """Who made the changes that it brings along, because they were on their way out still: none of them may approve it either."""
    out: bool = False
    """Its canary decides somewhere."""
    emergency: bool = False
    """It passes approval, windows and stages: loud, and in the audit log."""
    history: tuple[tuple[float, str], ...] = ()
    figures: Mapping[str, Figures] = field(default_factory=dict)
    """What each stage found, by its label."""

    @property
    def stage(self) -> str:
        """The name of the stage it is in."""
        return self.stages[self.at]

    @property
    def label(self) -> str:
        """The stage it is in, told from others of the same name."""
        return label(self.stages, self.at)

    def found(self, figures: Figures) -> "Rollout":
        """The same, with what its stage has found."""
        return replace(self, figures={**self.figures, self.label: figures})

    @property
    def ended(self) -> bool:
        """Nothing more happens to it."""
        return self.status in ENDED

    @property
    def decides(self) -> bool:
        """It decides requests somewhere, or did."""
        return self.stage in {"canary", "everywhere"} and self.status in {"running", "paused", "done"}


def label(stages: Sequence[str], at: int) -> str:
    """The stage at this place, with its number if it isn't the first of its name: `canary 2`."""
    before = stages[:at].count(stages[at])
    return f"{stages[at]} {before + 1}" if before else stages[at]


def stages_of(releases: Releases, *, tests: bool) -> tuple[tuple[str, ...], int]:
    """The stages of a rollout, and how many at the beginning are implied. `tests`: there are some."""
    named = tuple(stage.name for stage in releases.stages)
    implied = ("test",) if tests and "test" not in named else ()
    return (*implied, *named, "everywhere"), len(implied)


def noted(one: Rollout, now: float, sentence: str, status: Status | None = None, why: str = "") -> Rollout:
    """It came to this."""
    history = (*one.history, (now, sentence))[-100:]
    return replace(one, status=status or one.status, why=why, since=now, history=history)


def passed(one: Rollout, now: float, figures: Figures) -> Rollout:
    """Its stage has passed."""
    found, sentence = one.found(figures), f"{one.label} passed"
    if one.at == len(one.stages) - 1:
        return noted(found, now, sentence, "done")
    return replace(noted(found, now, sentence, "running"), at=one.at + 1, out=False)


def failed(one: Rollout, now: float, why: str, figures: Figures) -> Rollout:
    """Its stage has failed: it ends, and the revision before goes on."""
    return noted(one.found(figures), now, f"{one.label} failed: {why}", "failed", why)


def asked(one: Rollout, what: Asked, by: str, now: float) -> Rollout:
    """What a person asks for. Conflict or Forbidden if it can't be so."""
    if one.ended:
        raise Conflict(f"The rollout of revision {one.revision} has ended: {one.status}.", code="rollout-ended")
    match what:
        case "approve":
            return _approved(one, by, now)
        case "pause":
            return noted(one, now, f"paused by {by}", "paused", f"paused by {by}")
        case "resume":
            if one.status != "paused":
                raise Conflict("It isn't paused.", code="rollout-not-paused")
            return noted(one, now, f"resumed by {by}", "running")
        case "promote":
            return _promoted(one, by, now)
        case "abort":
            return noted(one, now, f"aborted by {by}", "aborted", f"aborted by {by}")


def _promoted(one: Rollout, by: str, now: float) -> Rollout:
    """Past the rest of its stage. Tests, approval and windows aren't passed by this."""
    if one.stage == "test":
        raise Conflict("Nobody can promote it past its tests: what fails them isn't let out.", code="rollout-tests")
    if one.status == "waiting":
        raise Conflict(f"Nobody can promote it past what it waits for: {one.why}.", code="rollout-waits")
    figures = {**one.figures.get(one.label, {}), "promoted_by": by}
    return passed(noted(one, now, f"promoted past {one.label} by {by}"), now, figures)


def _approved(one: Rollout, by: str, now: float) -> Rollout:
    if by == one.author or by in one.also:
        raise Forbidden(f"{by} made this change, or one that it brings along; a second person approves it.", code="second-person-needed")
    if by in one.approved:
        raise Conflict(f"{by} has approved it already.", code="rollout-approved")
    return replace(noted(one, now, f"approved by {by}", why=one.why), approved=(*one.approved, by))


def obstacle(one: Rollout, releases: Releases, closed: str | None) -> str | None:
    """Why it may not decide anything yet; None if it may. `closed`: what windows and freezes say of now."""
    if one.emergency:
        return None
    missing = releases.approvals - len(one.approved)
    if missing > 0:
        people = "a second person" if missing == 1 else f"{missing} more people"
        return f"{people} must approve it: bartizan rollout approve"
    return closed
