"""Logging in with a browser, end to end: an OpenID provider, a browser's cookies, and what of them each side sees."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio

from tests.certificates import authority
from tests.e2e.agreement import agrees
from tests.e2e.gateway import Gateway, TokenIssuer, free_port, gateway, served, upstream
from tests.e2e.provider import CLIENT, SECRET, Provider
from tests.e2e.shown import client

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}, {name: safe, address: "127.0.0.1:SAFE"}]
blocking: {attempts: 100000}
---
{kind: Api, name: orders, paths: [/orders], upstream: "http://127.0.0.1:UPSTREAM", identity_headers: {x-caller: id, x-how: method}}
---
{kind: Api, name: other, paths: [/other], upstream: "http://127.0.0.1:UPSTREAM"}
---
{kind: Consumer, name: acme}
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [orders]
jwks: {file: corp.json}
---
{kind: Authenticate, name: callers, target: {except: [/orders/open, /orders/login/open]}, any: [api_key, {jwt: corp}, {mtls: fleet}]}
---
{kind: Public, name: open, target: {paths: [/orders/open, /orders/login/open]}, reason: everybody may look}
---
{kind: Authorize, name: ines, target: {paths: [/orders/hers]}, allow: 'principal.id.endsWith("|ines")'}
---
kind: Login
name: app
target: {api: orders, except: [/orders/api]}
issuer: corp
client_id: orders-app
client_secret: {file: login.secret}
authorization_endpoint: http://127.0.0.1:PROVIDER/authorize
token_endpoint: http://127.0.0.1:PROVIDER/token
end_session_endpoint: http://127.0.0.1:PROVIDER/logout
callback: https://localhost:SAFE/orders/login/callback
scopes: [openid, offline_access]
---
{kind: Device, name: laptop, certificates: [LAPTOP], state: trusted}
---
kind: Tls
name: safe
target: {listener: safe}
certificate: web.pem
private_key: {file: web.key}
client_cas: {fleet: fleet.pem}
"""
ROOT, FLEET, CORP = authority("Web"), authority("Fleet"), TokenIssuer()
LAPTOP = FLEET.client("spiffe://fleet/laptop")
PAGE = {"accept": "text/html,*/*;q=0.8", "sec-fetch-mode": "navigate"}
SESSION = "__Host-bz-login-app."
pytestmark = pytest.mark.asyncio(loop_scope="module")


class World:
    """A gateway, a provider, and the folder of both."""

    def __init__(self, gw: Gateway, folder: Path, safe: int, provider: Provider) -> None:
        self.gw, self.folder, self.safe, self.provider = gw, folder, safe, provider
        self.key = gw.new_key("acme")[1]

    def browser(self, pair: bool = False) -> httpx.AsyncClient:
        """One with no cookies yet."""
        made = client(ROOT, self.folder, self.safe, LAPTOP if pair else None)
        made.headers["accept-encoding"] = "identity"
        return made

    async def logged_in(self, pair: bool = False) -> httpx.AsyncClient:
        """One that has opened a page, and was led through the login."""
        made = self.browser(pair)
        found = await made.get("/orders/1", headers=PAGE, follow_redirects=True)
        assert found.status_code == 200, found.text
        return made


@contextmanager
def _provider(safe: int) -> Iterator[tuple[Provider, int]]:
    provider = Provider(CORP, f"https://localhost:{safe}/orders/login/callback")
    with served(provider.routes()) as port:
        yield provider, port


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder, safe = tmp_path_factory.mktemp("logins"), free_port()
    (folder / "files").mkdir()
    ROOT.server().save(folder / "files", "web")
    with upstream() as port, _provider(safe) as (provider, at):
        text = FILES.replace("SAFE", str(safe)).replace("UPSTREAM", str(port)).replace("PROVIDER", str(at))
        text = text.replace("LAPTOP", LAPTOP.fingerprint)
        more = {"fleet.pem": FLEET.pem.decode(), "corp.json": CORP.jwks(), "login.secret": SECRET + "\n"}
        async with gateway(folder, {"all.yaml": text, **more}) as gw:
            made = World(gw, folder, safe, provider)

            async def counts() -> bool:
                return (await gw.get("/orders", headers={"x-api-key": made.key})).status_code == 200

            await gw.eventually(counts)
            yield made


