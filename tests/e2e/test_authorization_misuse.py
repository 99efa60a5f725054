"""The authorization server under attack: scopes that nobody allowed, codes that outlast their session, passkeys added by thieves."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from authlib.integrations.base_client.errors import OAuthError
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from tests.authenticator import Authenticator
from tests.e2e.agreement import agrees
from tests.e2e.authorizing import PASSWORD, SECRET, World, authorizing
from tests.e2e.gateway import free_port
from tests.e2e.test_authorization import ACCESS, DEVICE, EXCHANGE, VERIFIER, asks, claims, decides, leads, parameters

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


def asked_of_passkey(page: httpx.Response) -> tuple[dict[str, Any], str]:
    """What a page wants of a passkey: its options, and the challenge."""
    options = re.findall(r'data-options="([^"]+)"', page.text)[0].replace("&#34;", '"')
    return json.loads(options), re.findall(r'name="challenge" value="([^"]+)"', page.text)[0]


async def adds(world: World, browser: httpx.AsyncClient, page: httpx.Response | None = None) -> tuple[Authenticator, httpx.Response]:
    """Somebody adds a passkey to the account in which the browser is logged in. `page`: with the question of another page."""
    made = Authenticator(world.issuer, "localhost")
    options, challenge = asked_of_passkey(page or await browser.get("/account"))
    shown = {"challenge": challenge, "passkey": json.dumps(made.create(options)), "label": "key"}
    return made, await browser.post("/account/passkey-add", data=shown, headers=world.form)


async def with_passkey(world: World, key: Authenticator, leads_to: str = "") -> httpx.AsyncClient:
    """A browser in which somebody has logged in with a passkey."""
    browser = world.browser()
    options, challenge = asked_of_passkey(await browser.get("/login", params={"in": leads_to}))
    shown = {"in": leads_to, "challenge": challenge, "passkey": json.dumps(key.get(options))}
    answer = await browser.post("/login/passkey", data=shown, headers=world.form)
    assert answer.status_code == 303, answer.text
    return browser


async def test_who_stole_a_password_and_a_code_gets_no_passkey_beside_those_that_are_there(world: World) -> None:
    first = await somebody(world, "cleo", role="admin")
    earlier = await first.get("/account")
    key, added = await adds(world, first)
    assert added.status_code == 303
    thief = await world.logged_in("cleo")
    shown = await thief.get("/account")
    assert "passkey-add" not in shown.text and "log in with one of them" in shown.text
    _, refused = await adds(world, thief, earlier)
    assert refused.status_code == 400 and "Log in with a passkey" in refused.text
    removed = await thief.post(
        "/account/passkey-remove", data={"id": re.findall(r'name="id" value="([^"]+)"', shown.text)[0]}, headers=world.form
    )
    assert removed.status_code == 400
    owner = await with_passkey(world, key)
    assert (await adds(world, owner))[1].status_code == 303
    told = next(one for one in (await world.admin.get("/v1/people")).json() if one["name"] == "cleo")
    assert told["passkeys"] == 2


def native(**more: str) -> dict[str, str]:
    """What the command line asks for."""
    told = {"response_type": "code", "client_id": "bartizan-cli", "redirect_uri": CLI, "scope": "openid profile", "state": "s"}
    return {**told, "code_challenge": create_s256_code_challenge(VERIFIER), "code_challenge_method": "S256", **more}


async def test_whoever_listens_on_a_port_of_somebodys_machine_gets_no_code_by_a_link_alone(world: World) -> None:
    browser = await somebody(world, "dora", role="editor")
    done = await decides(world, await browser.get("/authorize", params=native()), browser=browser)
    assert done.headers["location"].startswith(f"{CLI}?code=")
    again = await browser.get("/authorize", params=native(redirect_uri="http://127.0.0.1:3333/callback"))
    assert again.status_code == 200 and "Allow Bartizan" in again.text, "it was allowed before, but who knows who listens there"
    silent = await browser.get("/authorize", params=native(prompt="none"))
    assert "error=consent_required" in silent.headers["location"]


async def test_who_is_to_be_asked_is_asked_also_when_they_have_to_log_in_first(world: World) -> None:
    browser = await somebody(world, "eli")
    await code_of(world, browser, "openid")
    assert (await asks(world, browser=browser, scope="openid")).status_code == 303
    answer = await asks(world, browser=browser, scope="openid", prompt="login consent")
    page = await browser.get(answer.headers["location"])
    shown = {"name": "eli", "password": PASSWORD, "code": world.code("eli"), "in": leads(page)}
    done = await browser.post("/login", data=shown, headers=world.form)
    asked = await browser.get(done.headers["location"])
    assert asked.status_code == 200 and "Allow Orders on the web?" in asked.text
    assert "code" in parameters(await decides(world, asked, browser=browser))


async def test_an_age_that_is_no_number_is_refused_and_nothing_breaks(world: World) -> None:
    browser = await somebody(world, "finn")
    for age in ("²", "٣", "-1", "1.5", "x"):
        answer = await asks(world, browser=browser, scope="openid", max_age=age)
        assert parameters(answer)["error"] == "unmet_authentication_requirements", age


async def test_what_a_device_was_allowed_is_seen_and_withdrawn(world: World) -> None:
    browser = await somebody(world, "gil")
    begun = (await browser.post("/device_authorization", data={"client_id": "tv", "scope": "openid orders.read"})).json()
    await browser.post("/device", data={"user_code": begun["user_code"], "decision": "allow"}, headers=world.form)
    form = {"grant_type": DEVICE, "device_code": begun["device_code"], "client_id": "tv"}
    token = (await browser.post("/token", data=form)).json()
    assert 'value="tv"' in (await browser.get("/account")).text
    assert (await browser.post("/account/consent-withdraw", data={"client": "tv"}, headers=world.form)).status_code == 303
    gone = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"], "client_id": "tv"}
    assert (await browser.post("/token", data=gone)).json()["error"] == "invalid_grant"


async def test_another_password_ends_what_others_got_by_the_old_one(world: World) -> None:
    owner = await somebody(world, "hana")
    own = await tokens(world, await code_of(world, owner, "openid orders.read offline_access"))
    thief = await world.logged_in("hana")
    stolen = await tokens(world, await code_of(world, thief, "openid orders.read offline_access"))
    shown = {"password": PASSWORD, "code": world.code("hana"), "wanted": "entirely other words 9"}
    assert (await owner.post("/account/password", data=shown, headers=world.form)).status_code == 303
    with pytest.raises(OAuthError, match="invalid_grant"):
        await renewed(world, stolen)
    assert (await renewed(world, own))["access_token"] and (await thief.get("/account")).status_code == 303


async def wrong(world: World, name: str, **headers: str) -> int:
    """What somebody is answered who tries a wrong password."""
    async with world.browser() as browser:
        shown = {"name": name, "password": "x", "code": "1"}
        return (await browser.post("/login", data=shown, headers={**world.form, **headers})).status_code


async def test_who_tries_passwords_behind_a_proxy_locks_out_themselves_alone(tmp_path: Path) -> None:
    async with authorizing(tmp_path, OPERATORS) as world:
        own = f'address: "127.0.0.1:{world.gw.port}"'
        text = (world.gw.files / "all.yaml").read_text()
        await world.gw.edit("all.yaml", text.replace(own, f"{own}, trusted_proxies: [127.0.0.0/8]"))

        async def believed() -> bool:
            return await wrong(world, "nobody", **{"x-forwarded-for": "192.0.2.1"}) == 403

        await world.gw.eventually(believed)
        attacker = {"x-forwarded-for": "192.0.2.99, 203.0.113.7", "x-bartizan-caller": "192.0.2.98"}
        tried = [await wrong(world, f"n{number}", **attacker) for number in range(11)]
        assert tried == [403] * 10 + [429]
        assert await wrong(world, "ida", **{"x-forwarded-for": "198.51.100.9"}) == 403, "others behind the same proxy go on"
        assert await wrong(world, "ida", **{**attacker, "x-forwarded-for": "198.51.100.9, 203.0.113.7"}) == 429, "whatever they claim"


async def active(world: World, token: str) -> bool:
    async with world.browser() as one:
        return bool((await one.post("/introspect", data={"token": token}, auth=("orders", SECRET))).json()["active"])


async def test_what_a_token_was_exchanged_for_ends_with_it(world: World) -> None:
    browser = await somebody(world, "jo")
    token = await tokens(world, await code_of(world, browser, "openid orders.read"))
    form = {"grant_type": EXCHANGE, "subject_token": token["access_token"], "subject_token_type": ACCESS}
    other = (await browser.post("/token", data=form, auth=("orders", SECRET))).json()["access_token"]
    assert await active(world, other)
    assert (await browser.post("/revoke", data={"token": token["refresh_token"]}, auth=("web", SECRET))).status_code == 200
    assert not await active(world, token["access_token"]) and not await active(world, other)


async def test_a_token_counts_no_longer_than_the_session(tmp_path: Path) -> None:
    async with authorizing(tmp_path, "  session: 60s\n") as world:
        browser = await somebody(world, "kim")
        token = await tokens(world, await code_of(world, browser, "openid orders.read"))
        assert 0 < token["expires_in"] <= 60, "it would be 120"
        lasting = await tokens(world, await code_of(world, browser, "openid orders.read offline_access"))
        assert lasting["expires_in"] > 60


async def test_a_provider_that_hangs_holds_nobody_else_up(tmp_path: Path) -> None:
    began = asyncio.Event()

    async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began.set()
        await reader.read()
        writer.close()

    port = free_port()
    provider = f"  outside: {{slow: {{issuer: 'http://127.0.0.1:{port}', client_id: us, client_secret: {{file: app.secret}}}}}}\n"
    async with await asyncio.start_server(hangs, "127.0.0.1", port), authorizing(tmp_path, provider) as world, world.browser() as browser:
        waiting = [asyncio.create_task(browser.get("/login/outside/slow")) for _ in range(40)]
        await began.wait()
        for _ in range(5):
            since = time.monotonic()
            assert (await browser.get("/login")).status_code == 200
            assert time.monotonic() - since < 2
        for one in waiting:
            one.cancel()


async def test_what_outlasts_a_session_is_taken_after_it_and_ends_by_itself_alone(world: World) -> None:
    browser = await somebody(world, "lea")
    token = await tokens(world, await code_of(world, browser, "openid orders.read offline_access"))
    assert (await browser.post("/logout", data={"in": ""}, headers=world.form)).status_code == 303

    async def refused() -> bool:
        return (await world.call(token["access_token"])).status_code in (401, 403)

    await world.gw.eventually(refused)
    again = await renewed(world, token)
    assert (await world.call(again["access_token"])).status_code == 200 and await active(world, again["access_token"])
    assert claims(again["access_token"])["sid"] != claims(token["access_token"])["sid"]
    assert (await world.admin.post("/v1/people/lea/logout", json={})).status_code == 200

    async def gone() -> bool:
        return (await world.call(again["access_token"])).status_code in (401, 403)

    await world.gw.eventually(gone)
    with pytest.raises(OAuthError, match="invalid_grant"):
        await renewed(world, again)


async def test_a_replay_of_all_that_was_tried_agrees(world: World) -> None:
    await agrees(world.gw, judged=10)
