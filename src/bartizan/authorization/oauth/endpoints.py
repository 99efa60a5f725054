"""What applications ask about tokens: whether one counts (RFC 7662), and that it no longer should (RFC 7009)."""

from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749.errors import UnauthorizedClientError
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint

from bartizan.authorization.clients import GRANT_TYPES
from bartizan.authorization.oauth.codes import DEVICE_S, INTERVAL_S
from bartizan.authorization.oauth.grants import allowed_scope
from bartizan.authorization.tokens import audiences_of
from bartizan.errors import Unauthenticated
from bartizan.store import Authorization

_AUTHENTICATED = ["client_secret_basic", "client_secret_post"]


@dataclass(frozen=True, slots=True)
class Token:
    """An access token by its claims, or a refresh token by its family, as authlib asks for it."""

    claims: dict[str, Any] | None
    family: Authorization | None = None

    def check_client(self, client: Any) -> bool:
        own = self.claims["client_id"] if self.claims is not None else self.family.value["client"] if self.family is not None else None
        return bool(own == client.name)

    def is_expired(self) -> bool:
        return False  # one that is isn't found

    def is_revoked(self) -> bool:
        return False  # as above


def _token(server: Any, text: str) -> Token | None:
    if (family := server.tokens.find_family(text)) is not None:
        return Token(None, family)
    try:
        return Token(server.tokens.read(server.declared, text))
    except Unauthenticated:
        return None


class Revocation(RevocationEndpoint):  # type: ignore[misc]  # authlib ships no types
    """An application gives a token back."""

    CLIENT_AUTH_METHODS = (*_AUTHENTICATED, "none")

    def query_token(self, token_string: str, token_type_hint: str | None) -> Token | None:
        return _token(self.server, token_string)

    def revoke_token(self, token: Token, request: Any) -> None:
        if token.family is not None:
            self.server.tokens.end_family(token.family, "its application gave it back")
        elif token.claims is not None:
            self.server.tokens.revoke(token.claims["jti"], token.claims["exp"], "its application gave it back")


class Introspection(IntrospectionEndpoint):  # type: ignore[misc]  # authlib ships no types
    """An application asks about a token: one of its own, or one that was meant for it."""

    CLIENT_AUTH_METHODS = tuple(_AUTHENTICATED)

    def query_token(self, token_string: str, token_type_hint: str | None) -> Token | None:
        found = _token(self.server, token_string)
        return found if found is None or found.family is None or self.server.tokens.counts(token_string) else None

    def check_permission(self, token: Token, client: Any, request: Any) -> bool:
        return token.check_client(client) or (token.claims is not None and client.name in audiences_of(token.claims))

    def introspect_token(self, token: Token) -> dict[str, Any]:
        if token.claims is not None:
            return {
                "active": True,
                "token_type": "Bearer",
                **token.claims,
                "username": token.claims.get("preferred_username", token.claims["sub"]),
            }
        family: Any = token.family
        kept = family.value
        return {
            "active": True,
            "client_id": kept["client"],
            "scope": kept["scope"],
            "sub": kept["person"]["id"],
            "exp": int(family.expires),
        }


class DeviceAuthorization(DeviceAuthorizationEndpoint):  # type: ignore[misc]  # authlib ships no types
    """Something without a browser begins to wait for somebody (RFC 8628, section 3.1)."""

    def create_endpoint_response(self, request: Any) -> Any:
        client = self.authenticate_client(request)
        if not client.check_grant_type(GRANT_TYPES["device_code"]):
            raise UnauthorizedClientError("The client may not use device codes.")
        self.server.validate_requested_scope(request.payload.scope)
        code, typed = self.server.devices.begin(client.name, allowed_scope(client, request.payload.scope))
        at = f"{self.server.declared.issuer}/device"
        told = {"device_code": code, "user_code": typed, "verification_uri": at, "expires_in": DEVICE_S, "interval": INTERVAL_S}
        return 200, told, [("Cache-Control", "no-store")]
