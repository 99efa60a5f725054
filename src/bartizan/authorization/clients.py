"""Applications that get tokens, as authlib asks about them."""

import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from authlib.oauth2.rfc6749 import ClientMixin

from bartizan.authorization.surroundings import Around
from bartizan.errors import BartizanError
from bartizan.identity.referred import UNREADABLE
from bartizan.model.authorization import COMMAND_LINE, AuthorizationServer, Client
from bartizan.model.named import OWN

ADMIN_API = "urn:bartizan:admin-api"
"""The audience of tokens with which somebody logs in to the admin API."""
GRANT_TYPES = {
    "authorization_code": "authorization_code",
    "refresh_token": "refresh_token",
    "client_credentials": "client_credentials",
    "device_code": "urn:ietf:params:oauth:grant-type:device_code",
    "token_exchange": "urn:ietf:params:oauth:grant-type:token-exchange",
}
_COMMAND_LINE = Client(
    title="Bartizan's command line",
    grants=("authorization_code",),
    redirect_uris=("http://127.0.0.1/callback",),
    scopes=("openid", "profile"),
    audiences=(ADMIN_API,),
)
_log = logging.getLogger("bartizan")


@dataclass(frozen=True, slots=True)
class Known(ClientMixin):  # type: ignore[misc]  # authlib ships no types
    """An application that is declared."""

    name: str
    declared: Client
    around: Around

    @property
    def title(self) -> str:
        """What people are shown as its name."""
        return self.declared.title or self.name

    @property
    def is_public(self) -> bool:
        """Whether it has no secret."""
        return self.declared.secret is None

    @property
    def audiences(self) -> tuple[str, ...]:
        """For whom its access tokens are meant."""
        return self.declared.audiences or (self.name,)

    def get_client_id(self) -> str:
        return self.name

    def get_default_redirect_uri(self) -> str | None:
        own = self.declared.redirect_uris
        return own[0] if len(own) == 1 else None

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """What it may have of what it asks for; all that it may have, if it says nothing (None); None if it may have nothing of it."""
        wanted = scope.split() if scope is not None else self.declared.scopes
        allowed = " ".join(dict.fromkeys(one for one in wanted if one in self.declared.scopes))
        return allowed if allowed or not wanted else None

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return any(redirect_uri == form for one in self.declared.redirect_uris for form in _forms(one, redirect_uri))

    def check_client_secret(self, client_secret: str) -> bool:
        if self.declared.secret is None:
            return False
        try:
            own = self.around.secret(self.declared.secret, OWN)
        except (*UNREADABLE, BartizanError):
            _log.warning("the client %s of the authorization server is refused: its secret isn't there", self.name)
            return False
        return bool(own) and secrets.compare_digest(own.encode(), client_secret.encode("utf-8", "surrogatepass"))

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return (method == "none") == self.is_public

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code" and "authorization_code" in self.declared.grants

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in {GRANT_TYPES[one] for one in self.declared.grants}


def client(declared: AuthorizationServer, name: str, around: Around) -> Known | None:
    """The application of this client_id."""
    found = _COMMAND_LINE if name == COMMAND_LINE else declared.clients.get(name)
    return Known(name, found, around) if found is not None else None


def _forms(registered: str, shown: str) -> Iterator[str]:
    """What may be shown for a URI that is registered: itself; on loopback addresses with any port (RFC 8252, section 7.3)."""
    yield registered
    parts = urlsplit(registered)
    if parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1"} and parts.port is None:
        try:
            port = urlsplit(shown).port
        except ValueError:
            return
        if port:
            yield parts._replace(netloc=f"{parts.netloc}:{port}").geturl()
