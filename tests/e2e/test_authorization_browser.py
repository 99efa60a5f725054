"""People at the authorization server with a real browser: they enrol, log in, add a passkey, allow applications, step up, and log in to the
admin API; also with a provider elsewhere."""

import asyncio
import base64
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import jwt
import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.e2e.agreement import agrees
from tests.e2e.authorizing import PASSWORD, World, authorizing, code_of
from tests.e2e.browser import Pages, VirtualAuthenticator, authenticator, browser
from tests.e2e.gateway import free_port

VERIFIER = "v3rifier-" * 6
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
OPERATORS = """  operators: {groups: {platform: {role: editor}, ops: {role: viewer}}, phishing_resistant: [admin, editor]}
  outside:
    corp:
      {title: Corp, issuer: "http://localhost:OUTER", client_id: edge, client_secret: {file: outer.secret},
       groups: groups, trusted_groups: [sales, ops], scopes: [openid, profile, groups]}
"""
OUTER_CLIENT = """    edge:
      title: The edge
      redirect_uris: [http://localhost:INNER/login/outside/corp/callback]
      grants: [authorization_code]
      secret: {file: app.secret}
      scopes: [openid, profile, groups]
    web:
"""
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Desk:
    """A gateway, its admin API, and somebody's browser."""

    world: World
    api: str
    pages: Pages

    async def page(self) -> tuple[Page, VirtualAuthenticator]:
        """A new browser of somebody, with a device that keeps passkeys."""
        made = await self.pages()
        return made, await authenticator(made)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A provider elsewhere: another gateway."""
    async with authorizing(tmp_path_factory.mktemp("outer")) as one:
        await one.person("olga", "sales", "platform")
        await one.person("otto", "ops")
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory, outer: World) -> AsyncIterator[Desk]:
    folder, api = tmp_path_factory.mktemp("desk"), free_port()
    operators = OPERATORS.replace("OUTER", str(outer.gw.port))
    more = {"outer.secret": (outer.folder / "files" / "app.secret").read_text()}
    async with authorizing(folder, operators, more, arguments=("--api", f"127.0.0.1:{api}")) as world, browser() as pages:
        text = (outer.gw.files / "all.yaml").read_text()
        await outer.gw.edit("all.yaml", text.replace("    web:\n", OUTER_CLIENT.replace("INNER", str(world.gw.port)), 1))
        yield Desk(world, f"http://127.0.0.1:{api}", pages)


async def enrolled(desk: Desk, page: Page, name: str, *groups: str, role: str | None = None) -> None:
    """Somebody enrols with the browser."""
    body = {"name": name, "groups": list(groups), "role": role}
    invitation = (await desk.world.admin.post("/v1/people", json=body)).json()["invitation"]
    await page.goto(f"{desk.world.issuer}/enrol")
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Invitation").fill(invitation)
    await page.get_by_role("button", name="Go on").click()
    secret = await page.locator("#secret").inner_text()
    await page.get_by_label("password").fill(PASSWORD)
    await page.get_by_label("code").fill(code_of(secret))
    await page.get_by_role("button", name="Enrol").click()
    await expect(page.get_by_role("heading")).to_have_text(f"You are enrolled, {name}")
    assert await page.locator(".codes li").count() == 10
    desk.world.secrets[name], desk.world.steps[name] = secret, int(time.time()) // 30


async def logs_in(desk: Desk, page: Page, name: str) -> None:
    """They log in on the page that is shown."""
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_label("Code").fill(await asyncio.to_thread(desk.world.code, name))
    await page.get_by_role("button", name="Log in", exact=True).click()


async def adds_passkey(desk: Desk, page: Page) -> None:
    """They add a passkey to their account."""
    await page.goto(f"{desk.world.issuer}/account")
    await page.get_by_label("What you call it").fill("my laptop")
    await page.get_by_role("button", name="Add a passkey").click()
    await expect(page.get_by_text("my laptop")).to_be_visible()


@dataclass
class Application:
    """An application on this machine, to which a browser comes back."""

    port: int
    came: asyncio.Future[dict[str, str]]


async def _asks(desk: Desk, page: Page, **more: str) -> dict[str, Any]:
    """The application sends the browser to log in, and takes what it comes back with for tokens."""
    came: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readline()).decode().split(" ")
        if urlsplit(line[1]).path == "/back" and not came.done():
            came.set_result({name: values[0] for name, values in parse_qs(urlsplit(line[1]).query).items()})
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\nback")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    uri = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/back"
    wanted = {"response_type": "code", "client_id": "page", "redirect_uri": uri, "scope": "openid orders.read", "state": "s"}
    await page.goto(
        f"{desk.world.issuer}/authorize?{urlencode({**wanted, 'code_challenge': CHALLENGE, 'code_challenge_method': 'S256', **more})}"
    )
    return {"came": came, "server": server, "uri": uri}


async def _token(desk: Desk, begun: dict[str, Any]) -> str:
    """What the application gets for the code that the browser came back with."""
    async with begun["server"]:
        told = await asyncio.wait_for(begun["came"], 20)
    form = {"grant_type": "authorization_code", "client_id": "page", "redirect_uri": begun["uri"], "code_verifier": VERIFIER}
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{desk.world.issuer}/token", data={**form, "code": told["code"]})
    assert answer.status_code == 200, (told, answer.text)
    return str(answer.json()["access_token"])


def claims(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


async def test_from_an_invitation_to_a_passkey_and_a_step_up(desk: Desk) -> None:
    page, device = await desk.page()
    await enrolled(desk, page, "ines", "sales")
    begun = await _asks(desk, page)
    await logs_in(desk, page, "ines")
    await expect(page.get_by_role("heading")).to_have_text("Allow The page?")
    await page.get_by_role("button", name="Allow", exact=True).click()
    weak = await _token(desk, begun)
    assert claims(weak)["acr"] == "mfa"
    assert (await desk.world.call(weak, "/orders/1")).status_code == 200

    refused = await desk.world.call(weak, "/orders/strong")
    challenge = refused.headers["www-authenticate"]
    assert refused.status_code == 401 and "insufficient_user_authentication" in challenge and 'acr_values="phr"' in challenge
    await adds_passkey(desk, page)
    assert len(await device.credentials()) == 1
    begun = await _asks(desk, page, acr_values="phr", max_age="300")
    assert await page.get_by_label("Password").count() == 0, "a password isn't enough here"
    await page.get_by_role("button", name="Use a passkey").click()
    await page.get_by_role("button", name="Allow", exact=True).click()
    strong = await _token(desk, begun)
    found = claims(strong)
    assert (found["acr"], found["amr"], found["sid"]) == ("phr", ["pop", "hwk", "user", "mfa"], claims(weak)["sid"])
    assert (await desk.world.call(strong, "/orders/strong")).status_code == 200, "the same request passes"


async def test_a_passkey_alone_logs_in_until_it_is_removed(desk: Desk) -> None:
    page, device = await desk.page()
    await enrolled(desk, page, "paul")
    await page.goto(f"{desk.world.issuer}/login")
    await logs_in(desk, page, "paul")
    await adds_passkey(desk, page)
    kept = (await device.credentials())[0]
    await page.get_by_role("link", name="Log out").click()
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    await page.get_by_role("button", name="Use a passkey").click()
    await expect(page.get_by_role("heading", name="paul")).to_be_visible()
    await device.verifies(False)
    await page.goto(f"{desk.world.issuer}/login")
    await page.get_by_role("button", name="Use a passkey").click()
    await expect(page.locator("[data-passkey-error]")).not_to_be_empty()
    await device.verifies(True)

    # A copy of the authenticator, whose counter is behind: the one who comes second is refused.
    await device.remove(kept)
    await device.add({**kept, "signCount": 0})
    await page.goto(f"{desk.world.issuer}/login")
    await page.get_by_role("button", name="Use a passkey").click()
    await expect(page.locator(".error")).to_be_visible()

    await page.goto(f"{desk.world.issuer}/account")
    await page.get_by_role("button", name="Remove").click()
    await expect(page.get_by_text("none yet")).to_be_visible()
    await page.goto(f"{desk.world.issuer}/login")
    await page.get_by_role("button", name="Use a passkey").click()
    await expect(page.locator(".error")).to_have_text("Nobody is known by this passkey.")


async def test_a_device_is_known_by_its_passkey_until_it_is_lost(desk: Desk) -> None:
    page, _ = await desk.page()
    await enrolled(desk, page, "dora")
    begun = await _asks(desk, page)
    await logs_in(desk, page, "dora")
    await page.get_by_role("button", name="Allow", exact=True).click()
    without = await _token(desk, begun)
    await adds_passkey(desk, page)
    kept = (await desk.world.admin.get("/v1/people/dora/passkeys")).json()
    assert [(one["label"], one["synced"]) for one in kept] == [("my laptop", False)]
    begun = await _asks(desk, page, acr_values="phr")
    await page.get_by_role("button", name="Use a passkey").click()
    await page.get_by_role("button", name="Allow", exact=True).click()
    token = await _token(desk, begun)
    assert claims(token)["passkey"] == kept[0]["passkey"] and "passkey" not in claims(without)

    async def answers(status: int, text: str = token, path: str = "/orders/known") -> bool:
        return (await desk.world.call(text, path)).status_code == status

    async def known() -> bool:
        return (await desk.world.gw.record(await desk.world.call(token))).get("device_id") == "laptop-dora"

    assert await answers(403) and not await known(), "nobody has enrolled it"
    for state, status in (("pending", 403), ("trusted", 200), ("lost", 401)):
        declared = {"passkeys": [kept[0]["passkey"]], "state": state}
        assert (await desk.world.admin.put("/v1/resources/Device/laptop-dora", json=declared)).status_code == 200
        await desk.world.gw.eventually(known, 2)
        await desk.world.gw.eventually(lambda status=status: answers(status), 2)
        assert await answers(403, without), "another token of hers is from no device"
        assert (await desk.world.gw.record(await desk.world.call(token, "/orders/1")))["device_id"] == "laptop-dora"
    assert await answers(401, path="/orders/1") and await answers(200, without, "/orders/1")


async def test_the_pages_run_no_script_but_ours_and_no_other_page_can_use_them(desk: Desk) -> None:
    page, _ = await desk.page()
    await page.goto(f"{desk.world.issuer}/login?in=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    assert await page.locator("script").count() == 1
    await page.goto("about:blank")
    await page.set_content(f"<iframe src='{desk.world.issuer}/login'></iframe>", wait_until="load")
    assert len(page.frames) == 2 and page.frames[1].url.startswith("chrome-error:"), "no page shows them within itself"
    async with desk.world.browser() as other:
        for origin in ("https://evil.example.com", "null", desk.world.issuer + ".evil", None):
            headers = {"origin": origin} if origin else {}
            answer = await other.post("/login", data={"name": "ines", "password": PASSWORD, "code": "000000"}, headers=headers)
            assert answer.status_code == 403 and "wasn't sent from here" in answer.text.replace("&#39;", "'")


@dataclass
class Command:
    """`bartizan login --browser`, which waits for a browser."""

    process: asyncio.subprocess.Process
    place: str

    async def ended(self) -> tuple[int, str]:
        """Its status, and what it said."""
        out, _ = await asyncio.wait_for(self.process.communicate(), 120)
        return self.process.returncode or 0, out.decode()


async def command(desk: Desk, home: Path, how: str = "--browser") -> Command:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bartizan.cli.main", "login", how, "--server", desk.api),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "XDG_CONFIG_HOME": str(home), "BROWSER": "/bin/true", "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout
    await asyncio.wait_for(process.stdout.readline(), 60)
    return Command(process, (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip())


async def works(desk: Desk, home: Path) -> tuple[int, str]:
    """What `bartizan people list` says to whoever has logged in so."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bartizan.cli.main", "people", "list", "--server", desk.api, "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "XDG_CONFIG_HOME": str(home), "BARTIZAN_TOKEN": ""},
    )
    out, _ = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode or 0, out.decode()


