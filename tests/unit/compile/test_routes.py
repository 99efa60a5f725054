"""What a route says of credentials: who opens it, and whether its upstream gets `authorization`."""

from typing import Any

import pytest

from bartizan.compile import Compiled, compile
from bartizan.compile.read import assemble, read
from bartizan.envoy import to_dict
from bartizan.model.snapshot import Snapshot

FRAME = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
---
{kind: Api, name: login, paths: [/login], upstream: "http://127.0.0.1:9101", FORWARD}
---
"""
OPEN = "{kind: Public, name: open, target: {api: login}, reason: anybody may look at it, forward_authorization: true}"
PUT_BACK = {"header": {"key": "authorization", "value": "%DYNAMIC_METADATA(bartizan.forwarded:authorization)%"}}


def route(policies: str, path: str = "/login", forward: str = "forward_credentials: false") -> dict[str, Any]:
    """The route of this path, and of GET if there are several."""
    found = assemble([read(FRAME.replace("FORWARD", forward) + policies, "a.yaml")], {})
    assert isinstance(found, Snapshot), found
    made = compile(found)
    assert isinstance(made, Compiled) and not made.problems, made.problems
    routes = [to_dict(one) for scope in made.scopes() for one in scope.config.virtual_hosts[0].routes]
    return next(one for one in routes if one["metadata"]["filter_metadata"]["bartizan"]["route"] == path)


CALLER = {"key": "x-bartizan-caller", "value": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}


def forwards(found: dict[str, Any]) -> bool:
    """Whether the upstream gets it: the gate is told to put it aside, and the route puts it back."""
    marks, added = found["metadata"]["filter_metadata"].get("gate", {}), found.get("request_headers_to_add", [])
    told = marks.get("forwards", False)
    assert [one["header"] for one in added] == ([PUT_BACK["header"], CALLER] if told else [])
    assert not told or marks["public"] is True
    return bool(told)


def test_a_public_route_forwards_nothing_unless_it_says_so() -> None:
    assert forwards(route(OPEN))
    assert not forwards(route(OPEN.replace("true", "false")))
    found = route(OPEN.replace(", forward_authorization: true", ""))
    assert not forwards(found) and found["request_headers_to_remove"] == ["authorization", "dpop"]
    assert found["metadata"]["filter_metadata"]["gate"] == {"public": True}


def test_what_is_put_back_is_one_header_in_the_place_of_whatever_is_there() -> None:
    found = route(OPEN)
    actions = {one.get("append_action", "APPEND_IF_EXISTS_OR_ADD") for one in found["request_headers_to_add"]}
    assert actions == {"OVERWRITE_IF_EXISTS_OR_ADD"}
    assert not any(one.get("keep_empty_value") for one in found["request_headers_to_add"])
    assert found["request_headers_to_remove"] == ["authorization", "dpop"]


def test_an_upstream_that_gets_all_credentials_gets_this_one_once() -> None:
    found = route(OPEN, forward="forward_credentials: true")
    assert forwards(found) and "request_headers_to_remove" not in found


@pytest.mark.parametrize(
    ("other", "forwarded"),
    [
        ("{kind: Public, name: other, target: {api: login}, reason: anybody may look at it, forward_authorization: true}", True),
        ("{kind: Public, name: other, target: {api: login}, reason: anybody may look at it}", False),
        ("{kind: Public, name: other, target: {api: login}, reason: anybody may look at it, mode: shadow}", True),
        ("{kind: Public, name: other, target: {api: login}, reason: anybody may look at it, mode: disabled}", True),
        ("{kind: Authenticate, name: other, target: {api: login}, any: [api_key]}", False),
        ("{kind: Authenticate, name: other, target: {api: login}, any: [api_key], mode: shadow}", True),
        ("{kind: RateLimit, name: other, target: {api: login}, per: principal.id, tiers: [{windows: [9/second]}]}", True),
    ],
)
def test_all_that_open_it_have_to_say_so_and_nothing_may_close_it(other: str, forwarded: bool) -> None:
    assert forwards(route(f"{OPEN}\n---\n{other}")) is forwarded
    assert forwards(route(f"{other}\n---\n{OPEN}")) is forwarded


@pytest.mark.parametrize("mode", ["shadow", "disabled"])
def test_one_that_isnt_in_force_forwards_nothing(mode: str) -> None:
    closed = "{kind: Authenticate, name: callers, target: {api: login}, any: [api_key]}"
    assert not forwards(route(f"{OPEN.replace('}, reason', '}, mode: ' + mode + ', reason')}\n---\n{closed}"))


def test_a_part_of_an_api_is_for_itself() -> None:
    narrow = OPEN.replace("{api: login}", "{api: login, paths: [/login/token]}")
    rest = "{kind: Public, name: rest, target: {api: login, except: [/login/token]}, reason: anybody may look at it}"
    both = f"{narrow}\n---\n{rest}"
    assert forwards(route(both, "/login/token")) and not forwards(route(both))
