"""Bodies of the admin API: JSON as RFC 8259 has it, and nothing else."""

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException


class _Strict(Request):
    async def json(self) -> Any:
        """Refuses what Python's reader takes beside JSON: NaN, bytes that are no UTF-8, halves of surrogate pairs."""
        try:
            return orjson.loads(await self.body())
        except orjson.JSONDecodeError as error:
            raise HTTPException(400, f"The body isn't JSON: {error.msg}, at character {error.pos}.") from error


class JsonRoute(APIRoute):
    """An operation that takes JSON alone."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI asks for it."""
        inner = super().get_route_handler()
        takes_body = self.body_field is not None

        async def strict(request: Request) -> Response:
            if takes_body and not _is_json(request.headers.get("content-type", "")):
                raise HTTPException(415, "Send JSON, with content-type: application/json.")
            return await inner(_Strict(request.scope, request.receive))

        return strict


def _is_json(content_type: str) -> bool:
    media = content_type.partition(";")[0].strip().lower()
    return media == "application/json" or (media.startswith("application/") and media.endswith("+json"))