def names_of(browser: httpx.AsyncClient) -> list[str]:
    return sorted(one.name.removeprefix(SESSION) for one in browser.cookies.jar)


def seen(answer: httpx.Response) -> dict[str, str]:
    """The headers that the upstream saw, each once."""
    found: dict[str, str] = {}
    for name, value in answer.json()["headers"]:
        found[name] = f"{found[name]} AND {value}" if name in found else value
    return found


async def test_who_opens_a_page_is_led_through_the_login_and_back_to_it(world: World) -> None:
    browser = world.browser()
    first = await browser.get("/orders/1?page=2", headers=PAGE)
    assert first.status_code == 302
    sent = urlsplit(first.headers["location"])
    asked = {name: values[0] for name, values in parse_qs(sent.query).items()}
    assert (sent.path, asked["client_id"], asked["scope"], asked["code_challenge_method"]) == (
        "/authorize",
        CLIENT,
        "openid offline_access",
        "S256",
    )
    back = await browser.get(first.headers["location"])
    done = await browser.get(back.headers["location"])
    assert (done.status_code, done.headers["location"]) == (302, f"https://localhost:{world.safe}/orders/1?page=2")
    for cookie in done.headers.get_list("set-cookie"):
        kept = cookie.lower()
        assert "; secure" in kept.replace(";secure", "; secure") and kept.startswith(SESSION.lower())
        assert "deleted" in kept or ("httponly" in kept and "samesite=lax" in kept and "path=/;" in kept), cookie
    page = await browser.get("/orders/1?page=2", headers={**PAGE, "cookie": "mine=1; yours=2"})
    assert page.status_code == 302, "cookies that are set by hand replace the jar's"
    page = await browser.get(done.headers["location"], headers=PAGE)
    assert page.status_code == 200 and seen(page)["x-caller"] == "https://idp.example.com|ines" and seen(page)["x-how"] == "jwt"


async def test_the_upstream_sees_no_session_and_keeps_its_own_cookies(world: World) -> None:
    browser = await world.logged_in()
    browser.cookies.set("theme", "dark", domain="localhost.local")
    for path in ("/orders/1", "/orders/open", "/orders/api", "/other", "/orders/login/open"):
        browser.cookies.set("theme", "dark", domain="localhost.local")
        found = await browser.get(path, headers={"x-api-key": world.key} if path in {"/orders/api", "/other"} else {})
        assert found.status_code == 200, path
        told = seen(found)
        assert told.get("cookie", "theme=dark") == "theme=dark", (path, told)
        assert "authorization" not in told and not any(name.startswith(("x-envoy-oauth", "x-bartizan")) for name in told)
    lines = "; ".join(f"{one.name}={one.value}" for one in browser.cookies.jar if one.name.startswith("__Host"))
    async with world.browser() as bare:
        for path in ("/orders/1", "/orders/open"):
            told = seen(await bare.get(path, headers={"cookie": f"a=1; {lines}; b=2"}))
            assert sorted(told["cookie"].split("; ")) == ["a=1", "b=2"], (path, "in whatever order: RFC 6265, section 4.2.2")


