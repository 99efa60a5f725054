"""Lets people log in with a browser: OpenID Connect's authorization code flow with PKCE, and a session in cookies.

```yaml
kind: Login
name: orders-app
target: {api: orders}
issuer: corp
client_id: orders-app
client_secret: {file: login.secret}
authorization_endpoint: https://idp.example.com/authorize
token_endpoint: https://idp.example.com/token
callback: https://orders.example.com/orders/login/callback
```

Who opens a page and has no credential is sent to the `authorization_endpoint`, and comes back to the page with a session: the tokens,
encrypted, in cookies that scripts can't read and other sites can't use (`__Host-`, `HttpOnly`, `Secure`, `SameSite=Lax`). From then on each
request carries the access token, as if the browser had sent it, and is judged like any token's: `Authenticate` with `{jwt: corp}` says
whether it counts.

Nothing else is sent to log in: a script's call, a POST or a WebSocket without a session is refused with 401 by the policy that says so. A
credential that the caller shows is looked at instead of the session. The upstream sees neither the cookies nor, unless the API says
`forward_credentials`, the token; nor do routes that this policy doesn't cover.

`callback` is where the issuer sends people back to, as it is registered there; it lies within the target, and so does `logout`, which ends
the session, and that at the issuer too if there is an `end_session_endpoint`. The session is renewed by its refresh token, if the issuer
gives one (many want the scope `offline_access`), as long as it is used at least once in `session`. To end somebody's sessions at once,
block who it is.

The client's secret also encrypts the cookies: every node reads them, and another secret ends all sessions. It has 16 characters at least.
The policy can't be put in shadow. It runs in Envoy: 30 microseconds for a session, 8 for
another credential on these routes, and one or two on all others.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from bartizan.condition import Schema
from bartizan.envoy import names, packed
from bartizan.model.api import Endpoint, Upstream, UpstreamTls
from bartizan.model.fields import AsTuple, Duration, Name, SecretRef, UrlPath, is_host
from bartizan.model.named import Use, sent_to
from bartizan.model.policy import within
from bartizan.model.snapshot import Snapshot
from bartizan.model.team import covers
from bartizan.policies._kind import Fault, Fragment, Phase, Place, PolicyKind, Reference
from bartizan.policies.authenticate import Authenticate

_OWN = frozenset({"localhost", "127.0.0.1", "::1"})
_OAUTH = "envoy.extensions.filters.http.oauth2.v3"
_BY_ADS = {"ads": {}, "resource_api_version": "V3"}
_COOKIES = {
    **{"bearer_token": "token", "id_token": "id", "refresh_token": "refresh", "oauth_hmac": "hmac", "oauth_expires": "expires"},
    **{"oauth_nonce": "nonce", "code_verifier": "verifier"},
}
"""Envoy's cookies, and how the names of ours end."""
_CREDENTIALS = ("authorization", names.H_KEY, names.H_PRINCIPAL, names.H_CERTIFICATE, names.H_THUMBPRINT)
"""Headers of which each stands for a credential that the caller shows."""
_CHUNKS = 4
"""Cookies over which one token may be spread: browsers keep 4,096 bytes of each."""
Scope = Annotated[str, Field(pattern=r"^[!#-\[\]-~]{1,128}$")]


