"""A real browser: Debian's Chromium, driven by Playwright, with authenticators that exist in it alone.

It is started anew for each `browser()`, with an empty profile, ends with it, and gets no answer from any host but this machine.
"""

import base64
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import CDPSession, Page, async_playwright

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)
STARTS_MS = 60_000
ANSWERS_MS = 15_000
"""How long a page has for anything."""

Pages = Callable[[], Awaitable[Page]]


def program() -> str:
    """Where Chromium is. A test without it fails: none is skipped."""
    found = shutil.which("chromium")
    assert found, "Chromium is missing: `make test` installs it on Debian as root, else do `apt-get install chromium`"
    return found


@asynccontextmanager
async def browser() -> AsyncIterator[Pages]:
    """A running one. What it yields opens pages, each for itself: no two share cookies."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=program(), headless=True, args=list(ARGUMENTS), timeout=STARTS_MS)

        async def page(**options: Any) -> Page:
            made = await running.new_page(**options)
            made.set_default_timeout(ANSWERS_MS)
            return made

        try:
            yield page
        finally:
            await running.close()


class VirtualAuthenticator:
    """An authenticator of one page, as a phone or a laptop has it built in: it keeps passkeys, checks who uses it, and needs no finger."""

    def __init__(self, session: CDPSession, ident: str) -> None:
        self._session = session
        self._ident = ident

    async def credentials(self) -> list[dict[str, Any]]:
        """What it holds, private keys and counters too: what `add` takes."""
        return list((await self._do("getCredentials"))["credentials"])

    async def add(self, credential: dict[str, Any]) -> None:
        """Puts a credential into it, as a thief of one would."""
        await self._do("addCredential", credential=credential)

    async def remove(self, credential: dict[str, Any]) -> None:
        """Takes one away."""
        await self._do("removeCredential", credentialId=credential["credentialId"])

    async def verifies(self, does: bool) -> None:
        """Whether whoever uses it shows that they are its owner."""
        await self._do("setUserVerified", isUserVerified=does)

    async def _do(self, command: str, **parameters: Any) -> dict[str, Any]:
        return await self._session.send(f"WebAuthn.{command}", {"authenticatorId": self._ident, **parameters})


async def authenticator(page: Page, can_verify: bool = True) -> VirtualAuthenticator:
    """A new one, for this page and wherever it goes. Some can't tell who uses them."""
    session = await page.context.new_cdp_session(page)
    await session.send("WebAuthn.enable", {"enableUI": False})
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": can_verify,
        "isUserVerified": can_verify,
        "automaticPresenceSimulation": True,
    }
    made = await session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return VirtualAuthenticator(session, made["authenticatorId"])


def ident(credential: dict[str, Any]) -> str:
    """Its id, in base64url as WebAuthn writes it."""
    return base64.urlsafe_b64encode(base64.b64decode(credential["credentialId"])).rstrip(b"=").decode()
