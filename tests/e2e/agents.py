"""A gateway of two teams with agents at its door, asked by the official client."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.e2e.test_admin import Admin, administered

GATEWAY = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
attributes: {plan: string}
teams: {orders: {paths: [/orders]}, billing: {paths: [/bills]}}
releases: RELEASES
"""
REST = """
kind: Api
name: orders
team: orders
paths: [/orders]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Api
name: bills
team: billing
paths: [/bills]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Consumer
name: acme
attributes: {plan: gold}
---
kind: Consumer
name: globex
attributes: {plan: silver}
---
kind: Authenticate
name: orders-callers
target: {api: orders}
any: [api_key]
---
kind: Authenticate
name: bills-callers
target: {api: bills}
any: [api_key]
---
kind: Authorize
name: hidden-floor
target: {api: orders, paths: [/orders/admin]}
floor: true
allow: principal.plan == "platinum"
---
kind: Authorize
name: secret-rule
target: {api: bills}
allow: principal.plan == "gold"
---
kind: Authorize
name: refunds
target: {api: orders, paths: [/orders/refunds]}
allow: principal.plan == "gold"
"""
GOLD = {"kind": "Authorize", "name": "gold-only", "target": {"api": "orders"}, "allow": 'principal.plan == "gold"'}


def files(upstream: int, releases: str = "{}") -> dict[str, str]:
    return {"gateway.yaml": GATEWAY.replace("RELEASES", releases), "rest.yaml": REST.replace("UPSTREAM", str(upstream))}


class Asking:
    """An agent with a token."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """The answer of a tool that answers."""
        found = await self.client.call_tool(tool, arguments)
        assert not found.is_error, found
        told: dict[str, Any] = found.structured_content
        return told

    async def refused(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """Why a tool doesn't."""
        found = await self.client.call_tool(tool, arguments)
        assert found.is_error, found
        told: dict[str, Any] = found.structured_content["error"]
        return told


@asynccontextmanager
async def agent(admin: Admin, token: str, mode: Any = "auto", verify: Any = True) -> AsyncIterator[Asking]:
    """An agent that comes in with this token."""
    headers = {"authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30, verify=verify) as http,
        Client(streamable_http_client(f"{admin.url}/mcp", http_client=http), mode=mode) as client,
    ):
        yield Asking(client)


@asynccontextmanager
async def watched(folder: Path, upstream: int, mcp: str = "propose", releases: str = "{}") -> AsyncIterator[tuple[Admin, str]]:
    """The gateway, and the token of its admin ann."""
    async with administered(folder, files(upstream, releases), api=("--mcp", mcp)) as admin:
        yield admin, await admin.token(admin.first, "ann", "admin")


def outside(value: Any) -> Iterator[str]:
    """Every text, names of fields too, that doesn't lie in the envelope of untrusted things."""
    if isinstance(value, str):
        yield value
    for name, one in value.items() if isinstance(value, dict) else ():
        yield name
        if name != "untrusted":
            yield from outside(one)
    for one in value if isinstance(value, list) else ():
        yield from outside(one)
