"""Small gateways, compiled for tests of what they mean."""

from bartizan.compile import Compiled, compile
from bartizan.compile.read import assemble, read
from bartizan.meaning import Access, Asked, Point, Verdict, Where, World, people_of
from bartizan.model.snapshot import Snapshot

FRAME = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:0"}]
attributes: {plan: string, department: string, level: number, trusted: bool, regions: list}
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:9101
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [x]
jwks: {keys: []}
attributes: {department: dept}
---
kind: Consumer
name: acme
attributes: {plan: gold, department: finance, level: 7, trusted: true, regions: [eu, us]}
groups: [ops]
---
kind: Consumer
name: globex
attributes: {plan: free, department: sales, level: 2}
---
kind: Consumer
name: gone
disabled: true
---
kind: Authenticate
name: callers
target: {except: [/orders/health]}
any: [api_key, {jwt: corp}]
---
kind: Public
name: health
target: {paths: [/orders/health]}
reason: monitoring has no credentials
"""


def made(*documents: str, frame: str = FRAME, files: dict[str, bytes] | None = None) -> Compiled:
    """The frame and these documents, compiled."""
    found = assemble([read("\n---\n".join((frame, *documents)), "all.yaml")], files or {})
    assert isinstance(found, Snapshot), found
    compiled = compile(found)
    assert not compiled.problems, compiled.problems
    return compiled


def authorize(allow: str, target: str = "{except: [/orders/health]}", name: str = "rule") -> str:
    """An Authorize."""
    return f"kind: Authorize\nname: {name}\ntarget: {target}\nallow: >\n  {allow}\n"


def verdicts(compiled: Compiled, path: str = "/orders", method: str | None = "GET") -> dict[str, Verdict]:
    """What becomes of everyone there, by name; `` is an anonymous caller."""
    access, people = Access(compiled), people_of((compiled.snapshot,))
    found = Asked(World(compiled.snapshot, people)).verdicts(access.route(Point("*", path), method), Where(method, path))
    assert sum(held.bit_count() for held in found.values()) == len(people.all)  # everyone is told once
    return {person.name: verdict for verdict, held in found.items() for _, person in people.of(held)}


def said(compiled: Compiled, path: str = "/orders", method: str | None = "GET") -> dict[str, str]:
    """The same in short: yes, no, or the policies it hangs on."""
    short = {}
    for name, verdict in verdicts(compiled, path, method).items():
        short[name] = "no" if verdict.refused else " ".join(policy for policy, _ in verdict.open) or "yes"
    return short
