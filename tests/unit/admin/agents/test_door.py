"""Who is let through to the protocol, before anything of it is loaded."""

import json
import sys
from typing import Any, cast

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from bartizan.admin.access import Caller
from bartizan.admin.agents.door import LARGEST, AgentsDoor, agents_door
from bartizan.admin.options import Door
from bartizan.identity.operators import Operator

NOBODY = cast(Any, None)
HELLO = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
JSON = {"content-type": "application/json", "accept": "application/json"}


def caller(*, once: bool = False) -> Caller:
    return Caller("vic", "192.0.2.1", Operator("tok_1", "vic", "viewer", 0.0, None, once))


async def ask(door: AgentsDoor, who: Caller, method: str = "POST", body: Any = HELLO, **headers: str) -> httpx.Response:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["caller"] = who
        await door(scope, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:9181") as client:
        return await client.request(method, "/mcp", content=body, headers={**JSON, **headers})


async def test_what_isnt_let_through_loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    door = agents_door(NOBODY, Door("127.0.0.1:9181"))
    assert door is not None
    monkeypatch.delitem(sys.modules, "bartizan.admin.agents.server", raising=False)
    for status, code, answer in (
        (403, "origin-not-allowed", await ask(door, caller(), origin="http://127.0.0.1:9181")),
        (403, "host-not-allowed", await ask(door, caller(), host="evil.example:9181")),
        (403, "host-not-allowed", await ask(door, caller(), host="127.0.0.1.evil.example")),
        (403, "first-token", await ask(door, caller(once=True))),
        (405, "method-not-allowed", await ask(door, caller(), "GET")),
        (415, "not-json", await ask(door, caller(), **{"content-type": "text/plain"})),
        (413, "body-too-large", await ask(door, caller(), body=b"x" * (LARGEST + 1))),
    ):
        assert (answer.status_code, answer.json()["type"]) == (status, f"urn:bartizan:problem:{code}"), code
    for body in (b"{", b"[]", b"1", b"[" * 5000, b'{"a":NaN}', b"\xff"):
        answer = await ask(door, caller(), body=body)
        assert (answer.status_code, answer.json()["id"], "error" in answer.json()) == (400, None, True), body
    assert "bartizan.admin.agents.server" not in sys.modules


@pytest.mark.parametrize("host", ["127.0.0.1:9181", "localhost:1", "LOCALHOST", "[::1]:9181", "[::1]", "127.0.0.2:9181", "127.0.0.2"])
async def test_names_of_its_own_address_are_known(host: str) -> None:
    door = agents_door(NOBODY, Door("127.0.0.2:9181"))
    assert door is not None
    answer = await ask(door, caller(), host=host)
    assert answer.status_code == 200, answer.text
    assert {"explain_request", "list_resources"} < {one["name"] for one in answer.json()["result"]["tools"]}
    door._server = None


@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
async def test_a_bug_is_told_as_nothing_but_that(version: str, caplog: pytest.LogCaptureFixture) -> None:
    door = agents_door(NOBODY, Door("127.0.0.1:9181"))
    assert door is not None
    meta = {
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientInfo": {"name": "x", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": "gateway_status", "arguments": {}, "_meta": meta}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {"mcp-protocol-version": version, "mcp-method": "tools/call", "mcp-name": "gateway_status"}
    answer = await ask(door, caller(), body=json.dumps(call), **headers)
    told = answer.json()["result"]
    assert (told["isError"], told["structuredContent"]["error"]["code"]) == (True, "internal"), answer.text
    assert "NoneType" not in answer.text and "a bug in the tool gateway_status" in caplog.text


def test_off_there_is_none() -> None:
    assert agents_door(NOBODY, Door("127.0.0.1:9181", agents="off")) is None
