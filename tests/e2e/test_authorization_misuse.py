"""The authorization server under attack: scopes that nobody allowed, codes that outlast their session, passkeys added by thieves."""

import base64
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from authlib.integrations.base_client.errors import OAuthError
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from tests.authenticator import Authenticator
from tests.e2e.authorizing import PASSWORD, SECRET, World, authorizing
from tests.e2e.test_authorization import DEVICE, VERIFIER, asks, claims, decides, leads, parameters

OPERATORS = "  operators: {phishing_resistant: [admin]}\n"
CLI = "http://127.0.0.1:2222/callback"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with authorizing(tmp_path_factory.mktemp("misuse"), OPERATORS) as one:
        yield one


async def somebody(world: World, name: str, role: str | None = None) -> httpx.AsyncClient:
    """A browser in which somebody is logged in who has just enrolled."""
    await world.person(name, "sales", role=role)
    return await world.logged_in(name)


async def code_of(world: World, browser: httpx.AsyncClient, scope: str) -> str:
    """The code of an application that was allowed this."""
    answer = await asks(world, browser=browser, scope=scope)
    if answer.status_code == 200:
        answer = await decides(world, answer, browser=browser)
    return parameters(answer)["code"]


async def tokens(world: World, code: str) -> dict[str, Any]:
    """What a code is exchanged for. OAuthError."""
    async with world.application() as application:
        return dict(await application.fetch_token(f"{world.issuer}/token", code=code, code_verifier=VERIFIER))


async def renewed(world: World, token: dict[str, Any]) -> dict[str, Any]:
    """What a refresh token is exchanged for. OAuthError."""
    async with world.application() as application:
        return dict(await application.refresh_token(f"{world.issuer}/token", refresh_token=token["refresh_token"]))


async def test_who_asks_for_a_blank_scope_gets_none_and_not_all(world: World) -> None:
    browser = await somebody(world, "ada")
    page = await asks(world, browser=browser, scope=" ")
    assert "<li>" not in page.text, "nothing was shown to be allowed"
    token = await tokens(world, parameters(await decides(world, page, browser=browser))["code"])
    assert not token["scope"] and not claims(token["access_token"])["scope"]
    again = await renewed(world, token)
    assert not again["scope"] and not claims(again["access_token"])["scope"]


@pytest.mark.parametrize("deed", ["put", "logout", "remove"])
async def test_a_code_counts_no_longer_than_the_session_in_which_it_was_given(world: World, deed: str) -> None:
    name = f"bo-{deed}"
    browser = await somebody(world, name)
    code = await code_of(world, browser, "openid orders.read offline_access")
    begun = (await browser.post("/device_authorization", data={"client_id": "tv", "scope": "openid orders.read"})).json()
    await browser.post("/device", data={"user_code": begun["user_code"], "decision": "allow"}, headers=world.form)
    path = f"/v1/people/{name}"
    done = {
        "put": lambda: world.admin.put(path, json={"groups": []}),
        "logout": lambda: world.admin.post(f"{path}/logout", json={}),
        "remove": lambda: world.admin.delete(path),
    }[deed]
    assert (await done()).status_code == 200
    with pytest.raises(OAuthError, match="invalid_grant"):
        await tokens(world, code)
    form = {"grant_type": DEVICE, "device_code": begun["device_code"], "client_id": "tv"}
    assert (await browser.post("/token", data=form)).json()["error"] == "invalid_grant"