@pytest.mark.parametrize(
    "how",
    [
        {"headers": {}},
        {"headers": {"accept": "application/json"}},
        {"headers": {**PAGE, "sec-fetch-mode": "cors"}},
        {"headers": {**PAGE, "sec-fetch-mode": "navigate-not"}},
        {"headers": PAGE, "method": "POST"},
        {"headers": {**PAGE, "upgrade": "websocket", "connection": "upgrade", "accept": "*/*"}},
    ],
    ids=["nothing", "json", "script", "unknown-mode", "post", "websocket"],
)
async def test_what_is_no_page_is_refused_as_ever(world: World, how: dict[str, dict[str, str]]) -> None:
    async with world.browser() as browser:
        found = await browser.request(str(how.get("method", "GET")), "/orders/1", headers=how["headers"])
        assert found.status_code == 401 and found.json()["type"].startswith("urn:bartizan:problem:")
        assert (await world.gw.record(found))["details"] == "rbac_access_denied_matched_policy[Authenticate/callers]"
        assert "set-cookie" not in found.headers


async def test_a_page_without_fetch_metadata_is_one_if_it_wants_html(world: World) -> None:
    async with world.browser() as browser:
        assert (await browser.get("/orders/1", headers={"accept": "text/html"})).status_code == 302
        assert (await browser.get("/orders/api", headers=PAGE)).status_code == 401, "left out of the target"
        assert (await browser.get("/other", headers=PAGE)).status_code == 401
        assert (await browser.get("/orders/open", headers=PAGE)).status_code == 200


async def test_a_credential_that_is_shown_counts_and_not_the_session(world: World) -> None:
    browser = await world.logged_in()
    assert seen(await browser.get("/orders/1", headers={"x-api-key": world.key}))["x-caller"] == "acme"
    for wrong in ({"x-api-key": "bz_aaaaaaaaaaaaaaaa"}, {"authorization": "Bearer nonsense"}, {"authorization": "Basic YTpi"}):
        assert (await browser.get("/orders/1", headers={**PAGE, **wrong})).status_code == 401, wrong
    stranger = CORP.token(sub="stranger")
    assert (await browser.get("/orders/hers", headers={"authorization": f"Bearer {stranger}"})).status_code == 403
    assert (await browser.get("/orders/hers")).status_code == 200


async def test_cookies_that_were_changed_or_are_anothers_are_no_session(world: World) -> None:
    browser = await world.logged_in()
    whole = {one.name: str(one.value) for one in browser.cookies.jar}
    assert names_of(browser) == ["expires", "hmac", "id", "refresh", "token"]
    async with world.browser() as thief:
        for name, value in whole.items():
            changed = {**whole, name: ("A" if value[0] != "A" else "B") + value[1:]}
            changed.pop(next(one for one in whole if one.endswith("refresh")), None)
            text = "; ".join(f"{one}={held}" for one, held in changed.items())
            found = await thief.get("/orders/1", headers={"cookie": text})
            if not name.endswith(("refresh", "id")):
                assert found.status_code == 401, name
        fake = f"{SESSION}token={CORP.token()}; {SESSION}hmac=; {SESSION}expires=99999999999"
        assert (await thief.get("/orders/1", headers={"cookie": fake})).status_code == 401


async def test_what_comes_back_from_a_login_counts_once_and_only_in_the_browser_that_began_it(world: World) -> None:
    mine, other = world.browser(), world.browser()
    first = await mine.get("/orders/1", headers=PAGE)
    back = (await mine.get(first.headers["location"])).headers["location"]
    for stolen in (back, re.sub("state=[^&]*", "state=e30", back), f"{back.partition('?')[0]}?error=access_denied&state=x"):
        refused = await other.get(stolen, headers=PAGE)
        assert refused.status_code == 401 and "set-cookie" not in refused.headers, stolen
        record = await world.gw.record(refused)
        assert "code" not in json.dumps(record["path"])
    kept = "; ".join(f"{one.name}={one.value}" for one in mine.cookies.jar)
    assert (await mine.get(back)).status_code == 302
    again = await other.get(back, headers={"cookie": kept})
    assert again.status_code == 401 and world.provider.refused[-1] == "invalid_grant", "the provider takes a code once"


