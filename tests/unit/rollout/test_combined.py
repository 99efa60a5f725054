"""Policies of one revision with who may call now."""

from bartizan.compile.read import assemble, read
from bartizan.model.snapshot import Snapshot
from bartizan.rollout.combined import combined

FRAME = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
attributes: {%s}
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:9000
---
kind: Public
name: all
reason: for these tests alone
---
kind: Consumer
name: %s
attributes: {%s}
"""


def declared(attributes: str, consumer: str, given: str) -> Snapshot:
    found = assemble([read(FRAME % (attributes, consumer, given), "x.yaml")], {})
    assert isinstance(found, Snapshot), found
    return found


def test_policies_stay_and_consumers_are_those_of_now() -> None:
    old, now = declared("plan: string", "acme", "plan: gold"), declared("plan: string, tier: string", "globex", "plan: silver")
    found = combined(old, now)
    assert isinstance(found, Snapshot)
    assert (found.revision, set(found.consumers)) == (old.revision, {"globex"})
    assert dict(found.gateway.attributes) == {"plan": "string"}


def test_the_same_policies_are_the_reading_of_now_itself() -> None:
    now = declared("plan: string", "globex", "plan: silver")
    assert combined(declared("plan: string", "acme", "plan: gold"), now) is now


def test_what_doesnt_go_together_is_told() -> None:
    found = combined(declared("plan: string", "acme", "plan: gold"), declared("tier: string", "globex", "tier: a"))
    assert not isinstance(found, Snapshot)
    assert "Consumer/globex" in str(found[0])
