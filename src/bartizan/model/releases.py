"""How changes of policy are let out: stages, guards, approval and windows. The owner of the gateway says so, in `Gateway.releases`."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, field_validator, model_validator

from bartizan.model.fields import AsTuple, Declared, Duration

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(r"(mon|tue|wed|thu|fri|sat|sun)(?:-(mon|tue|wed|thu|fri|sat|sun))? (\d\d):(\d\d)-(\d\d):(\d\d) (\S+)")
_WHOM = ("nodes", "consumers", "percent")
_Caller = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
StageName = Literal["test", "replay", "shadow", "canary", "everywhere"]


class Replay(Declared):
    """Recorded requests judged again by the candidate."""

    last: Duration = Field(default="24h", validate_default=True, description="How far back the records go that are judged again.")
    refused: int = Field(default=0, ge=0, description="So many requests may be newly refused.")
    allowed: int = Field(default=0, ge=0, description="So many requests may be newly allowed.")
    most: int = Field(default=100_000, ge=1, description="At most so many requests, the newest.")


class Shadow(Declared):
    """Live requests judged by the candidate beside the active revision, whose answers stand."""

    lasts: Duration = Field(default="10m", alias="for", validate_default=True, description="How long.")
    requests: int | None = Field(default=None, ge=1, description="It is enough when so many requests were judged, if that comes first.")
    sample: float = Field(default=1.0, gt=0, le=1, description="The share of requests that is judged.")
    refused: int = Field(default=0, ge=0, description="So many requests may be newly refused.")
    allowed: int = Field(default=0, ge=0, description="So many requests may be newly allowed.")


class Canary(Declared):
    """The candidate decides for some and the active revision for all others: on some nodes, or for some callers on every node."""

    nodes: Annotated[int | tuple[str, ...] | None, AsTuple] = Field(
        default=None, description="How many nodes, or which; one, if nothing of these three is said."
    )
    consumers: Annotated[tuple[_Caller, ...] | None, AsTuple] = Field(
        default=None, min_length=1, max_length=100, description="Callers by name: consumers, or the ids that records show as `principal`."
    )
    percent: float | None = Field(
        default=None, ge=0.01, le=99, description="The share of callers that carry a credential. Who is among them stays so to the end."
    )
    lasts: Duration = Field(default="10m", alias="for", validate_default=True, description="How long.")

    @model_validator(mode="before")
    @classmethod
    def _on_a_node(cls, value: Any) -> Any:
        said = isinstance(value, dict) and any(value.get(name) is not None for name in _WHOM)
        return {**value, "nodes": 1} if isinstance(value, dict) and not said else value

    @model_validator(mode="after")
    def _one(self) -> "Canary":
        if sum(getattr(self, name) is not None for name in _WHOM) != 1:
            raise ValueError(f"a canary is by one of {', '.join(_WHOM)}")
        return self

    @property
    def by_caller(self) -> bool:
        """Whether callers decide who judges them, not nodes."""
        return self.nodes is None


class Test(Declared):
    """The policy tests beside the policies."""

    __test__ = False  # no test of ours


_STAGES: dict[str, type[Declared]] = {"test": Test, "replay": Replay, "shadow": Shadow, "canary": Canary}


class Stage(Declared):
    """One stage: `test`, or `{shadow: {for: 10m}}`."""

    test: Test | None = Field(default=None, description="Run the policy tests.")
    replay: Replay | None = Field(default=None, description="Judge recorded requests again.")
    shadow: Shadow | None = Field(default=None, description="Judge live requests beside the active revision.")
    canary: Canary | None = Field(default=None, description="Let it decide on some nodes, or for some callers.")

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {value: {}}
        if isinstance(value, dict):
            return {name: {} if given is None else given for name, given in value.items()}
        return value

    @model_validator(mode="after")
    def _one(self) -> "Stage":
        if sum(getattr(self, name) is not None for name in _STAGES) != 1:
            raise ValueError(f"a stage is one of {', '.join(_STAGES)}")
        return self

    @property
    def name(self) -> StageName:
        """What it is called."""
        return next(name for name in ("test", "replay", "shadow", "canary") if getattr(self, name) is not None)


class Guards(Declared):
    """What stops a rollout by itself, measured while it is out against the minutes before."""

    refused_callers: int = Field(
        default=3, ge=1, description="So many distinct callers that were allowed before and are refused now, beside a tenth of those seen."
    )
    errors: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="By how much the share of 5xx answers may grow: of all, or those of `refused_callers` single callers.",
    )
    latency: float = Field(default=2.0, gt=1, description="By which factor the 99th percentile of the gateway's own latency may grow.")
    lasts: Duration = Field(default="1m", alias="for", validate_default=True, description="How long guards watch after it is everywhere.")


class Freeze(Declared):
    """A time in which nothing is let out."""

    since: str = Field(alias="from", description="Its beginning, such as 2026-12-20T00:00:00+01:00.")
    until: str = Field(description="Its end.")
    reason: str = Field(min_length=1, description="Why.")

    @model_validator(mode="after")
    def _in_order(self) -> "Freeze":
        if moment(self.since) >= moment(self.until):
            raise ValueError("a freeze ends after it begins")
        return self


def moment(text: str) -> datetime:
    """A time with its zone. ValueError."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text!r} needs a time zone, such as 2026-12-20T00:00:00+01:00")
    return found