class Login(PolicyKind):
    """Let people log in with a browser."""

    kind: Literal["Login"] = "Login"
    phase: ClassVar[Phase] = Phase.AUTHENTICATION
    nearest: ClassVar[bool] = True
    may_shadow: ClassVar[bool] = False

    issuer: Name = Field(description="The Issuer whose access tokens a session holds.")
    client_id: str = Field(pattern=r"^[!-~]{1,256}$", description="What the gateway is called at the issuer.")
    client_secret: SecretRef = Field(description="The secret that the issuer has given it.")
    authorization_endpoint: str = Field(max_length=2048, description="Where people log in: the URL that the issuer's metadata tells.")
    token_endpoint: str = Field(max_length=2048, description="Where the gateway gets tokens; its metadata tells that, too.")
    end_session_endpoint: str | None = Field(default=None, max_length=2048, description="Where people log out at the issuer.")
    ca: str | None = Field(default=None, description="A file of CA certificates for the token endpoint; by default the system's.")
    callback: str = Field(max_length=2048, description="The URL to which the issuer sends people back.")
    logout: UrlPath | None = Field(default=None, description="The path that ends a session; by default `logout` beside the callback.")
    scopes: Annotated[tuple[Scope, ...], AsTuple] = Field(default=("openid",), min_length=1, description="The scopes that are asked for.")
    session: Duration = Field(
        default="12h", validate_default=True, description="How long a session that isn't used can be renewed. Its token may end sooner."
    )

    @field_validator("authorization_endpoint", "token_endpoint", "end_session_endpoint", "callback")
    @classmethod
    def _encrypted(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            host = parts.hostname or ""
            if parts.scheme not in {"http", "https"} or not (is_host(host) or host in _OWN) or parts.username is not None:
                raise ValueError("this has to be an https:// URL")
            if parts.scheme != "https" and host not in _OWN:
                raise ValueError("http:// is only for this machine's own addresses: tokens go there")
            if set(value) & set("%#\"'<>\\ ") or not value.isascii() or not value.isprintable():
                raise ValueError("this URL holds a character that isn't allowed here")
        return value

    @model_validator(mode="after")
    def _paths(self) -> "Login":
        for name in ("token_endpoint", "callback"):
            if "?" in getattr(self, name):
                raise ValueError(f"`{name}` has no query")
        if (urlsplit(self.callback).path or "/").endswith("/"):
            raise ValueError("`callback` has a path of its own, such as /orders/login/callback")
        if self.logout_path == urlsplit(self.callback).path:
            raise ValueError("`callback` and `logout` are two paths")
        return self

    @property
    def logout_path(self) -> str:
        """The path that ends a session."""
        return self.logout or urlsplit(self.callback).path.rpartition("/")[0] + "/logout"

    @property
    def use(self) -> Use:
        """What its secret is used for: the token endpoint is told it."""
        return sent_to(self.token_endpoint)

    @property
    def secret_names(self) -> tuple[str, str]:
        """What Envoy calls the client's secret, and what the cookies are encrypted with."""
        return names.login(self.name, self.client_secret.told, self.use)

    def compile(self, place: Place) -> Fragment:
        upstream = Upstream(endpoints=(Endpoint(url=_origin(self.token_endpoint)),), tls=UpstreamTls(ca=self.ca))
        cluster = names.cluster(upstream.endpoints[0].host, hashlib.sha256(f"login {upstream.model_dump_json()}".encode()).hexdigest())
        per_route = packed(f"{_OAUTH}.OAuth2PerRoute", config=self._config(cluster))
        return Fragment(per_filter={names.LOGIN: per_route}, upstreams={cluster: upstream})

    def _config(self, cluster: str) -> dict[str, Any]:
        callback = urlsplit(self.callback)
        ends = {"end_session_endpoint": self.end_session_endpoint} if self.end_session_endpoint else {}
        return {
            "token_endpoint": {"uri": self.token_endpoint, "cluster": cluster, "timeout": {"seconds": 5}},
            "authorization_endpoint": self.authorization_endpoint,
            **ends,
            "credentials": self._credentials(),
            "redirect_uri": self.callback,
            "redirect_path_matcher": {"path": {"exact": callback.path}},
            "signout_path": {"path": {"exact": self.logout_path}},
            "original_request_uri": _origin(self.callback),  # Envoy adds the path
            "forward_bearer_token": True,
            "pass_through_matcher": [{"name": name, "present_match": True} for name in _CREDENTIALS],
            "allow_failed_matcher": _NO_PAGE,
            "auth_scopes": list(self.scopes),
            "use_refresh_token": {"value": True},
            "default_refresh_token_expires_in": self.session,
            # Only who logs out at the issuer needs it again.
            "disable_id_token_set_cookie": not ends,
            "cookie_configs": {f"{name}_cookie_config": {"same_site": "LAX"} for name in _COOKIES},
            "token_cookie_chunking": {"max_chunks": {"value": _CHUNKS}},
            "stat_prefix": f"login/{self.name}",
        }

    def _credentials(self) -> dict[str, Any]:
        secret, cookies = self.secret_names
        return {
            "client_id": self.client_id,
            "token_secret": {"name": secret, "sds_config": _BY_ADS},
            "hmac_secret": {"name": cookies, "sds_config": _BY_ADS},
            "cookie_names": {name: f"{names.SESSION_COOKIE}{self.name}.{end}" for name, end in _COOKIES.items()},
        }

    def references(self) -> Iterator[Reference]:
        yield Reference(("issuer",), "Issuer", self.issuer)

    def faults(self, schema: Schema, files: Mapping[str, bytes]) -> Iterator[Fault]:
        if self.target.methods:
            hint = "Leave `methods` out: only pages that are opened are sent to log in."
            yield Fault(("target", "methods"), "login-target", "people are sent to log in, and come back, by GET", hint)

    def misfits(self, snapshot: Snapshot) -> Iterator[Fault]:
        ways = [method.jwt for policy in snapshot.policies if isinstance(policy, Authenticate) for method in policy.any]
        if ways and self.issuer not in ways:
            told = f"no Authenticate accepts tokens of {self.issuer!r}, so nobody who has logged in would be let through"
            yield Fault(("issuer",), "login-useless", told, f"Say so where people log in: any: [{{jwt: {self.issuer}}}].")
        issuer = snapshot.issuers.get(self.issuer)
        if issuer is not None and not issuer.has_keys:
            told = f"tokens of {self.issuer!r} can only be asked about, and a session holds one that Envoy can check itself"
            yield Fault(("issuer",), "login-opaque", told, "Give the Issuer `jwks`, if its access tokens are JWTs.")
        yield from self._outside(snapshot)

    def _outside(self, snapshot: Snapshot) -> Iterator[Fault]:
        callback = urlsplit(self.callback)
        apis = [api for api in snapshot.apis.values() if self.target.api in {None, api.name}]
        for field, path in (("callback", callback.path), ("logout", self.logout_path)):
            if not any(self._covers(path, api.paths) for api in apis):
                told = f"{path} isn't within what this policy covers, so nobody who comes there would be met"
                yield Fault((field,), "login-outside", told, "Choose a path below the target's.")
        if not any(covers(host, callback.hostname or "") for api in apis for host in api.hosts):
            yield Fault(("callback",), "login-host", f"no API that this policy covers answers on {callback.hostname}")

    def _covers(self, path: str, paths: tuple[str, ...]) -> bool:
        inside = any(within(path, one) for one in paths) and (not self.target.paths or any(within(path, one) for one in self.target.paths))
        return inside and not any(within(path, one) for one in self.target.exclude)


_NO_PAGE = [
    {"name": ":method", "string_match": {"exact": "GET"}, "invert_match": True},
    {"name": "accept", "string_match": {"contains": "text/html"}, "invert_match": True, "treat_missing_header_as_empty": True},
    {"name": "sec-fetch-mode", "string_match": {"safe_regex": {"regex": "navigate|"}}, "invert_match": True},
]
"""What isn't a page that somebody opens, so that nobody would see where to log in. Any of these."""


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
