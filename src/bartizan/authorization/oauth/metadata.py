"""What applications find the server by (OpenID Connect Discovery, RFC 8414)."""

from typing import Any

from bartizan.authorization.clients import GRANT_TYPES
from bartizan.authorization.person import PHISHING_RESISTANT, TWO_FACTORS
from bartizan.identity.token_keys import ALGORITHM
from bartizan.model.authorization import OF_ALL, AuthorizationServer

_CLAIMS = "sub iss aud exp iat auth_time acr amr nonce sid preferred_username name groups"
_METHODS = ["client_secret_basic", "client_secret_post"]


def metadata(declared: AuthorizationServer) -> dict[str, Any]:
    """The metadata of this server."""
    at = declared.issuer
    return {
        "issuer": at,
        "authorization_endpoint": f"{at}/authorize",
        "token_endpoint": f"{at}/token",
        "jwks_uri": f"{at}/jwks",
        "userinfo_endpoint": f"{at}/userinfo",
        "device_authorization_endpoint": f"{at}/device_authorization",
        "revocation_endpoint": f"{at}/revoke",
        "introspection_endpoint": f"{at}/introspect",
        "end_session_endpoint": f"{at}/logout",
        "scopes_supported": [*OF_ALL, *declared.scopes],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(GRANT_TYPES.values()),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "token_endpoint_auth_methods_supported": [*_METHODS, "none"],
        "revocation_endpoint_auth_methods_supported": [*_METHODS, "none"],
        "introspection_endpoint_auth_methods_supported": _METHODS,
        "code_challenge_methods_supported": ["S256"],
        "acr_values_supported": [PHISHING_RESISTANT, TWO_FACTORS],
        "prompt_values_supported": ["none", "login", "consent"],
        "claims_supported": _CLAIMS.split(),
        "authorization_response_iss_parameter_supported": True,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }
