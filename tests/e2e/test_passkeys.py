"""Passkeys in a real browser: made and shown by Chromium's authenticator on a small site that uses what the product uses."""

import html
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Page
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import bartizan
from bartizan.errors import BartizanError
from bartizan.identity.passkeys import Passkey, RelyingParty
from tests.e2e.browser import Pages, VirtualAuthenticator, authenticator, browser, ident
from tests.e2e.gateway import free_port, served

pytestmark = pytest.mark.asyncio(loop_scope="module")
STATIC = Path(bartizan.__file__).parent / "authorization" / "static"
SAFE = {"content-security-policy": "default-src 'none'; script-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"}
NO_SCRIPT = "Passkeys need JavaScript."
PAGE = """<!doctype html><meta charset="utf-8"><title>{kind}</title><script src="/static/passkeys.js"></script>
<form method="post" data-passkey="{kind}" data-options="{options}">
<input type="hidden" name="state" value="{state}"><input type="hidden" name="passkey"><input name="label" value="my laptop">
<p data-passkey-error>{words}</p><button name="way" value="passkey" disabled>Go on</button></form>"""


IMPATIENT = """() => {
  const button = document.querySelector("button");
  document.forms[0].addEventListener("formdata", () => setTimeout(() => button.click()));
  button.click();
  button.click();
}"""
"""Presses while the authenticator is asked, and once more when the form is on its way."""


class Site:
    """A site with one person. It keeps what they made, and forgets each question with its answer."""

    def __init__(self, port: int) -> None:
        self.origin = f"http://localhost:{port}"
        self.party = RelyingParty("localhost", "A site", self.origin)
        self.handle = secrets.token_bytes(16)
        self.passkeys: dict[str, Passkey] = {}
        self.states: dict[str, str] = {}
        self.any = True
        """Whether it doesn't say which passkeys it knows."""
        self.edit: dict[str, Any] = {}
        """What whoever sits at the page changes in its options."""
        self.silent = False
        """Whether it answers with nothing, so that the page stays."""
        self.got: list[dict[str, str]] = []
        self.routes = [
            Route("/{kind}", self.page),
            Route("/{kind}", self.answered, methods=["POST"]),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]

    def question(self, kind: str) -> tuple[dict[str, Any], str]:
        """Options, and the name of the state that is kept for them."""
        known, name = list(self.passkeys.values()), secrets.token_hex(8)
        asked = self.party.creation(self.handle, "ada", known) if kind == "create" else self.party.request(None if self.any else known)
        options, self.states[name] = asked
        return options, name

    async def page(self, request: Request) -> Response:
        """The form."""
        kind = request.path_params["kind"]
        options, name = self.question(kind)
        told = html.escape(json.dumps(options | self.edit))
        return HTMLResponse(PAGE.format(kind=kind, options=told, state=name, words=NO_SCRIPT), headers=SAFE)

    async def answered(self, request: Request) -> Response:
        """What comes of it."""
        form = {name: str(value) for name, value in (await request.form()).items()}
        self.got.append(form)
        if self.silent:
            return Response(status_code=204)
        state = self.states.pop(form["state"], "")
        try:
            if request.path_params["kind"] == "create":
                made = self.party.created(state, form["passkey"])
                self.passkeys[made.id] = made
                return HTMLResponse(f"made {made.id}")
            found, handle = self.party.holder(form["passkey"])
            if found not in self.passkeys or handle not in (self.handle, b""):
                return HTMLResponse("refused: not known", 401)
            self.passkeys[found] = self.party.shown(state, form["passkey"], self.passkeys[found])
            return HTMLResponse(f"in by {found}")
        except BartizanError as error:
            return HTMLResponse(f"refused: {error.code}", error.status)


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    with served(site.routes, int(site.origin.rpartition(":")[2])):
        yield site


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site(free_port())) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pages() -> AsyncIterator[Pages]:
    async with browser() as made:
        yield made


async def go(page: Page, where: str) -> str:
    """Goes to a page, sends its form, and what stands there in the end."""
    await page.goto(where)
    await page.get_by_role("button").click()
    await page.wait_for_selector("body:not(:has(form)), [data-passkey-error]:not([hidden])")
    return (await page.locator("body").inner_text()).strip()


