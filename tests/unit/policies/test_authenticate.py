"""Where nothing tells whose a token is, and which issuers a route takes tokens of."""

from bartizan.compile import compile
from bartizan.compile.read import assemble, read
from bartizan.envoy import names
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot

FRAME = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
---
{kind: Api, name: orders, paths: [/orders], upstream: "http://127.0.0.1:1"}
---
{kind: Issuer, name: signs, issuer: "https://signs.example.com", audiences: [a]}
"""
ASKED = """
---
kind: Issuer
name: NAME
issuer: "https://NAME.example.com"
audiences: [a]
introspection: {url: "https://NAME.example.com/i", client_id: gw, client_secret: {file: x}PREFIX}
"""
BOTH = "\n---\n{kind: Authenticate, name: callers, any: [{jwt: one}, {jwt: two}, {jwt: signs}, api_key]}\n"


def asked(name: str, prefix: str = "") -> str:
    return ASKED.replace("NAME", name).replace("PREFIX", f", prefix: {prefix}" if prefix else "")


def made(*texts: str) -> Snapshot | tuple[Problem, ...]:
    return assemble([read(FRAME + "".join(texts), "x.yaml")], {})


def test_two_issuers_that_are_asked_are_told_apart_by_what_their_tokens_begin_with() -> None:
    (problem,) = made(asked("one"), asked("two"), BOTH)  # type: ignore[misc]
    assert (problem.code, problem.at.path) == ("issuer-ambiguous", "Authenticate/callers: any[1].jwt")
    assert isinstance(made(asked("one"), asked("two", "t_"), BOTH), Snapshot)
    assert not isinstance(made(asked("one", "t_"), asked("two", "t_"), BOTH), Snapshot)
    apart = "".join(f"\n---\n{{kind: Authenticate, name: {one}, any: [{{jwt: {one}}}, api_key]}}\n" for one in ("one", "two"))
    assert isinstance(made(asked("one"), asked("two"), apart), Snapshot), "no route takes tokens of both"


def accepts(*policies: str) -> dict[str, frozenset[str]]:
    """By route what the gate is told of it."""
    found = made(asked("one"), asked("two", "t_"), *(f"\n---\n{one}\n" for one in policies))
    assert isinstance(found, Snapshot), found
    (scope,) = compile(found).scopes()
    told = {}
    for route in scope.config.virtual_hosts[0].routes:
        fields = route.metadata.filter_metadata[names.GATE].fields
        told[route.match.path_separated_prefix] = frozenset(fields["accepts"].struct_value.fields) if "accepts" in fields else frozenset()
    assert scope.accepts == frozenset().union(*told.values())
    return told


def test_a_route_says_whose_tokens_all_its_policies_take() -> None:
    every = "{kind: Authenticate, name: every, any: [{jwt: one}, {jwt: two}, api_key]}"
    assert accepts(every) == {"/orders": {"one", "two"}}
    narrower = "{kind: Authenticate, name: narrower, target: {paths: [/orders/two]}, any: [{jwt: two}, {jwt: signs}, api_key]}"
    assert accepts(every, narrower) == {"/orders": {"one", "two"}, "/orders/two": {"two"}}
    shadow = "{kind: Authenticate, name: watched, mode: shadow, any: [{jwt: one}]}"
    assert accepts("{kind: Authenticate, name: keys, any: [api_key]}", shadow) == {"/orders": frozenset()}
    assert accepts("{kind: Public, name: all, reason: this is a test}", shadow) == {"/orders": frozenset()}
