"""Has every refusal of the admin API noted: who showed a wrong token, who asked for what they may not."""

from collections.abc import Callable

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bartizan.admin.access import Caller
from bartizan.admin.answers import TYPE
from bartizan.store import Event

_NOTED = frozenset({401, 403, 429})
_LONGEST = 100


class Refused:
    """Looks at the answers as they leave. `tell` bounds how many are kept."""

    def __init__(self, app: ASGIApp, tell: Callable[[Event], None]) -> None:
        self._app, self._tell = app, tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 0

        async def looked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif status in _NOTED and message["type"] == "http.response.body":
                self._tell(_event(scope, status, message.get("body", b"")))
                status = 0
            await send(message)

        await self._app(scope, receive, looked if scope["type"] == "http" else send)


def _event(scope: Scope, status: int, body: bytes) -> Event:
    caller: Caller | None = scope.get("state", {}).get("caller")
    origin = caller.origin if caller is not None else scope["client"][0] if scope.get("client") else "local"
    # What callers send is data: a path may hold anything.
    path = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in str(scope["path"]))[:_LONGEST]
    return Event(
        caller.name if caller is not None else "unknown",
        "operator.refused",
        f"{scope['method'][:16]} {path}",
        origin,
        _code(body),
        {"status": status},
    )


def _code(body: bytes) -> str:
    try:
        return str(orjson.loads(body)["type"]).removeprefix(TYPE)
    except (ValueError, KeyError, TypeError):
        return "refused"
