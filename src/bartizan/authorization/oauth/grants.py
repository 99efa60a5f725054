"""The grants: how applications get tokens. Authlib checks what is asked; what is asked for is made here."""

from typing import Any

from authlib.oauth2.rfc6749 import BaseGrant, TokenEndpointMixin
from authlib.oauth2.rfc6749.errors import InvalidGrantError, InvalidRequestError, InvalidScopeError, UnauthorizedClientError
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, ClientCredentialsGrant, RefreshTokenGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc8628 import DeviceCodeGrant
from authlib.oidc.core import UserInfo
from authlib.oidc.core.grants import OpenIDCode

from bartizan.authorization.clients import GRANT_TYPES
from bartizan.authorization.oauth.codes import Code, Used, Waiting
from bartizan.authorization.person import Person
from bartizan.authorization.tokens import Issued, Wanted, audiences_of
from bartizan.errors import Conflict, Unauthenticated
from bartizan.identity.token_keys import ALGORITHM
from bartizan.store import Authorization

_AUTHENTICATED = ["client_secret_basic", "client_secret_post"]
_ANY = [*_AUTHENTICATED, "none"]
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a type's name (RFC 8693, section 3)


def allowed_scope(client: Any, scope: str | None) -> str:
    """The scope of a token: never more than is declared now, whatever was allowed before. InvalidScopeError if nothing is left."""
    if (allowed := client.get_allowed_scope(scope)) is None:
        raise InvalidScopeError()
    return str(allowed)


class _Issues:
    """Makes the tokens of a grant."""

    request: Any
    server: Any
    issued: Issued

    def generate_token(self, user: Person | None = None, scope: str | None = None, include_refresh_token: bool = True, **_: Any) -> Any:
        wanted = Wanted(self.request.client, user, allowed_scope(self.request.client, scope))
        self.issued = self.server.tokens.issue(self.server.declared, wanted, refresh=include_refresh_token)
        return dict(self.issued.answer)


class CodeGrant(_Issues, AuthorizationCodeGrant):  # type: ignore[misc]  # authlib ships no types
    """An authorization code (RFC 6749, section 4.1), with PKCE always (RFC 9700, section 2.1.1)."""

    TOKEN_ENDPOINT_AUTH_METHODS = _ANY

    def save_authorization_code(self, code: str, request: Any) -> None:
        asked = request.payload.data
        uri = self.redirect_uri or request.payload.redirect_uri
        value = {
            "client": request.client.name,
            "redirect_uri": uri or "",
            "scope": request.scope,
            "nonce": asked.get("nonce", ""),
            "code_challenge": asked["code_challenge"],
        }
        self.server.codes.keep(code, value, request.user)

    def query_authorization_code(self, code: str, client: Any) -> Code | None:
        if (used := self.server.codes.came_of(code)) is not None:
            # Shown again: somebody has a copy, so nobody keeps what came of it (RFC 6749, section 4.1.2).
            self.server.tokens.end_by_id(used.family, "its authorization code was used again")
            self.server.tokens.revoke(used.jti, used.expires, "its authorization code was used again")
            return None
        found = self.server.codes.take(code)
        return found if found is not None and found.client == client.name else None

    def authenticate_user(self, authorization_code: Code) -> Person | None:
        return self.server.tokens.now(authorization_code.who)  # type: ignore[no-any-return]

    def delete_authorization_code(self, authorization_code: Code) -> None:
        made = self.issued
        self.server.codes.used(authorization_code, Used(made.jti, made.expires, made.family))