async def test_a_session_is_renewed_and_ends_when_the_provider_says_so(world: World) -> None:
    world.provider.lasts_s = 1
    try:
        browser = await world.logged_in()
        world.provider.lasts_s = 300
        before = len(world.provider.granted)
        for one in list(browser.cookies.jar):  # as a browser forgets what has ended
            if one.name.endswith(("hmac", "expires", "token")):
                browser.cookies.jar.clear(one.domain, one.path, one.name)
        found = await browser.get("/orders/1")
        assert found.status_code == 200 and world.provider.granted[before:] == ["refresh_token"]
        assert (await browser.get("/orders/1")).status_code == 200
    finally:
        world.provider.lasts_s = 300
    world.provider.refresh.clear()
    for one in list(browser.cookies.jar):
        if one.name.endswith(("hmac", "expires")):
            browser.cookies.jar.clear(one.domain, one.path, one.name)
    assert (await browser.get("/orders/1")).status_code == 401
    assert (await browser.get("/orders/1", headers=PAGE)).status_code == 302


@pytest.mark.parametrize("claims", [{"aud": "others"}, {"iss": "https://other.example.com"}, {"exp": 1}], ids=["aud", "iss", "exp"])
async def test_a_session_with_a_token_that_does_not_count_is_refused_and_not_led_in_circles(
    world: World, claims: dict[str, object]
) -> None:
    world.provider.claims = claims
    try:
        browser = world.browser()
        found = await browser.get("/orders/1", headers=PAGE, follow_redirects=True)
        assert found.status_code == 401
    finally:
        world.provider.claims = {}


async def test_who_logs_out_has_no_session_any_more(world: World) -> None:
    browser = await world.logged_in()
    out = await browser.get("/orders/login/logout", headers=PAGE)
    assert out.status_code == 302 and urlsplit(out.headers["location"]).path == "/logout"
    assert parse_qs(urlsplit(out.headers["location"]).query)["client_id"] == [CLIENT]
    assert names_of(browser) == []
    assert (await browser.get("/orders/1")).status_code == 401


async def test_a_session_and_the_device_that_it_comes_from(world: World) -> None:
    browser = await world.logged_in(pair=True)
    found = await browser.get("/orders/1")
    assert seen(found)["x-caller"] == "https://idp.example.com|ines"
    assert (await world.gw.record(found))["details"] == "via_upstream"


async def test_another_secret_ends_all_sessions(world: World) -> None:
    browser = await world.logged_in()
    at = world.gw.files / "login.secret"
    at.write_text("another secret of the client's own")
    try:

        async def ended() -> bool:
            return (await browser.get("/orders/1")).status_code == 401

        await world.gw.eventually(ended)
    finally:
        at.write_text(SECRET + "\n")

    async def back() -> bool:
        return (await browser.get("/orders/1")).status_code == 200

    await world.gw.eventually(back)
    at.unlink()

    async def told() -> bool:
        return "Login/app" in json.dumps((await world.gw.status())["warnings"])

    await world.gw.eventually(told)
    assert (await browser.get("/orders/1")).status_code == 200, "the one before is used on"
    at.write_text(SECRET + "\n")


async def test_a_secret_that_is_not_there_is_a_problem(world: World) -> None:
    text = (world.gw.files / "all.yaml").read_text()
    refused = await world.gw.edit("all.yaml", text.replace("login.secret", "nowhere.secret"), enforced=False)
    assert "login-secret" in json.dumps(refused["refused"])
    (world.gw.files / "all.yaml").write_text(text)


async def test_no_secret_is_written_anywhere(world: World) -> None:
    browser = await world.logged_in()
    values = [str(one.value) for one in browser.cookies.jar if len(str(one.value)) > 20]
    wanted = [SECRET, *values]
    for file in (path for path in world.folder.rglob("*") if path.is_file() and path.name != "login.secret"):
        text = file.read_bytes()
        for one in wanted:
            assert one.encode() not in text, file
    status = json.dumps(await world.gw.status())
    assert not any(one in status for one in wanted)


async def test_a_replay_of_all_that_was_asked_agrees(world: World) -> None:
    """The last test: what the others asked was recorded."""
    await agrees(world.gw, judged=30)
