"""What an edit loosens is seen: a restriction deleted, a policy disabled, a target narrowed, something opened."""

import pytest

from bartizan.compile.read import assemble, read
from bartizan.model.snapshot import Snapshot
from bartizan.rollout.loosening import loosenings

FRAME = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
attributes: {plan: string}
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:9101
---
"""
POLICY = "kind: Authorize\nname: gold\ntarget: {api: orders}\nallow: principal.plan == 'gold'\n"
OTHER = "kind: Authenticate\nname: callers\nany: [api_key]\n"
PUBLIC = "kind: Public\nname: open\ntarget: {api: orders, paths: [/orders/x]}\nreason: a test of what is told\n"


def _snapshot(*texts: str) -> Snapshot:
    found = assemble([read(FRAME + "\n---\n".join(texts), "x.yaml")], {})
    assert isinstance(found, Snapshot), found
    return found


@pytest.mark.parametrize(
    ("after", "says"),
    [
        ((OTHER,), "Authorize/gold is gone"),
        ((OTHER, POLICY + "mode: shadow\n"), "shadow mode"),
        ((OTHER, POLICY + "mode: disabled\n"), "disabled mode"),
        ((OTHER, POLICY.replace("{api: orders}", "{api: orders, paths: [/orders/a]}")), "covers"),
        ((OTHER, POLICY.replace("{api: orders}", "{api: orders, except: [/orders/a]}")), "except /orders/a"),
        ((OTHER, POLICY.replace("== 'gold'", "!= 'gold'")), "may let through more"),
        ((OTHER, POLICY, PUBLIC), "without authentication"),
    ],
)
def test_a_loosening_is_told(after: tuple[str, ...], says: str) -> None:
    found = list(loosenings(_snapshot(OTHER, POLICY), _snapshot(*after)))
    assert any(says in sentence for sentence in found), found


def test_a_new_restriction_and_no_change_are_no_loosening() -> None:
    assert not list(loosenings(_snapshot(OTHER, POLICY), _snapshot(OTHER, POLICY)))
    assert not list(loosenings(_snapshot(OTHER), _snapshot(OTHER, POLICY)))
    assert not list(loosenings(_snapshot(OTHER, POLICY + "mode: shadow\n"), _snapshot(OTHER, POLICY)))


SOURCE = "kind: ContextSource\nname: hr\nattributes: [plan]\npush: true\n"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("stale: keep\n", ["ContextSource/hr keeps values however old they are"]),
        ("stale: {plan: free}\n", ["ContextSource/hr has other values stand in for those that are stale"]),
        ("max_age: 1h\n", ["ContextSource/hr counts values for 3600 s now; it did for 300 s"]),
        ("max_age: 1m\n", []),
        ("", []),
    ],
)
def test_a_source_that_is_believed_for_longer_is_told(more: str, says: list[str]) -> None:
    strict, other = _snapshot(OTHER, POLICY, SOURCE), _snapshot(OTHER, POLICY, SOURCE + more)
    assert list(loosenings(strict, other)) == says
    if "stale" in more:
        assert list(loosenings(other, strict)) == []