def _windows(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


class Releases(Declared):
    """How changes of policy are let out. Those of the active revision count, so that a change can't lift its own guards."""

    stages: Annotated[tuple[Stage, ...], AsTuple] = Field(
        default=(), description="The stages, in order; behind the last it is everywhere. By default it is so at once."
    )
    guards: Guards | None = Field(default=None, description="What stops a rollout by itself and takes it back.")
    approvals: int = Field(
        default=0, ge=0, le=5, description="How many people beside the author have to approve before it decides anything."
    )
    windows: Annotated[tuple[str, ...], BeforeValidator(_windows)] = Field(
        default=(), description="When changes may be let out, such as `mon-fri 09:00-17:00 Europe/Berlin`; by default always."
    )
    freezes: Annotated[tuple[Freeze, ...], AsTuple] = Field(default=(), description="When nothing is let out.")
    brake_share: float = Field(
        default=0.2, gt=0, le=1, description="A block that would refuse more than this share of yesterday's requests needs a second person."
    )

    @field_validator("windows")
    @classmethod
    def _windows_read(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            is_within(text, datetime.fromisoformat("2026-01-01T00:00:00+00:00"))
        return value

    @property
    def staged(self) -> bool:
        """Whether a change doesn't decide everywhere at once."""
        return bool(self.stages or self.approvals or self.windows or self.freezes)

    def closed(self, now: datetime) -> str | None:
        """Why nothing may be let out at this time (with a zone); None if it may."""
        for freeze in self.freezes:
            if moment(freeze.since) <= now < moment(freeze.until):
                return f"there is a freeze until {freeze.until}: {freeze.reason}"
        if self.windows and not any(is_within(window, now) for window in self.windows):
            return f"changes are let out {', '.join(self.windows)}"
        return None


def is_within(window: str, now: datetime) -> bool:
    """Whether this time lies in a window. One that ends before it begins goes on past midnight. ValueError if it isn't one."""
    found = _WINDOW.fullmatch(window)
    if found is None:
        raise ValueError(f"{window!r} isn't a window, such as mon-fri 09:00-17:00 Europe/Berlin")
    first, last, *times, zone = found.groups()
    try:
        local = now.astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"there is no time zone {zone!r}") from error
    hours = [int(number) for number in times]
    begins, ends = timedelta(hours=hours[0], minutes=hours[1]), timedelta(hours=hours[2], minutes=hours[3])
    if max(begins, ends) > timedelta(days=1) or begins == ends:
        raise ValueError(f"{window!r} has no time of day in it: hours are 00:00 to 24:00")
    at = timedelta(hours=local.hour, minutes=local.minute, seconds=local.second)
    today, yesterday = _DAYS[local.weekday()], _DAYS[local.weekday() - 1]
    days = _days(first, last or first)
    if begins < ends:
        return today in days and begins <= at < ends
    return (today in days and at >= begins) or (yesterday in days and at < ends)


def _days(first: str, last: str) -> tuple[str, ...]:
    start, end = _DAYS.index(first), _DAYS.index(last)
    return _DAYS[start : end + 1] if start <= end else (*_DAYS[start:], *_DAYS[: end + 1])