class Pkce(CodeChallenge):  # type: ignore[misc]  # authlib ships no types
    """PKCE (RFC 7636): S256, and never without."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def __init__(self) -> None:
        super().__init__(required=True)

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        asked = grant.request.payload.data
        if not asked.get("code_challenge") or asked.get("code_challenge_method") != "S256":
            raise InvalidRequestError("A 'code_challenge' with the method S256 is needed.")
        super().validate_code_challenge(grant, redirect_uri)


class OpenId(OpenIDCode):  # type: ignore[misc]  # authlib ships no types
    """The ID token of one grant (OpenID Connect Core, section 2)."""

    def exists_nonce(self, nonce: str, request: Any) -> bool:
        return False  # a code counts once, and its nonce with it

    def process_token(self, grant: Any, response: Any) -> Any:
        self._grant, self._signer = grant, grant.server.tokens.keys.signer()
        return super().process_token(grant, response)

    def resolve_client_private_key(self, client: Any) -> Any:
        return self._signer[1]

    def get_client_algorithm(self, client: Any) -> str:
        return ALGORITHM

    def get_encode_header(self, client: Any) -> dict[str, str]:
        return {"alg": ALGORITHM, "kid": self._signer[0]}

    def get_client_claims(self, client: Any) -> dict[str, Any]:
        made, who = self._grant.issued, self._grant.request.user
        return {"iss": self._grant.server.declared.issuer, "aud": client.name, "exp": int(made.expires), "sid": who.sid}

    def generate_user_info(self, user: Person, scope: str) -> Any:
        return UserInfo(told_of(user, scope))


def told_of(who: Person, scope: str) -> dict[str, Any]:
    """What an application is told of somebody, as its scopes allow."""
    allowed = scope.split()
    told: dict[str, Any] = {"sub": who.id}
    if "profile" in allowed:
        told |= {"preferred_username": who.name, "name": who.title}
    if "groups" in allowed:
        told["groups"] = list(who.groups)
    return told


class ClientCredentials(_Issues, ClientCredentialsGrant):  # type: ignore[misc]  # authlib ships no types
    """An application by itself (RFC 6749, section 4.4)."""

    TOKEN_ENDPOINT_AUTH_METHODS = _AUTHENTICATED


class Refresh(_Issues, RefreshTokenGrant):  # type: ignore[misc]  # authlib ships no types
    """A refresh token, for which another is given each time (RFC 9700, section 4.14)."""

    TOKEN_ENDPOINT_AUTH_METHODS = _ANY

    def authenticate_refresh_token(self, refresh_token: str) -> "_Family | None":
        row = self.server.tokens.family(refresh_token, self.request.client.name)
        return _Family(row) if row is not None else None

    def authenticate_user(self, refresh_token: "_Family") -> Person | None:
        who = self.server.tokens.person_of(refresh_token.row)
        if who is None:
            self.server.tokens.end_family(refresh_token.row, "its owner is here no more, or logged out")
            raise InvalidGrantError("This refresh token counts no more.")
        return who  # type: ignore[no-any-return]

    def issue_token(self, user: Person, refresh_token: "_Family") -> Any:
        asked = self.request.payload.scope or refresh_token.get_scope()
        wanted = Wanted(self.request.client, user, allowed_scope(self.request.client, asked))
        try:
            made = self.server.tokens.refreshed(self.server.declared, refresh_token.row, self.request.form["refresh_token"], wanted)
        except Conflict as error:
            raise InvalidGrantError("This refresh token counts no more.") from error
        return dict(made.answer)

    def revoke_old_credential(self, refresh_token: "_Family") -> None:
        """It is when the next one is made."""


class _Family:
    """A family of refresh tokens, as authlib asks for it."""

    def __init__(self, row: Authorization) -> None:
        self.row = row

    def check_client(self, client: Any) -> bool:
        return bool(self.row.value["client"] == client.name)

    def get_scope(self) -> str:
        return str(self.row.value["scope"])


class Device(_Issues, DeviceCodeGrant):  # type: ignore[misc]  # authlib ships no types
    """Something without a browser: somebody allows it elsewhere (RFC 8628)."""

    TOKEN_ENDPOINT_AUTH_METHODS = _ANY

    def query_device_credential(self, device_code: str) -> Waiting | None:
        found = self.server.devices.waiting(device_code)
        if found is None:
            raise InvalidGrantError("This device code counts no more.")
        self._waiting = found
        return found  # type: ignore[no-any-return]

    def query_user_grant(self, user_code: str) -> tuple[Person | None, bool] | None:
        decided = self.server.devices.decided(self._waiting)
        if decided is None:
            return None
        who, allowed = decided
        now = self.server.tokens.now(who) if who is not None else None
        if not self.server.devices.take(self._waiting) or (allowed and now is None):
            raise InvalidGrantError("This device code counts no more.")
        return now, allowed

    def should_slow_down(self, credential: Waiting) -> bool:
        return bool(self.server.devices.too_soon(credential))


class TokenExchange(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]  # authlib ships no types
    """One access token for another (RFC 8693): an API that was called calls the next one, for the same person.

    Only a token that was meant for the application (`aud`) is exchanged, for no more than it allows, and not for longer.
    """

    GRANT_TYPE = GRANT_TYPES["token_exchange"]
    TOKEN_ENDPOINT_AUTH_METHODS = _AUTHENTICATED

    def validate_token_request(self) -> None:
        client = self.authenticate_token_endpoint_client()
        self.request.client = client
        if not client.check_grant_type(self.GRANT_TYPE):
            raise UnauthorizedClientError("The client may not exchange tokens.")
        form = self.request.form
        kinds = {form.get(name, _ACCESS_TOKEN) for name in ("subject_token_type", "requested_token_type")}
        if kinds != {_ACCESS_TOKEN} or "subject_token_type" not in form or "actor_token" in form:
            raise InvalidRequestError("Access tokens are exchanged for access tokens, without an 'actor_token'.")
        try:
            self.claims = self.server.tokens.read(self.server.declared, form.get("subject_token", ""))
        except Unauthenticated as error:
            raise InvalidRequestError("The 'subject_token' doesn't count.") from error
        if client.name not in audiences_of(self.claims):
            raise InvalidRequestError("The 'subject_token' wasn't meant for this client.")

    def create_token_response(self) -> Any:
        client, claims = self.request.client, self.claims
        audience = tuple(value for name, value in self.request.of.form if name in {"audience", "resource"})
        if unknown := [one for one in audience if one not in client.declared.audiences]:
            raise InvalidTarget(f"The client gets no tokens for '{_plain(unknown[0])}'.")
        had = str(claims.get("scope", "")).split()
        asked = (self.request.payload.scope or " ".join(one for one in had if one in client.declared.scopes)).split()
        if not set(asked) <= set(had) & set(client.declared.scopes):
            raise InvalidScopeError()
        actor = {"sub": client.name, **({"act": claims["act"]} if "act" in claims else {})}
        wanted = Wanted(client, None, " ".join(asked), audience, actor, claims["exp"], claims)
        made = self.server.tokens.issue(self.server.declared, wanted)
        return 200, {**made.answer, "issued_token_type": _ACCESS_TOKEN}, self.TOKEN_RESPONSE_HEADER


class InvalidTarget(InvalidRequestError):  # type: ignore[misc]  # authlib ships no types
    """RFC 8693, section 2.2.2."""

    error = "invalid_target"


def _plain(text: str) -> str:
    return "".join(letter for letter in text[:80] if letter.isalnum() or letter in "-._~:/")


GRANTS: tuple[tuple[Any, tuple[Any, ...]], ...] = (
    (CodeGrant, (Pkce, OpenId)),
    (ClientCredentials, ()),
    (Refresh, ()),
    (Device, ()),
    (TokenExchange, ()),
)
