"""AuthorizationServer: the embedded OAuth 2.0 and OpenID Connect server, its clients, and the providers to which it sends people."""

import re
from datetime import timedelta
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from bartizan.lib.urls import is_private
from bartizan.model.fields import AsTuple, Declared, Duration, Name, SecretRef
from bartizan.model.named import Use, sent_to

Grant = Literal["authorization_code", "refresh_token", "client_credentials", "device_code", "token_exchange"]
PersonRole = Literal["viewer", "proposer", "editor", "approver", "admin"]
Scope = Annotated[str, Field(pattern=r"^[!#-\[\]-~]{1,128}$")]
Audience = Annotated[str, Field(pattern=r"^[!-~]{1,256}$")]
COMMAND_LINE = "bartizan-cli"
"""The client that is there without being declared: the command line, when somebody logs in to the admin API with a browser."""
OF_ALL = ("openid", "profile", "groups", "offline_access")
"""Scopes that need no declaration."""
_ORIGIN = re.compile(r"(https(?!.*:443$)|http(?!.*:80$))://[a-z0-9.-]+(:[1-9][0-9]{0,4})?")
_OURS = "urn:bartizan:"
_OWN = re.compile(r"[A-Za-z][A-Za-z0-9+-]*(\.[A-Za-z0-9+-]+)+:[!-~]*")
_LONGEST_ACCESS = timedelta(hours=1)


