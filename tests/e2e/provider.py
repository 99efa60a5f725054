"""An OpenID provider with one client and one user, who is logged in already: authorization code with PKCE, rotating refresh tokens."""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.e2e.gateway import TokenIssuer

CLIENT, SECRET = "orders-app", "the client's own secret 7Qx"


@dataclass
class Provider:
    """What it was asked, and how it answers."""

    issuer: TokenIssuer
    callback: str
    claims: dict[str, object] = field(default_factory=dict)
    """Of the next tokens."""
    lasts_s: int = 300
    codes: dict[str, str] = field(default_factory=dict)
    """Codes that count once, with the challenge (RFC 7636) of each."""
    refresh: set[str] = field(default_factory=set)
    granted: list[str] = field(default_factory=list)
    """The grant of each good answer of the token endpoint."""
    refused: list[str] = field(default_factory=list)

    def routes(self) -> list[Route]:
        """What it serves."""
        return [
            Route("/authorize", self._authorize),
            Route("/token", self._token, methods=["POST"]),
            Route("/logout", self._logout),
        ]

    async def _authorize(self, request: Request) -> Response:
        asked = request.query_params
        wanted = {"client_id": CLIENT, "redirect_uri": self.callback, "response_type": "code", "code_challenge_method": "S256"}
        if any(asked.get(name) != value for name, value in wanted.items()):
            return Response(f"not this client's: {dict(asked)}", 400)
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked["code_challenge"]
        return RedirectResponse(f"{self.callback}?{urlencode({'code': code, 'state': asked['state']})}", 302)

    async def _token(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT, SECRET):
            return self._refuse("invalid_client")
        if form["grant_type"] == "refresh_token":
            if form["refresh_token"] not in self.refresh:
                return self._refuse("invalid_grant")
            self.refresh.remove(form["refresh_token"])
        else:
            digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if self.codes.pop(form.get("code", ""), None) != challenge or form.get("redirect_uri") != self.callback:
                return self._refuse("invalid_grant")
        self.granted.append(form["grant_type"])
        again = secrets.token_urlsafe(16)
        self.refresh.add(again)
        token = self.issuer.token(jti=secrets.token_hex(8), **self.claims)
        return JSONResponse(
            {
                "access_token": token,
                "id_token": self.issuer.token(aud=CLIENT),
                "refresh_token": again,
                "token_type": "Bearer",
                "expires_in": self.lasts_s,
            }
        )

    def _refuse(self, error: str) -> Response:
        self.refused.append(error)
        return Response(json.dumps({"error": error}), 400, media_type="application/json")

    async def _logout(self, request: Request) -> Response:
        return Response(f"logged out, {request.query_params.get('client_id')}")
