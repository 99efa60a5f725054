"""What a running gateway tells of a route: its policies as declared, and the revisions that brought its rules."""

from bartizan.compile import compile, stamp
from bartizan.compile.read import assemble, read
from bartizan.model.snapshot import Snapshot
from bartizan.rollout.covering import told_of_route

FILES = """
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
kind: Api
name: other
paths: [/other]
upstream: http://127.0.0.1:9101
---
kind: Authenticate
name: callers
any: [api_key]
---
kind: Authorize
name: gold
target: {api: orders}
allow: principal.plan == "gold"
"""


def snapshot(text: str) -> Snapshot:
    found = assemble([read(text, "a.yaml")], {})
    assert isinstance(found, Snapshot), found
    return found


def test_policies_are_told_as_they_are_declared() -> None:
    compiled = compile(snapshot(FILES))
    told = told_of_route(compiled, stamp(compiled, {}), "orders", "/orders", "GET")
    assert [(one["policy"], one["role"], one["shadow"]) for one in told["policies"]][:2] == [
        ("Authenticate/callers", "decides", False),
        ("Authorize/gold", "decides", False),
    ]
    assert told["policies"][1]["declared"]["allow"] == 'principal.plan == "gold"'
    assert told["revisions"] == [told["revision"]] == [compiled.snapshot.revision]


def test_a_route_keeps_the_revision_that_brought_its_rules() -> None:
    before = compile(snapshot(FILES))
    stamps = stamp(before, {})
    after = compile(snapshot(FILES.replace('"gold"', '"silver"')))
    stamps = stamp(after, stamps)
    untouched, changed = (told_of_route(after, stamps, api, f"/{api}", "GET") for api in ("other", "orders"))
    assert untouched["revisions"] == [before.snapshot.revision]
    assert changed["revisions"] == [after.snapshot.revision] != untouched["revisions"]
    assert untouched["revision"] == changed["revision"] == after.snapshot.revision


def test_of_a_route_that_is_not_there_nothing_is_told() -> None:
    compiled = compile(snapshot(FILES))
    told = told_of_route(compiled, stamp(compiled, {}), "gone", "/gone", "GET")
    assert (told["policies"], told["revisions"]) == ([], [])