async def device(pages: Pages, site: Site) -> tuple[Page, VirtualAuthenticator, str]:
    """A page whose authenticator has made a passkey for the site, and its id."""
    page = await pages()
    has = await authenticator(page)
    made = await go(page, f"{site.origin}/create")
    assert made.startswith("made "), made
    return page, has, made.removeprefix("made ")


async def test_a_passkey_is_made_and_shown(pages: Pages, site: Site) -> None:
    page = await pages()
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    has = await authenticator(page)
    made = await go(page, f"{site.origin}/create")
    (held,) = await has.credentials()
    assert made == f"made {ident(held)}"
    assert (held["rpId"], held["isResidentCredential"]) == ("localhost", True)
    counts = [site.passkeys[ident(held)].count]
    for any_of_them in (True, False):
        site.any = any_of_them
        assert await go(page, f"{site.origin}/get") == f"in by {ident(held)}"
        counts.append(site.passkeys[ident(held)].count)
    assert counts == sorted(set(counts))
    assert [(form["label"], form["way"]) for form in site.got] == [("my laptop", "passkey")] * 3
    assert json.loads(json.dumps(asdict(site.passkeys[ident(held)])))["aaguid"].count("-") == 4
    assert [one for one in wrong if "favicon" not in one] == []


async def test_an_answer_counts_once(pages: Pages, site: Site) -> None:
    page, _, made = await device(pages, site)
    assert (await go(page, f"{site.origin}/get")).startswith("in by ")
    first = site.got[-1]
    again = httpx.post(f"{site.origin}/get", data=first)
    _, fresh = site.question("get")
    site.passkeys[made] = replace(site.passkeys[made], count=0)  # so that the counter doesn't find it out
    played = httpx.post(f"{site.origin}/get", data=first | {"state": fresh})
    assert (again.status_code, played.status_code) == (401, 401)
    assert again.text == played.text == "refused: unauthenticated"
    creation = httpx.post(f"{site.origin}/create", data=site.got[0])
    assert (creation.status_code, creation.text) == (422, "refused: passkey-question")
    assert set(site.passkeys) == {made}


async def test_an_answer_given_to_another_page_counts_nowhere_else(pages: Pages, site: Site) -> None:
    """A page on another port asks with the real site's question. The browser lets it, for the host is the same."""
    page, _, made = await device(pages, site)
    phisher = Site(free_port())
    phisher.passkeys = dict(site.passkeys)
    with serving(phisher):
        for kind, refusal in (("get", (401, "refused: unauthenticated")), ("create", (422, "refused: passkey-origin"))):
            phisher.edit, name = site.question(kind)
            phisher.edit["excludeCredentials"] = []
            assert (await go(page, f"{phisher.origin}/{kind}")).startswith("refused: ")
            stolen = phisher.got[-1]["passkey"]
            assert json.loads(stolen)["type"] == "public-key"
            relayed = httpx.post(f"{site.origin}/{kind}", data={"state": name, "passkey": stolen})
            assert (relayed.status_code, relayed.text) == refusal
    assert set(site.passkeys) == {made}


@pytest.mark.parametrize("kind", ["create", "get"])
async def test_at_an_address_the_browser_gives_nothing_away(pages: Pages, site: Site, kind: str) -> None:
    page, _, _ = await device(pages, site)
    told = await go(page, f"{site.origin.replace('localhost', '127.0.0.1')}/{kind}")
    assert "don't work at this address" in told
    assert len(site.got) == 1


async def test_nobody_gets_in_by_a_device_that_doesnt_check_who_uses_it(pages: Pages, site: Site) -> None:
    page, has, made = await device(pages, site)
    await has.verifies(False)
    assert "No passkey was shown" in await go(page, f"{site.origin}/get")
    assert len(site.got) == 1
    site.edit = {"userVerification": "discouraged"}
    assert await go(page, f"{site.origin}/get") == "refused: unauthenticated"
    assert site.passkeys[made].count == 1
    site.edit = {}
    await has.verifies(True)
    assert await go(page, f"{site.origin}/get") == f"in by {made}"