async def test_an_admin_logs_in_to_the_admin_api_with_a_passkey_and_not_without(desk: Desk, tmp_path: Path) -> None:
    page, _ = await desk.page()
    await enrolled(desk, page, "ann", role="admin")
    async with httpx.AsyncClient(base_url=desk.api) as api:
        shown = {"name": "ann", "password": PASSWORD, "code": await asyncio.to_thread(desk.world.code, "ann")}
        answer = await api.post("/v1/login", json=shown)
        assert answer.status_code == 403 and "passkey" in answer.json()["detail"]

    waits = await command(desk, tmp_path)
    await page.goto(waits.place)
    await logs_in(desk, page, "ann")
    await page.get_by_role("button", name="Allow", exact=True).click()
    status, told = await waits.ended()
    assert status != 0 and "passkey" in told
    assert (await works(desk, tmp_path))[0] != 0

    await adds_passkey(desk, page)
    waits = await command(desk, tmp_path, "--passkey")
    await page.goto(waits.place)
    await page.get_by_role("button", name="Use a passkey").click()
    await page.get_by_role("button", name="Allow", exact=True).click()
    await expect(page.get_by_text("go back to the terminal")).to_be_visible()
    status, told = await waits.ended()
    assert status == 0 and "logged in as ann (admin)" in told, told
    status, told = await works(desk, tmp_path)
    assert status == 0 and "ann" in [one["name"] for one in json.loads(told)]


