"""Where agents come in: `/mcp` of the admin API, behind the same tokens. Streamable HTTP without sessions: there is none to take over.

The library that speaks the protocol is imported when the first agent asks: until then nobody pays for it.
"""

import asyncio
import importlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bartizan.admin.access import Caller, check_may
from bartizan.admin.agents.calls import Calls
from bartizan.admin.answers import answer_to, trouble
from bartizan.admin.options import Agents, Door
from bartizan.admin.plane import Plane
from bartizan.errors import BartizanError, Forbidden, TooMany

PATH = "/mcp"
LARGEST = 1 << 20
"""Bytes of a message."""
AT_ONCE, AT_ONCE_OF_ALL = 8, 32
"""Calls that are answered at the same time, of one operator and in all."""
_UNREADABLE, _NO_MESSAGE = -32700, -32600
_SERVER = "bartizan.admin.agents.server"


class AgentsDoor:
    """The door, as an ASGI application. `hosts`: by which names it may be called; None: any, because TLS has seen to that."""

    def __init__(self, plane: Plane, agents: Agents, hosts: Iterable[str] | None) -> None:
        self._calls = Calls(plane, agents)
        self._hosts = frozenset(hosts) if hosts is not None else None
        self._running: Counter[str] = Counter()
        self._opening = asyncio.Lock()
        self._server: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        caller: Caller = request.state.caller
        answer: ASGIApp
        try:
            check_may(caller, "view")
            self._check_browser(request)
            answer = await self._answer(request, caller)
        except BartizanError as error:
            answer = answer_to(error)
        except ClientDisconnect:
            return
        await answer(scope, receive, send)

    def _check_browser(self, request: Request) -> None:
        """Forbidden to pages of a browser, under whatever name they found this address (DNS rebinding)."""
        if "origin" in request.headers:
            raise Forbidden("Agents aren't pages of a browser: requests with an Origin aren't taken.", code="origin-not-allowed")
        if self._hosts is not None and _name(request.headers.get("host", "")) not in self._hosts:
            raise Forbidden("The Host isn't a name of this address: ask http://127.0.0.1.", code="host-not-allowed")

    async def _answer(self, request: Request, caller: Caller) -> ASGIApp:
        if request.method != "POST":
            return trouble(
                405, "method-not-allowed", "Messages are sent with POST. There are no streams and no sessions.", headers={"allow": "POST"}
            )
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return trouble(415, "not-json", "Send JSON, with content-type: application/json.")
        body = await _body(request)
        if body is None:
            return trouble(413, "body-too-large", f"A message has up to {LARGEST >> 10} KiB.")
        try:
            message = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            return _no_message(_UNREADABLE, f"The message isn't JSON: {error.msg}, at character {error.pos}.")
        if not isinstance(message, dict):
            return _no_message(_NO_MESSAGE, "A message is one object: one request, one answer.")
        return self._served(caller, body)

    def _served(self, caller: Caller, body: bytes) -> ASGIApp:
        async def served(scope: Scope, receive: Receive, send: Send) -> None:
            left = [body]

            async def again() -> Message:
                return {"type": "http.request", "body": left.pop(), "more_body": False} if left else await receive()

            if self._running[caller.name] >= AT_ONCE or self._running.total() >= AT_ONCE_OF_ALL:
                busy = TooMany(f"Up to {AT_ONCE} calls of one operator are answered at once. Try again in a moment.", code="agents-busy")
                await answer_to(busy)(scope, receive, send)
                return
            self._running[caller.name] += 1
            try:
                server = await self._opened()
                await server(scope, again, send)
            finally:
                self._running[caller.name] -= 1
                self._running += Counter()  # forgets who isn't there any more

        return served

    async def _opened(self) -> ASGIApp:
        async with self._opening:
            if self._server is None:
                module: Any = await asyncio.to_thread(importlib.import_module, _SERVER)
                self._server = await module.opened(self._calls)
            return self._server


async def _body(request: Request) -> bytes | None:
    """What was sent; None if it is too much."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            return None
    return bytes(body)


def _no_message(code: int, told: str) -> JSONResponse:
    return JSONResponse({"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": told}}, 400)


def _name(host: str) -> str:
    """The host without its port."""
    return host.rpartition(":")[0].lower() if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host.lower()


def agents_door(plane: Plane, door: Door) -> AgentsDoor | None:
    """The door for agents of this admin API, if there is to be one."""
    if door.agents == "off":
        return None
    own = door.address.rpartition(":")[0].lower()
    return AgentsDoor(plane, door.agents, None if door.certificate else {own, "localhost", "127.0.0.1", "[::1]"})
