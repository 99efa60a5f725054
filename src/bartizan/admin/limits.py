"""Keeps what is sent to the admin API within bounds, before anything of it is read whole."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bartizan.admin.answers import trouble

LARGEST = 32 << 20
"""Bytes of a body."""


class Bounded:
    """Refuses bodies that are too large, be their size announced or not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > LARGEST:
            await _too_large()(scope, receive, send)
            return
        left = LARGEST
        refused = False

        async def counted() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            return message if left >= 0 else {"type": "http.disconnect"}

        async def answered(message: Message) -> None:
            # What was cut off is told as what it is, not as what it looked like to the operation.
            nonlocal refused
            if left < 0 and message["type"] == "http.response.start":
                refused = True
                await _too_large()(scope, receive, send)
            elif not refused:
                await send(message)

        await self._app(scope, counted, answered)


class Ending:
    """Says so to whoever is being answered when the control plane ends."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except asyncio.CancelledError:
            if not begun and scope["type"] == "http":
                await trouble(503, "ending", "The control plane is ending. Try again in a moment.")(scope, receive, send)
            raise


def _too_large() -> ASGIApp:
    return trouble(413, "body-too-large", f"A body has up to {LARGEST >> 20} MiB.")
