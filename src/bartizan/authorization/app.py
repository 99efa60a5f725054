"""What the authorization server serves: a table of routes. Handlers are plain functions, each run in a thread of its own."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bartizan.authorization.asking import Asked, asked
from bartizan.authorization.here import Here
from bartizan.authorization.oauth.metadata import metadata
from bartizan.authorization.oauth.userinfo import userinfo
from bartizan.authorization.people.account import account, account_page
from bartizan.authorization.people.authorize import authorize, consent
from bartizan.authorization.people.device import device, device_page
from bartizan.authorization.people.enrol import enrol, enrol_page
from bartizan.authorization.people.login import log_in, log_in_with_passkey, login_page
from bartizan.authorization.people.logout import logout, logout_page
from bartizan.authorization.people.outside import away, back
from bartizan.authorization.people.pages import see, static
from bartizan.errors import BartizanError, Invalid

Handler: TypeAlias = Callable[[Here, Asked], Response]
_AT_ONCE = 16
"""Requests that are worked on at once. Others wait: people log in rarely, and nothing else is to be kept from the processor."""
_AT_ONCE_ELSEWHERE = 4
"""Of these so many at once may wait for a provider elsewhere, which may be slow."""
_log = logging.getLogger("bartizan")


def _metadata(here: Here, _: Asked) -> Response:
    return JSONResponse(metadata(here.declared()), headers={"cache-control": "max-age=300"})


def _jwks(here: Here, _: Asked) -> Response:
    here.keys.tend(here.declared().keys.total_seconds())
    return JSONResponse(here.keys.published(), headers={"cache-control": "max-age=300"})


def _endpoint(name: str = "") -> Handler:
    def answer(here: Here, asked: Asked) -> Response:
        named = f"client {asked.origin}"
        here.lockout.check(named)
        answered = here.server().answered(asked, name)
        if answered.status_code == 401:  # somebody guesses at the secrets of applications
            here.lockout.wrong(named)
            here.around.refused("client/unknown", asked.origin)
        return answered

    return answer


_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/.well-known/openid-configuration", _metadata),
    ("GET", "/.well-known/oauth-authorization-server", _metadata),
    ("GET", "/jwks", _jwks),
    ("POST", "/token", _endpoint()),
    ("POST", "/revoke", _endpoint("revocation")),
    ("POST", "/introspect", _endpoint("introspection")),
    ("POST", "/device_authorization", _endpoint("device_authorization")),
    ("GET", "/userinfo", userinfo),
    ("POST", "/userinfo", userinfo),
    ("GET", "/authorize", authorize),
    ("POST", "/consent", consent),
    ("GET", "/", lambda here, asked: see("/account")),
    ("GET", "/login", login_page),
    ("POST", "/login", log_in),
    ("POST", "/login/passkey", log_in_with_passkey),
    ("GET", "/login/outside/{name}", away),
    ("GET", "/login/outside/{name}/callback", back),
    ("GET", "/enrol", enrol_page),
    ("POST", "/enrol", enrol),
    ("GET", "/device", device_page),
    ("POST", "/device", device),
    ("GET", "/account", account_page),
    ("POST", "/account/{deed}", account),
    ("GET", "/logout", logout_page),
    ("POST", "/logout", logout),
    ("GET", "/static/passkeys.js", lambda here, asked: static("passkeys.js")),
    ("GET", "/static/style.css", lambda here, asked: static("style.css")),
)
_FOR_APPLICATIONS = frozenset({"/token", "/revoke", "/introspect", "/device_authorization", "/userinfo", "/jwks"})


def app(here: Here) -> Starlette:
    """The authorization server as an application for uvicorn."""
    at_once, elsewhere = asyncio.Semaphore(_AT_ONCE), asyncio.Semaphore(_AT_ONCE_ELSEWHERE)

    def served(handler: Handler) -> Callable[[Request], object]:
        first = elsewhere if handler in (away, back) else nullcontext()

        async def answer(request: Request) -> Response:
            try:
                found = await asked(request)
                async with first, at_once:
                    return await asyncio.to_thread(handler, here, found)
            except BartizanError as error:
                return _wrong(here, str(request.scope["path"]), error)

        return answer

    return Starlette(routes=[Route(path, served(handler), methods=[method]) for method, path, handler in _ROUTES])


def _wrong(here: Here, path: str, error: BartizanError) -> Response:
    status = 400 if isinstance(error, Invalid) else error.status
    if status >= 500:
        _log.error("the authorization server can't answer: %s", error.message)
    if path in _FOR_APPLICATIONS or path.startswith("/.well-known/"):
        kind = "temporarily_unavailable" if status >= 500 else "invalid_request"
        return JSONResponse({"error": kind, "error_description": error.message}, status, {"cache-control": "no-store"})
    return here.pages.page("wrong", {"gateway": here.around.gateway_name(), "error": error.message}, status=status)