async def test_none_is_made_by_a_device_that_doesnt_check_who_uses_it(pages: Pages, site: Site) -> None:
    page = await pages()
    has = await authenticator(page, can_verify=False)
    assert "No passkey was made" in await go(page, f"{site.origin}/create")
    assert site.got == []
    site.edit = {"authenticatorSelection": {"residentKey": "discouraged", "userVerification": "discouraged"}}
    assert await go(page, f"{site.origin}/create") == "refused: passkey-unverified"
    assert len(await has.credentials()) == 1
    assert site.passkeys == {}


async def test_a_copy_is_found_by_its_counter(pages: Pages, site: Site) -> None:
    page, has, made = await device(pages, site)
    (copy,) = await has.credentials()
    for _ in range(2):
        assert await go(page, f"{site.origin}/get") == f"in by {made}"
    (real,) = await has.credentials()
    await has.remove(real)
    await has.add(copy)
    assert await go(page, f"{site.origin}/get") == "refused: unauthenticated"
    await has.remove(copy)
    await has.add(real)
    assert await go(page, f"{site.origin}/get") == f"in by {made}"


async def test_another_persons_key_under_a_known_id_is_refused(pages: Pages, site: Site) -> None:
    page, has, made = await device(pages, site)
    _, _, other = await device(pages, site)
    site.passkeys[made] = replace(site.passkeys[made], public_key=site.passkeys[other].public_key)
    assert await go(page, f"{site.origin}/get") == "refused: unauthenticated"
    (held,) = await has.credentials()
    await has.remove(held)
    assert await has.credentials() == []
    assert "No passkey was shown" in await go(page, f"{site.origin}/get")


async def test_a_device_makes_no_second_one(pages: Pages, site: Site) -> None:
    page, _, made = await device(pages, site)
    assert "holds a passkey for you already" in await go(page, f"{site.origin}/create")
    assert (set(site.passkeys), len(site.got)) == ({made}, 1)


async def test_whoever_presses_twice_sends_once_and_may_try_again(pages: Pages, site: Site) -> None:
    page, has, made = await device(pages, site)
    (held,) = await has.credentials()
    await has.remove(held)
    assert "No passkey was shown" in await go(page, f"{site.origin}/get")
    await has.add(held)
    async with page.expect_navigation():
        await page.evaluate(IMPATIENT)
    assert await page.locator("body").inner_text() == f"in by {made}"
    assert len(site.got) == 2


async def test_whoever_comes_back_to_the_page_finds_it_as_it_was(pages: Pages, site: Site) -> None:
    page, _, made = await device(pages, site)
    await page.goto(f"{site.origin}/get")
    site.silent = True
    async with page.expect_response("**/get"):
        await page.get_by_role("button").click()
    hidden = page.locator("input[name=passkey]")
    assert made in await hidden.input_value()
    site.silent = False
    await page.evaluate(
        "() => window.dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))"
    )  # kept pages aren't, under test
    assert await hidden.input_value() == ""
    async with page.expect_navigation():
        await page.get_by_role("button").click()
    assert await page.locator("body").inner_text() == f"in by {made}"
    assert site.got[1]["passkey"] != site.got[2]["passkey"]


async def test_without_script_or_passkeys_the_page_says_so(pages: Pages, site: Site) -> None:
    page = await pages(java_script_enabled=False)
    await page.goto(f"{site.origin}/get")
    assert await page.get_by_role("button").is_disabled()
    assert NO_SCRIPT in await page.locator("body").inner_text()
    for missing in ("delete window.PublicKeyCredential", "delete PublicKeyCredential.parseRequestOptionsFromJSON"):
        page = await pages()
        await page.add_init_script(missing)
        await page.goto(f"{site.origin}/get")
        assert await page.get_by_role("button").is_disabled()
        assert "This browser has no passkeys" in await page.get_by_role("alert").inner_text()
    page = await pages()
    await page.goto(f"{site.origin}/get")
    assert await page.get_by_role("button").is_enabled()
    assert NO_SCRIPT not in await page.locator("body").inner_text()


async def test_a_broken_page_says_so_and_sends_nothing(pages: Pages, site: Site) -> None:
    page, _, _ = await device(pages, site)
    for edit, words in (
        ({"challenge": "!"}, "That didn't work"),
        ({"allowCredentials": 7}, "is broken"),
        ({"rpId": "a.com"}, "this address"),
    ):
        site.edit = edit
        assert words in await go(page, f"{site.origin}/get")
    assert len(site.got) == 1
