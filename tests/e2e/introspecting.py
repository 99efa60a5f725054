"""A real authorization server, as far as it is asked about tokens (RFC 7662): over HTTP, with answers that a test gives."""

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.e2e.gateway import free_port, served

CLIENT, SECRET = "gw", "s3cret:/ +%"
ISSUER = "https://idp.example.com"


def good(**more: Any) -> dict[str, Any]:
    """What is said of a token that counts; None takes a member away."""
    now = int(time.time())
    whole = {"active": True, "iss": ISSUER, "aud": "orders", "sub": "ines", "exp": now + 3600, "token_type": "Bearer", **more}
    return {name: value for name, value in whole.items() if value is not None}


@dataclass
class AuthorizationServer:
    """What it says of which token, and what it was asked."""

    port: int
    says: dict[str, Any] = field(default_factory=dict)
    """By token: an object, or bytes as they are, or a Response. Of all others it says that they don't count."""
    asked: Counter[str] = field(default_factory=Counter)
    forms: list[dict[str, str]] = field(default_factory=list)
    refused: int = 0
    """How often somebody asked who isn't the gateway."""
    slow_s: float = 0.0
    down: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/introspect"

    async def answer(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        self.forms.append(form)
        token = form.get("token", "")
        self.asked[token] += 1
        if not self._knows(request, form):
            self.refused += 1
            return Response(status_code=401)
        if self.slow_s:
            await asyncio.sleep(self.slow_s)
        if self.down:
            return Response(status_code=503)
        said = self.says.get(token, {"active": False})
        if isinstance(said, Response):
            return said
        return Response(said if isinstance(said, bytes) else json.dumps(said), media_type="application/json")

    @staticmethod
    def _knows(request: Request, form: dict[str, str]) -> bool:
        if form.get("client_id") == CLIENT and form.get("client_secret") == SECRET:
            return True
        scheme, _, both = request.headers.get("authorization", "").partition(" ")
        return scheme == "Basic" and base64.b64decode(both) == b"gw:s3cret%3A%2F+%2B%25"  # RFC 6749, section 2.3.1


@contextmanager
def authorization_server() -> Iterator[AuthorizationServer]:
    """One that runs, on a port of its own."""
    made = AuthorizationServer(free_port())
    with served([Route("/introspect", made.answer, methods=["GET", "POST"])], made.port):
        yield made
