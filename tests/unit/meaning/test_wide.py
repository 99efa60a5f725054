"""Entries that let everybody through, and conditions that time puts out of force."""

from datetime import UTC, datetime, timedelta

import pytest

from bartizan.meaning.wide import expiring, wide
from tests.unit.meaning.made import FRAME, authorize, made

NOW = datetime(2026, 11, 22, tzinfo=UTC)
MONTH = timedelta(days=30)


@pytest.mark.parametrize(
    ("document", "code", "path"),
    [
        ('{kind: IpAccess, name: x, allow: ["192.0.2.0/24", "0.0.0.0/0"]}', "network-everywhere", "IpAccess/x: allow[1]"),
        ('{kind: IpAccess, name: x, allow: ["::/0"]}', "network-everywhere", "IpAccess/x: allow[0]"),
        ('{kind: Cors, name: x, target: {api: orders}, origins: ["*"]}', "origin-any", "Cors/x: origins"),
        ("{kind: Public, name: x, target: {paths: [/status]}, reason: probes of the balancer}", "public-everywhere", "Public/x: target"),
    ],
)
def test_entries_for_everybody_are_told_with_their_place(document: str, code: str, path: str) -> None:
    found = [one for one in wide(made(document).snapshot) if one.at.path.partition(":")[0] != "Public/health"]
    assert [(one.code, one.at.path) for one in found] == [(code, path)]
    assert found[0].at.line > 0 and found[0].hint


def test_narrow_entries_arent_told() -> None:
    documents = (
        '{kind: IpAccess, name: x, allow: ["10.0.0.0/8"], deny: ["0.0.0.0/0"]}',
        "{kind: Cors, name: y, origins: [https://a.example]}",
    )
    frame = FRAME.replace("target: {paths: [/orders/health]}", "target: {api: orders, paths: [/orders/health]}")
    assert list(wide(made(*documents, frame=frame).snapshot)) == []


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ('now.before("2026-11-30T00:00:00Z")', "soon never holds again"),
        ('principal.plan == "gold" && now.before("2026-11-01T00:00:00Z")', "never holds again"),
        ('now.before("2027-11-30T00:00:00Z")', None),
        ('now.after("2026-11-30T00:00:00Z")', None),
    ],
)
def test_a_condition_that_soon_never_holds_is_told(condition: str, told: str | None) -> None:
    found = list(expiring(made(authorize(condition)).snapshot, NOW, MONTH))
    assert [one.message.rpartition("` ")[2] for one in found] == ([told] if told else [])
    assert all(one.at.path == "Authorize/rule: allow" for one in found)


def test_freezes_that_end_or_are_over() -> None:
    freezes = ", ".join(
        f'{{from: "2026-01-01T00:00:00Z", until: "{until}T00:00:00Z", reason: {reason}}}'
        for until, reason in (("2026-02-01", "old"), ("2026-12-01", "soon"), ("2027-12-01", "later"))
    )
    frame = FRAME.replace("attributes: {plan", f"releases: {{freezes: [{freezes}]}}\nattributes: {{plan", 1)
    found = list(expiring(made(frame=frame).snapshot, NOW, MONTH))
    assert [one.at.path for one in found] == [f"Gateway/edge: releases.freezes[{place}]" for place in (0, 1)]
    assert "is over since" in found[0].message and "ends at" in found[1].message
