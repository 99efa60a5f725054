"""Logging in with a browser: a native application's authorization code with PKCE, sent back to a port of this machine (RFC 8252)."""

import argparse
import base64
import hashlib
import http.server
import secrets
import time
import webbrowser
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from bartizan.cli.output import say
from bartizan.cli.remote import believing, tried
from bartizan.errors import Invalid, Unauthenticated, Unavailable
from bartizan.model.authorization import COMMAND_LINE

_WAIT_S = 300.0
_TIMEOUT_S = 20.0
_DONE = b"<!doctype html><title>Bartizan</title><p>Done: go back to the terminal, and close this page.</p>"


def by_browser(read: argparse.Namespace) -> Any:
    """The session of whoever logs in. Invalid if there is no place for that there; Unauthenticated if they don't."""
    issuer = tried(read, "/v1/login")["issuer"]
    if issuer is None:
        raise Invalid("That gateway has no authorization server: log in with a name and a password.", code="authorization-none")
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    with _Listening(("127.0.0.1", 0), _Back) as listening:
        callback = f"http://127.0.0.1:{listening.server_port}/callback"
        stronger = {"acr_values": "phr"} if read.passkey else {}
        asked = {
            **stronger,
            "response_type": "code",
            "client_id": COMMAND_LINE,
            "redirect_uri": callback,
            "scope": "openid profile",
            "state": state,
        }
        place = f"{issuer}/authorize?{urlencode({**asked, 'code_challenge': challenge, 'code_challenge_method': 'S256'})}"
        say("Log in with a browser on this machine:")
        say(f"  {place}")
        webbrowser.open(place)
        told = listening.waited()
    if told.get("state") != [state] or told.get("iss") != [issuer] or "code" not in told:
        why = (told.get("error_description") or told.get("error") or ["what came back isn't an answer to it"])[0]
        raise Unauthenticated(f"You weren't logged in: {why[:200]!r}.", code="login-refused")
    form = {"grant_type": "authorization_code", "client_id": COMMAND_LINE, "redirect_uri": callback, "code_verifier": verifier}
    return tried(read, "/v1/login/token", {"token": _token(read, issuer, {**form, "code": told["code"][0]})})


def _token(read: argparse.Namespace, issuer: str, form: dict[str, str]) -> str:
    try:
        answer = httpx.post(f"{issuer}/token", data=form, timeout=_TIMEOUT_S, verify=believing(read))
        return str(answer.raise_for_status().json()["access_token"])
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise Unavailable(f"{issuer} gives no token: {error}", code="token-refused") from error


class _Listening(http.server.HTTPServer):
    """Waits for the browser to come back."""

    told: dict[str, list[str]] | None = None
    timeout = 1

    def waited(self) -> dict[str, list[str]]:
        """What it comes back with. Unauthenticated if it doesn't."""
        until = time.monotonic() + _WAIT_S
        while self.told is None:
            if time.monotonic() > until:
                raise Unauthenticated("Nobody logged in within five minutes.", code="login-refused")
            self.handle_request()
        return self.told


class _Back(http.server.BaseHTTPRequestHandler):
    """Takes the one request that counts."""

    server: _Listening

    def do_GET(self) -> None:  # http.server's name
        """The callback; anything else isn't there."""
        parts = urlsplit(self.path)
        found = parts.path == "/callback"
        self.send_response(200 if found else 404)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("referrer-policy", "no-referrer")
        self.end_headers()
        if found:
            self.wfile.write(_DONE)
            self.server.told = parse_qs(parts.query)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: the address holds a code."""
