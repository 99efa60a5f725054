"""Where an issuer publishes its keys, as it says itself: OpenID Connect Discovery 1.0, section 4, and RFC 8414, section 3.

What is found there isn't written by whoever declared the issuer. So it has to be the issuer's own (`issuer` is the same, to the letter),
can't be less protected on its way than the issuer, and can't lead to the gateway's own machine, unless the issuer is there too.
"""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit, urlunsplit

import orjson

from bartizan.lib.near import is_near, leads_near

_OIDC = "/.well-known/openid-configuration"
_OAUTH = "/.well-known/oauth-authorization-server"
Get = Callable[[str], Awaitable[bytes | None]]
"""The body of what is at a URL; None if there is nothing. ValueError and what the client raises, if it can't be told."""


def places(issuer: str) -> tuple[str, str]:
    """Where the metadata of this issuer may be: OpenID Connect puts its name behind the issuer's path, RFC 8414 before it."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path + _OIDC, "", "")), urlunsplit((parts.scheme, parts.netloc, _OAUTH + path, "", ""))


async def jwks_url(issuer: str, get: Get) -> str:
    """The URL of its keys. ValueError if what it publishes doesn't tell one that can be used."""
    for place in places(issuer):
        if (body := await get(place)) is not None:
            return await _checked(issuer, place, body)
    raise ValueError(f"there is no metadata at {' nor at '.join(places(issuer))}")


async def _checked(issuer: str, place: str, body: bytes) -> str:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ValueError(f"what is at {place} is no JSON") from None
    told = found if isinstance(found, dict) else {}
    if told.get("issuer") != issuer:
        raise ValueError(f"the metadata at {place} is of another issuer")
    url = told.get("jwks_uri")
    if not isinstance(url, str):
        raise ValueError(f"the metadata at {place} tells no jwks_uri")
    here, there = urlsplit(issuer), urlsplit(url)
    if there.scheme != "https" and (there.scheme, here.scheme) != ("http", "http"):
        raise ValueError(f"the jwks_uri in the metadata at {place} is no https:// URL")
    if not is_near(here.hostname or "") and await leads_near(there.hostname or ""):
        raise ValueError(f"the jwks_uri in the metadata at {place} leads to this machine or its neighbours")
    return url