async def test_members_of_a_group_have_the_role_that_it_is_given_and_others_none(desk: Desk, tmp_path: Path) -> None:
    for name, groups, words in (("gil", ("platform",), "logged in as gil (editor)"), ("hal", ("sales",), "You have no role")):
        page, _ = await desk.page()
        await enrolled(desk, page, name, *groups)
        await page.goto(f"{desk.world.issuer}/login")
        await logs_in(desk, page, name)
        await adds_passkey(desk, page)
        await page.goto(f"{desk.world.issuer}/login")
        await page.get_by_role("button", name="Use a passkey").click()
        await expect(page.get_by_role("heading", name=name)).to_be_visible()
        waits = await command(desk, tmp_path)
        await page.goto(waits.place)
        await page.get_by_role("button", name="Allow", exact=True).click()
        assert words in (await waits.ended())[1]


async def test_somebody_logs_in_with_a_provider_elsewhere(desk: Desk, outer: World) -> None:
    page, _ = await desk.page()
    begun = await _asks(desk, page)
    await page.get_by_role("link", name="Log in with Corp").click()
    assert page.url.startswith(outer.issuer)
    await page.get_by_label("Name").fill("olga")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_label("Code").fill(await asyncio.to_thread(outer.code, "olga"))
    await page.get_by_role("button", name="Log in", exact=True).click()
    await expect(page.get_by_role("heading")).to_have_text("Allow The edge?")
    await page.get_by_role("button", name="Allow", exact=True).click()
    await expect(page.get_by_role("heading")).to_have_text("Allow The page?")
    assert page.url.startswith(desk.world.issuer)
    await page.get_by_role("button", name="Allow", exact=True).click()
    found = claims(await _token(desk, begun))
    assert found["groups"] == ["sales"], "the provider may tell that group, and no other"
    assert found["acr"] == "" and found["amr"] == [], "how it let them in isn't believed"
    assert found["sub"].startswith("out_") and found["preferred_username"].endswith("@corp")
    await page.goto(f"{desk.world.issuer}/account")
    assert await page.get_by_role("button", name="Add a passkey").count() == 0


