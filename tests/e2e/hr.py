"""A real HTTP server that says who is who, as an HR system would: context sources fetch it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.e2e.gateway import free_port, served


class Hr:
    """What it answers, and what it was asked."""

    def __init__(self) -> None:
        self.port = free_port()
        self.subjects: dict[str, Any] = {}
        self.body: bytes | None = None
        """What it answers instead."""
        self.status = 200
        self.token = "hr-secret-token-0123456789"
        self.asked = 0
        self.not_modified = 0
        self.slow_s = 0.0

    async def answer(self, request: Request) -> Response:
        """What a source is told."""
        self.asked += 1
        await asyncio.sleep(self.slow_s)
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return Response(status_code=401)
        if self.status != 200:
            return Response(status_code=self.status, headers={"location": f"http://127.0.0.1:{self.port}/elsewhere"})
        body = self.body if self.body is not None else orjson.dumps({"subjects": self.subjects})
        tag = f'"{hash(body)}"'
        if request.headers.get("if-none-match") == tag:
            self.not_modified += 1
            return Response(status_code=304, headers={"etag": tag})
        return Response(body, headers={"etag": tag}, media_type="application/json")

    async def elsewhere(self, _: Request) -> Response:
        """Where a redirect leads: nobody may come here."""
        self.asked += 1_000_000
        return Response(orjson.dumps({"subjects": {}}), media_type="application/json")


@contextmanager
def hr() -> Iterator[Hr]:
    """A running one."""
    made = Hr()
    with served([Route("/context", made.answer), Route("/elsewhere", made.elsewhere)], made.port):
        yield made
