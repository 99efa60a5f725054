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
