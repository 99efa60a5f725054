"""An authorization server behind a real gateway, people who log in to it, and applications that ask it."""

import base64
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from authlib.integrations.httpx_client import AsyncOAuth2Client
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from tests.e2e.gateway import Gateway, free_port, gateway, upstream

PASSWORD = "correct horse battery"
SECRET = "the app's own secret 8Zt"
CALLBACK = "https://app.example.com/callback"
FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
blocking: {attempts: 100000}
attributes: {acr: string, auth_time: number}
authorization_server:
  issuer: http://localhost:{port}
  listen: 127.0.0.1:SERVER
  access_token: 2m
  scopes: {orders.read: see your orders, orders.write: change your orders}
  clients:
    web:
      title: Orders on the web
      redirect_uris: [https://app.example.com/callback]
      logout_uris: [https://app.example.com/bye]
      grants: [authorization_code, refresh_token]
      secret: {file: app.secret}
      scopes: [openid, profile, groups, offline_access, orders.read]
      audiences: [orders]
    page:
      title: The page
      redirect_uris: [http://127.0.0.1/back]
      scopes: [openid, orders.read]
      audiences: [orders]
    own: {redirect_uris: [https://app.example.com/callback], scopes: [openid, orders.read], audiences: [orders], consent: given}
    tv: {grants: [device_code, refresh_token], scopes: [openid, orders.read], audiences: [orders]}
    batch: {grants: [client_credentials], secret: {file: app.secret}, scopes: [orders.read], audiences: [orders]}
    orders: {grants: [token_exchange], secret: {file: app.secret}, scopes: [orders.read], audiences: [stock]}
OPERATORS
---
{kind: Api, name: login, hosts: [localhost], paths: [/], upstream: "http://127.0.0.1:SERVER"}
---
{kind: Public, name: login, target: {api: login}, forward_authorization: true, reason: people and applications show here who they are}
---
{kind: Api, name: orders, paths: [/orders], hosts: [api.example.com], upstream: "http://127.0.0.1:UPSTREAM"}
---
kind: Issuer
name: own
issuer: http://localhost:{port}
audiences: [orders]
algorithms: [ES256]
types: [at+jwt]
jwks: http://127.0.0.1:SERVER/jwks
groups: groups
attributes: {acr: acr, auth_time: auth_time}
---
{kind: Authenticate, name: callers, target: {api: orders}, any: [{jwt: own}]}
---
{kind: AllowDevices, name: known, target: {api: orders, paths: [/orders/known]}}
---
{kind: Authorize, name: sales, target: {api: orders, paths: [/orders/sales]}, allow: '"sales" in principal.groups'}
---
{kind: RequireFactor, name: strong, target: {api: orders, paths: [/orders/strong]}, acr: [phr], within: 5m}
"""


def code_of(secret: str, steps: int = 0) -> str:
    """What an authenticator app shows; that of a later step, if one was used."""
    return TOTP(base64.b32decode(secret), 6, SHA1(), 30).generate(int(time.time()) + 30 * steps).decode()  # noqa: S303 - what apps can do


class World:
    """A gateway with an authorization server, and its people."""

    def __init__(self, gw: Gateway, folder: Path, server: int) -> None:
        self.gw, self.folder, self.server = gw, folder, server
        self.issuer = f"http://localhost:{gw.port}"
        self.secrets: dict[str, str] = {}
        self.steps: dict[str, int] = {}
        self.admin = httpx.AsyncClient(transport=gw._control._transport, base_url="http://control", timeout=10)

    def browser(self) -> httpx.AsyncClient:
        """One with no cookies yet. What is Secure is sent to localhost, as browsers do."""
        return _Browser(base_url=self.issuer, timeout=10)

    async def person(self, name: str, *groups: str, role: str | None = None) -> str:
        """Somebody who has enrolled on the pages. The secret of their second factor."""
        body = {"name": name, "groups": list(groups), "role": role}
        invitation = (await self.admin.post("/v1/people", json=body)).json()["invitation"]
        async with self.browser() as browser:
            page = await browser.post("/enrol", data={"name": name, "invitation": invitation}, headers=self.form)
            secret = re.findall(r'id="secret">([A-Z2-7]+)<', page.text)[0]
            shown = {"name": name, "invitation": invitation, "password": PASSWORD, "code": code_of(secret)}
            done = await browser.post("/enrol", data=shown, headers=self.form)
            assert "You are enrolled" in done.text, done.text
        self.secrets[name], self.steps[name] = secret, int(time.time()) // 30
        return secret

    @property
    def form(self) -> dict[str, str]:
        """What a browser sends with a form of ours."""
        return {"origin": self.issuer}

    def code(self, name: str) -> str:
        """The next code of somebody that wasn't used. At most one ahead of the clock: wait for it, if there is none."""
        now = int(time.time()) // 30
        step = max(now, self.steps[name] + 1)
        while step > int(time.time()) // 30 + 1:
            time.sleep(0.2)
        self.steps[name] = step
        return code_of(self.secrets[name], step - int(time.time()) // 30)

    async def logged_in(self, name: str) -> httpx.AsyncClient:
        """A browser in which somebody is logged in."""
        browser = self.browser()
        shown = {"name": name, "password": PASSWORD, "code": self.code(name), "in": ""}
        answer = await browser.post("/login", data=shown, headers=self.form)
        assert answer.status_code == 303, answer.text
        return browser

    def application(self, name: str = "web", secret: str | None = SECRET, **more: Any) -> AsyncOAuth2Client:
        """An application, by a client library."""
        method = "client_secret_basic" if secret else "none"
        return AsyncOAuth2Client(
            name,
            secret,
            redirect_uri=CALLBACK,
            token_endpoint=f"{self.issuer}/token",
            revocation_endpoint=f"{self.issuer}/revoke",
            token_endpoint_auth_method=method,
            revocation_endpoint_auth_method=method,
            code_challenge_method="S256",
            **more,
        )

    async def call(self, token: str, path: str = "/orders/1") -> httpx.Response:
        """What the API answers to a token."""
        return await self.gw.get(path, headers={"host": "api.example.com", "authorization": f"Bearer {token}"})


class _Browser(httpx.AsyncClient):
    """Sends its cookies to localhost also without TLS, as browsers do with a secure context."""

    def _merge_cookies(self, cookies: Any = None) -> Any:
        return super()._merge_cookies(cookies)

    async def send(self, request: httpx.Request, **more: Any) -> httpx.Response:
        if "cookie" not in request.headers:
            held = "; ".join(f"{one.name}={one.value}" for one in self.cookies.jar)
            if held:
                request.headers["cookie"] = held
        return await super().send(request, **more)


@asynccontextmanager
async def authorizing(folder: Path, operators: str = "", more: Mapping[str, str] | None = None, **options: Any) -> AsyncIterator[World]:
    """A gateway with these applications."""
    server = free_port()
    with upstream() as port:
        text = FILES.replace("SERVER", str(server)).replace("UPSTREAM", str(port)).replace("OPERATORS\n", operators)
        async with gateway(folder, {"all.yaml": text, "app.secret": SECRET + "\n", **(more or {})}, **options) as gw:
            world = World(gw, folder, server)

            async def serves() -> bool:
                async with world.browser() as one:
                    return (await one.get("/jwks")).status_code == 200

            await gw.eventually(serves)
            yield world