class Client(Declared):
    """An application that gets tokens here."""

    title: str = Field(default="", max_length=64, description="What people are shown as its name.")
    grants: Annotated[tuple[Grant, ...], AsTuple] = Field(
        default=("authorization_code", "refresh_token"), min_length=1, description="How it may get tokens."
    )
    redirect_uris: Annotated[tuple[Annotated[str, Field(max_length=2048)], ...], AsTuple] = Field(
        default=(), max_length=20, description="Where people are sent back to, exactly. On http://127.0.0.1 any port will do (RFC 8252)."
    )
    logout_uris: Annotated[tuple[Annotated[str, Field(max_length=2048)], ...], AsTuple] = Field(
        default=(), max_length=20, description="Where people may be sent after they logged out."
    )
    secret: SecretRef | None = Field(default=None, description="Its secret. Without one it is a public client, such as an app on a phone.")
    scopes: Annotated[tuple[Scope, ...], AsTuple] = Field(default=("openid", "profile"), max_length=100, description="What it may ask for.")
    audiences: Annotated[tuple[Audience, ...], AsTuple] = Field(
        default=(), max_length=20, description="For whom its access tokens are meant (`aud`); by default for nobody but itself."
    )
    consent: Literal["ask", "given"] = Field(
        default="ask", description="ask: people are asked what it may do for them, once; given: it is the owner's own application."
    )

    @field_validator("redirect_uris", "logout_uris")
    @classmethod
    def _private(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            # A scheme of an app's own is its domain, reversed (RFC 8252, section 7.1): never javascript: or data:.
            if "#" in one or not (is_private(one) or _OWN.fullmatch(one)):
                raise ValueError(f"{one!r} is neither an https:// URL nor an app's own, such as com.example.app:/callback")
        return value

    @model_validator(mode="after")
    def _whole(self) -> "Client":
        if "authorization_code" in self.grants and not self.redirect_uris:
            raise ValueError("a client with the grant authorization_code names its `redirect_uris`")
        if self.secret is None and {"client_credentials", "token_exchange"} & set(self.grants):
            raise ValueError("the grants client_credentials and token_exchange are for clients with a `secret`")
        if "refresh_token" in self.grants and not {"authorization_code", "device_code"} & set(self.grants):
            raise ValueError("refresh tokens come with the grants authorization_code and device_code")
        return self


class Outside(Declared):
    """An OpenID provider elsewhere, with which people may log in here."""

    title: str = Field(default="", max_length=64, description="What people are shown as its name.")
    issuer: str = Field(max_length=512, description="Its issuer, exactly: its metadata is found by it (OpenID Connect Discovery).")
    client_id: str = Field(pattern=r"^[!-~]{1,256}$", description="As what it knows us.")
    client_secret: SecretRef = Field(description="The secret that goes with it.")
    scopes: Annotated[tuple[Scope, ...], AsTuple] = Field(default=("openid", "profile"), min_length=1, description="What it is asked for.")
    groups: str | None = Field(default=None, max_length=128, description="The claim of its ID tokens that holds the groups.")
    trusted_groups: Annotated[tuple[Name, ...], AsTuple] = Field(
        default=(), max_length=100, description="The groups that it may tell; it tells none unless they stand here."
    )
    factors: Literal["ignore", "trust"] = Field(
        default="ignore", description="trust: what it says of how somebody logged in (`amr`, `acr`) counts as if it had been here."
    )

    @field_validator("issuer")
    @classmethod
    def _found(cls, value: str) -> str:
        if not is_private(value) or "?" in value or "#" in value:
            raise ValueError("an issuer is an https:// URL without query and fragment; http:// only on loopback")
        return value

    @property
    def use(self) -> Use:
        """What the secret is used for: it is sent to the provider."""
        return sent_to(self.issuer)


class Mapped(Declared):
    """What members of a group are at the admin API."""

    role: PersonRole = Field(description="What they may do.")
    team: Name | None = Field(default=None, description="The team whose things alone they may change.")

    @model_validator(mode="after")
    def _not_beyond(self) -> "Mapped":
        if self.role == "admin" and self.team is not None:
            raise ValueError("an admin belongs to no team: what it may do reaches beyond one")
        return self


class Operating(Declared):
    """How people log in to the admin API."""

    groups: dict[Name, Mapped] = Field(
        default_factory=dict,
        description="What members of these groups are there; the first that fits counts. People with a role have that.",
    )
    phishing_resistant: Annotated[tuple[PersonRole, ...], AsTuple] = Field(
        default=(), description="Roles that are only for who has logged in with a passkey: a password with a code isn't enough for them."
    )


class AuthorizationServer(Declared):
    """An authorization server of the gateway's own: people of `bartizan people` log in there, applications get tokens."""

    issuer: str = Field(max_length=512, description="Its own URL as callers see it, such as https://login.example.com.")
    listen: str = Field(
        default="127.0.0.1:8090",
        pattern=r"^(127\.0\.0\.1|\[::1\]):[1-9][0-9]{0,4}$",
        description="Where the control plane serves it, on loopback: the upstream of the Api that brings callers there.",
    )
    clients: dict[Name, Client] = Field(default_factory=dict, description="The applications that get tokens here, by their client_id.")
    scopes: dict[Scope, Annotated[str, Field(max_length=200)]] = Field(
        default_factory=dict, description="Scopes of your APIs, each with what people are told that it allows."
    )
    access_token: Duration = Field(default="5m", validate_default=True, description="How long an access token counts, up to 1h.")
    refresh_token: Duration = Field(default="30d", validate_default=True, description="How long a refresh token counts that isn't used.")
    session: Duration = Field(default="8h", validate_default=True, description="How long somebody stays logged in.")
    keys: Duration = Field(default="30d", validate_default=True, description="How long a key signs before another does.")
    outside: dict[Name, Outside] = Field(default_factory=dict, description="OpenID providers elsewhere, with which people may log in.")
    operators: Operating = Field(default=Operating(), description="How people log in to the admin API.")

    @field_validator("issuer")
    @classmethod
    def _bare(cls, value: str) -> str:
        # As browsers write an origin: passkeys belong to its host, which is a name.
        if not _ORIGIN.fullmatch(value) or not is_private(value) or re.fullmatch(r"[0-9.]+", urlsplit(value).hostname or ""):
            raise ValueError(
                "this issuer is https:// and a name in lower case, such as https://login.example.com; http:// only on localhost"
            )
        return value

    @field_validator("listen")
    @classmethod
    def _port(cls, value: str) -> str:
        if int(value.rpartition(":")[2]) > 65535:
            raise ValueError("`listen` is an address on loopback with a port up to 65535")
        return value

    @model_validator(mode="after")
    def _whole(self) -> "AuthorizationServer":
        if not timedelta(seconds=10) <= self.access_token <= _LONGEST_ACCESS:
            raise ValueError("`access_token` is between 10s and 1h: so long a token counts that nobody revokes")
        for name, least in (("refresh_token", timedelta(minutes=1)), ("session", timedelta(minutes=1)), ("keys", timedelta(hours=1))):
            if not least <= getattr(self, name) <= timedelta(days=366):
                raise ValueError(f"`{name}` is between {least} and a year")
        if COMMAND_LINE in self.clients:
            raise ValueError(f"the client {COMMAND_LINE} is the command line, which needs no declaration")
        if ours := [one for client in self.clients.values() for one in client.audiences if one.startswith(_OURS)]:
            raise ValueError(f"the audience {ours[0]!r} is Bartizan's own: nobody logs in to the admin API by another application")
        known = {*self.scopes, *OF_ALL}
        for name, client in self.clients.items():
            if unknown := [one for one in client.scopes if one not in known]:
                raise ValueError(f"the client {name} asks for the scope {unknown[0]!r}, which isn't among `scopes`")
        return self

    @property
    def host(self) -> str:
        """The host people see: passkeys belong to it."""
        return urlsplit(self.issuer).hostname or ""
