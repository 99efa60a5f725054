"""Where the upstream judges `authorization` itself, it gets that as it was sent, and nothing else of a caller's credentials."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.agreement import agrees
from tests.e2e.gateway import Gateway, TokenIssuer, gateway, upstream

CORP = TokenIssuer()
FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
api_keys: {headers: [x-api-key], cookies: [session-key]}
blocking: {attempts: 100000}
---
{kind: Issuer, name: corp, issuer: "https://idp.example.com", audiences: [orders], jwks: {file: corp.json}}
---
{kind: Api, name: login, paths: [/login], upstream: "http://127.0.0.1:UPSTREAM"}
---
{kind: Api, name: orders, paths: [/orders], upstream: "http://127.0.0.1:UPSTREAM"}
---
{kind: Authenticate, name: callers, target: {api: orders, except: [/orders/open]}, any: [{jwt: corp, bound: dpop}]}
---
{kind: Public, name: login, target: {api: login}, forward_authorization: true, reason: it looks itself who asks}
---
{kind: Public, name: looking, target: {api: login, paths: [/login/looking]}, reason: one that says nothing of it}
---
{kind: Public, name: trying, mode: shadow, target: {api: login, paths: [/login/trying]}, reason: one that isn't in force}
---
{kind: Public, name: closed, target: {api: orders, paths: [/orders/closed]}, forward_authorization: true, reason: it stays closed}
---
{kind: Public, name: open, target: {api: orders, paths: [/orders/open]}, reason: anybody may look at it}
"""
SENT = (
    "Basic dXNlcjpwYXNz",
    "Bearer abc",
    "bearer   abc",
    "BEARER abc",
    "Bearer a b",
    "Bearer a, Bearer b",
    "DPoP abc",
    "dpop  abc",
    "Bearer",
    "Negotiate oYIJvw==",
    "x" * 4000,
    'Digest username="Müller"',
    "%REQ(:path)% %DYNAMIC_METADATA(bartizan:api)%",
)
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gw(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("forwarding")
    (folder / "files").mkdir()
    (folder / "files" / "corp.json").write_text(CORP.jwks())
    with upstream() as port:
        async with gateway(folder, {"edge.yaml": FILES.replace("UPSTREAM", str(port))}) as made:
            yield made


async def arrived(gw: Gateway, path: str, *headers: tuple[str, str]) -> dict[str, list[str]]:
    """The headers that the upstream was sent."""
    answer = await gw.client.get(path, headers=[(name.encode(), value.encode("latin-1")) for name, value in headers])
    assert answer.status_code == 200, (path, headers, answer.text)
    found: dict[str, list[str]] = {}
    for name, value in answer.json()["headers"]:
        found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("sent", SENT)
async def test_it_is_forwarded_as_it_was_sent(gw: Gateway, sent: str) -> None:
    for path in ("/login", "/login/token?a=1", "/login/trying"):
        assert (await arrived(gw, path, ("authorization", sent))).get("authorization") == [sent]
    assert "authorization" not in await arrived(gw, "/orders/open", ("authorization", sent))


async def test_without_any_there_is_none(gw: Gateway) -> None:
    for headers in ((), (("x-api-key", "k" * 20),), (("dpop", "x"),), (("cookie", "session-key=abc"),)):
        assert "authorization" not in await arrived(gw, "/login", *headers)


async def test_nothing_else_of_a_callers_credentials_is(gw: Gateway) -> None:
    many = (("authorization", "Basic eDp5"), ("x-api-key", "k" * 20), ("dpop", "x"), ("cookie", "a=b; session-key=abc"))
    found = await arrived(gw, "/login", *many, ("x-bartizan-caller", "192.0.2.1"))
    assert found["authorization"] == ["Basic eDp5"] and found["cookie"] == ["a=b"]
    assert found.pop("x-bartizan-caller") == ["127.0.0.1"], "who calls is told by Envoy alone"
    assert not {name for name in found if name.startswith("x-bartizan") or name in {"x-api-key", "dpop"}}


async def test_all_that_open_a_route_have_to_say_so(gw: Gateway) -> None:
    assert "authorization" not in await arrived(gw, "/login/looking", ("authorization", "Basic eDp5"))


async def test_what_callers_are_authenticated_for_forwards_nothing(gw: Gateway) -> None:
    wrong: Any = {"authorization": "Basic eDp5"}
    for path in ("/orders", "/orders/closed"):
        assert (await gw.client.get(path, headers=wrong)).status_code == 401
        assert (await gw.client.get(path)).status_code == 401


async def test_several_are_told_as_several(gw: Gateway) -> None:
    found = await arrived(gw, "/login", ("authorization", "Basic eDp5"), ("authorization", "Bearer abc"))
    assert found.get("authorization") == ["Basic eDp5,Bearer abc"]


async def test_a_replay_agrees(gw: Gateway) -> None:
    await agrees(gw, judged=40)
