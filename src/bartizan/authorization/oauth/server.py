"""Authlib's server on our parts: applications, codes, tokens."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749 import AuthorizationServer as Authlib
from authlib.oauth2.rfc6749 import OAuth2Error
from authlib.oauth2.rfc6749.errors import InvalidRequestError
from starlette.responses import JSONResponse, RedirectResponse, Response

from bartizan.authorization.asking import Asked, OAuthRequest
from bartizan.authorization.clients import Known, client
from bartizan.authorization.oauth.codes import Codes, DeviceCodes
from bartizan.authorization.oauth.endpoints import DeviceAuthorization, Introspection, Revocation
from bartizan.authorization.oauth.grants import GRANTS
from bartizan.authorization.person import Person
from bartizan.authorization.surroundings import Around
from bartizan.authorization.tokens import Tokens
from bartizan.model.authorization import OF_ALL, AuthorizationServer


class Server(Authlib):  # type: ignore[misc]  # authlib ships no types
    """The server of one declaration."""

    def __init__(self, declared: AuthorizationServer, tokens: Tokens, codes: Codes, devices: DeviceCodes, around: Around) -> None:
        super().__init__(scopes_supported=[*OF_ALL, *declared.scopes])
        self.declared, self.tokens, self.codes, self.devices, self.around = declared, tokens, codes, devices, around
        for grant, extensions in GRANTS:
            self.register_grant(grant, [_anew(extension) for extension in extensions])
        for endpoint in (Revocation, Introspection, DeviceAuthorization):
            self.register_endpoint(endpoint)

    def query_client(self, client_id: str) -> Known | None:
        return client(self.declared, client_id, self.around)

    def save_token(self, token: Any, request: Any) -> None:
        """Everything is kept already, when it is made."""

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: Any) -> OAuthRequest:
        return request if isinstance(request, OAuthRequest) else OAuthRequest(request, self.declared.issuer)

    def handle_response(self, status: int, body: Any, headers: Any) -> Response:
        told = dict(headers)
        if location := next((value for name, value in told.items() if name.lower() == "location"), ""):
            # Whoever asked several servers has to be able to tell who answers (RFC 9207).
            return RedirectResponse(add_params_to_uri(location, {"iss": self.declared.issuer}), status_code=303)
        shown = {name: value for name, value in told.items() if name.lower() != "content-type"}
        return JSONResponse(dict(body) if body else {}, status_code=status, headers=shown | {"cache-control": "no-store"})

    def decided(self, grant: Any, who: Person | None) -> Response:
        """Sends somebody back to the application: with a code, or with None refused."""
        answer: Response = self.create_authorization_response(grant.request, who, grant)
        return answer

    def refused(self, error: OAuth2Error) -> Response:
        """What an application is told that is wrong."""
        answer: Response = self.handle_error_response(None, error)
        return answer

    def answered(self, asked: Asked, endpoint: str = "") -> Response:
        """The token endpoint's answer; or that of another `endpoint`."""
        try:
            request = OAuthRequest(asked, self.declared.issuer)
            if repeated := [name for name, values in request.payload.datalist.items() if len(values) > 1 and name not in _SEVERAL]:
                raise InvalidRequestError(f"Multiple '{_plain(repeated[0])}' in request.")
            found = self.create_endpoint_response(endpoint, request) if endpoint else self.create_token_response(request)
        except OAuth2Error as error:
            return self.refused(error)
        except ValueError:  # authlib's own, if what a caller sent can't stand in an error's description
            return self.refused(InvalidRequestError())
        return found if isinstance(found, Response) else JSONResponse({})


def _anew(extension: Callable[[], Callable[[Any], None]]) -> Callable[[Any], None]:
    """An extension that is made for each grant: it keeps what it knows of the request, and many are answered at once."""
    return lambda grant: extension()(grant)


_SEVERAL = frozenset({"audience", "resource"})


def _plain(text: str) -> str:
    return "".join(letter for letter in text[:40] if letter.isalnum() or letter in "_-")


def origin_of(redirect_uri: str) -> str:
    """What a page's policy calls the place to which it sends people on."""
    parts = urlsplit(redirect_uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"
