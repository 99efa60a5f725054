"""What an application asks with an access token about whoever gave it to it (OpenID Connect Core, section 5.3)."""

from starlette.responses import JSONResponse, Response

from bartizan.authorization.asking import Asked
from bartizan.authorization.here import Here
from bartizan.authorization.oauth.grants import told_of
from bartizan.authorization.person import Person
from bartizan.errors import Unauthenticated


def userinfo(here: Here, asked: Asked) -> Response:
    """Tells it, as far as its scopes allow."""
    kind, _, text = asked.headers.get("authorization", "").partition(" ")
    try:
        claims = here.tokens.read(here.declared(), text if kind.lower() == "bearer" else "")
        scopes = str(claims.get("scope", "")).split()
        if "openid" not in scopes or "sid" not in claims:
            raise Unauthenticated("This token doesn't allow it.", code="scope-missing")
    except Unauthenticated as error:
        told = {"error": "invalid_token", "error_description": error.message}
        return JSONResponse(told, 401, {"www-authenticate": 'Bearer error="invalid_token"', "cache-control": "no-store"})
    name, groups = str(claims["preferred_username"]), tuple(map(str, claims["groups"]))
    who = Person(str(claims["sub"]), name, name, groups, "", (), 0.0, "", 0.0)
    return JSONResponse(told_of(who, " ".join(scopes)), headers={"cache-control": "no-store"})