async def test_an_operator_who_is_known_elsewhere_has_the_role_of_a_group_that_is_trusted(desk: Desk, outer: World, tmp_path: Path) -> None:
    """Olga is in the group of editors there, but nobody here trusts that provider with it."""
    for name, words in (("otto", "@corp (viewer)"), ("olga", "You have no role")):
        page, _ = await desk.page()
        waits = await command(desk, tmp_path)
        await page.goto(waits.place)
        await page.get_by_role("link", name="Log in with Corp").click()
        await page.get_by_label("Name").fill(name)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_label("Code").fill(await asyncio.to_thread(outer.code, name))
        await page.get_by_role("button", name="Log in", exact=True).click()
        await expect(page.get_by_role("heading")).to_have_text(re.compile("^Allow "))
        if page.url.startswith(outer.issuer):  # who was asked before isn't again
            await page.get_by_role("button", name="Allow", exact=True).click()
        await expect(page.get_by_role("heading")).to_have_text("Allow Bartizan's command line?")
        await page.get_by_role("button", name="Allow", exact=True).click()
        assert words in (await waits.ended())[1]


async def test_what_comes_back_from_elsewhere_is_only_for_the_browser_that_went(desk: Desk) -> None:
    async with desk.world.browser() as one, desk.world.browser() as other:
        away = await one.get("/login/outside/corp")
        state = parse_qs(urlsplit(away.headers["location"]).query)["state"][0]
        for browser_, shown in ((other, state), (one, "wrong"), (one, "")):
            back = await browser_.get("/login/outside/corp/callback", params={"code": "x", "state": shown})
            assert back.status_code == 403 and not [name for name in browser_.cookies if name == "__Host-bartizan"]
        refused = await one.get("/login/outside/corp/callback", params={"code": "x", "state": state})
        assert refused.status_code == 403 and "failed" in refused.text
        assert (await one.get("/login/outside/nobody")).status_code == 404


async def test_a_replay_of_all_that_was_asked_agrees(desk: Desk) -> None:
    await agrees(desk.world.gw, judged=50)
