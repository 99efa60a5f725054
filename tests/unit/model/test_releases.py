"""How changes are let out, as an owner writes it: stages, windows over midnight and over changes of the clock, freezes."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from bartizan.model.releases import Freeze, Releases, is_within


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def made(**fields: object) -> Releases:
    return Releases.model_validate(fields)


@pytest.mark.parametrize(
    ("window", "moment", "within"),
    [
        # 2026-11-20 is a Friday.
        ("mon-fri 09:00-17:00 UTC", "2026-11-20T09:00:00Z", True),
        ("mon-fri 09:00-17:00 UTC", "2026-11-20T08:59:59Z", False),
        ("mon-fri 09:00-17:00 UTC", "2026-11-20T16:59:59Z", True),
        ("mon-fri 09:00-17:00 UTC", "2026-11-20T17:00:00Z", False),
        ("mon-fri 09:00-17:00 UTC", "2026-11-21T12:00:00Z", False),
        ("mon-fri 09:00-17:00 Europe/Berlin", "2026-11-20T08:30:00Z", True),
        ("mon-fri 09:00-17:00 Europe/Berlin", "2026-11-20T16:30:00Z", False),
        ("fri 00:00-24:00 UTC", "2026-11-20T23:59:59Z", True),
        ("fri 00:00-24:00 UTC", "2026-11-21T00:00:00Z", False),
        # Past midnight: it belongs to the day it began on.
        ("fri 22:00-02:00 UTC", "2026-11-20T21:59:59Z", False),
        ("fri 22:00-02:00 UTC", "2026-11-20T22:00:00Z", True),
        ("fri 22:00-02:00 UTC", "2026-11-21T01:59:59Z", True),
        ("fri 22:00-02:00 UTC", "2026-11-21T02:00:00Z", False),
        ("fri 22:00-02:00 UTC", "2026-11-20T01:00:00Z", False),
        ("sun 22:00-02:00 UTC", "2026-11-23T01:00:00Z", True),
        # Days that go over the end of the week.
        ("sat-mon 10:00-11:00 UTC", "2026-11-22T10:30:00Z", True),
        ("sat-mon 10:00-11:00 UTC", "2026-11-23T10:30:00Z", True),
        ("sat-mon 10:00-11:00 UTC", "2026-11-24T10:30:00Z", False),
        # 2026-03-29, 02:00 becomes 03:00 in Berlin; 2026-10-25, 03:00 becomes 02:00.
        ("sun 09:00-17:00 Europe/Berlin", "2026-03-29T07:00:00Z", True),
        ("sun 09:00-17:00 Europe/Berlin", "2026-03-29T06:59:59Z", False),
        ("sun 02:00-03:00 Europe/Berlin", "2026-03-29T01:00:00Z", False),  # that hour isn't there
        ("sun 02:00-03:00 Europe/Berlin", "2026-10-25T00:30:00Z", True),  # and this one is there twice
        ("sun 02:00-03:00 Europe/Berlin", "2026-10-25T01:30:00Z", True),
        ("sun 02:00-03:00 Europe/Berlin", "2026-10-25T02:00:00Z", False),
        ("sat 23:00-04:00 Europe/Berlin", "2026-10-25T02:59:59Z", True),
        ("sat 23:00-04:00 Europe/Berlin", "2026-10-25T03:00:00Z", False),
    ],
)
def test_a_window_is_open_when_its_clock_says_so(window: str, moment: str, within: bool) -> None:
    assert is_within(window, at(moment)) is within
    assert (made(windows=window).closed(at(moment)) is None) is within


@pytest.mark.parametrize(
    "window",
    [
        "",
        "daily",
        "mon 9:00-17:00 UTC",
        "mon 09:00-17:00",
        "mon 09:00-17:00 Mars/Base",
        "mon 09:00-09:00 UTC",
        "mon 09:00-25:00 UTC",
        "mon 09:00-17:00 ../x",
    ],
)
def test_what_is_no_window_is_refused(window: str) -> None:
    with pytest.raises(ValidationError):
        made(windows=window)


def test_a_freeze_closes_whatever_windows_say() -> None:
    freeze = {"from": "2026-12-20T00:00:00+01:00", "until": "2027-01-02T00:00:00+01:00", "reason": "year end"}
    releases = made(windows=["sun-sat 00:00-24:00 UTC"], freezes=[freeze])
    assert releases.closed(at("2026-12-19T22:59:59Z")) is None
    assert "year end" in (releases.closed(at("2026-12-19T23:00:00Z")) or "")
    assert "year end" in (releases.closed(at("2027-01-01T22:59:59Z")) or "")
    assert releases.closed(at("2027-01-01T23:00:00Z")) is None


@pytest.mark.parametrize(
    ("since", "until"), [("2026-12-20", "2027-01-01T00:00:00Z"), ("2027-01-02T00:00:00Z", "2027-01-01T00:00:00Z"), ("soon", "later")]
)
def test_a_freeze_needs_two_moments_in_order(since: str, until: str) -> None:
    with pytest.raises(ValidationError):
        Freeze.model_validate({"from": since, "until": until, "reason": "x"})


def test_stages_are_written_short_or_long() -> None:
    releases = made(stages=["test", {"replay": {"last": "1h"}}, {"shadow": None}, {"canary": {"nodes": ["a"], "for": "5m"}}])
    assert [stage.name for stage in releases.stages] == ["test", "replay", "shadow", "canary"]
    assert releases.stages[1].replay is not None
    assert releases.stages[1].replay.last == timedelta(hours=1)
    assert releases.staged


@pytest.mark.parametrize("stage", ["everywhere", "", {}, {"test": {}, "shadow": {}}, {"shadow": {"sample": 0}}, {"shadow": {"what": 1}}, 1])
def test_what_is_no_stage_is_refused(stage: object) -> None:
    with pytest.raises(ValidationError):
        made(stages=[stage])


def test_nothing_said_is_nothing_in_the_way() -> None:
    assert not Releases().staged
    assert Releases().closed(datetime.now(UTC)) is None
    assert made(approvals=1).staged


def test_a_canary_is_by_nodes_by_consumers_or_by_a_share_of_callers() -> None:
    said = ({}, {"nodes": 2}, {"nodes": ["a"]}, {"consumers": ["acme", "https://idp|ann b"]}, {"percent": 5}, {"percent": 0.5, "for": "1m"})
    stages = made(stages=[{"canary": one} for one in said]).stages
    told = [(one.canary.nodes, one.canary.consumers, one.canary.percent, one.canary.by_caller) for one in stages if one.canary]
    assert told == [
        (1, None, None, False),
        (2, None, None, False),
        (("a",), None, None, False),
        (None, ("acme", "https://idp|ann b"), None, True),
        (None, None, 5.0, True),
        (None, None, 0.5, True),
    ]


@pytest.mark.parametrize(
    "canary",
    [
        {"nodes": 1, "percent": 5},
        {"consumers": ["acme"], "percent": 5},
        {"consumers": []},
        {"consumers": [""]},
        {"consumers": ["a\nb"]},
        {"consumers": "acme"},
        {"percent": 0},
        {"percent": 0.001},
        {"percent": 100},
        {"percent": "5"},
        {"percent": True},
        {"share": 5},
    ],
)
def test_what_is_no_canary_is_refused(canary: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        made(stages=[{"canary": canary}])
