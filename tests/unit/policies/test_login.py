"""What a Login may say: where people are sent, where they come back, and where secrets go."""

import pytest

from bartizan.compile.read import assemble, read
from bartizan.model.snapshot import Snapshot

FRAME = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
---
{kind: Api, name: orders, hosts: [orders.example.com], paths: [/orders], upstream: "http://127.0.0.1:9101"}
---
{kind: Api, name: other, hosts: ["*.other.example.com"], paths: [/other], upstream: "http://127.0.0.1:9101"}
---
{kind: Authenticate, name: all, any: [{jwt: corp}, {jwt: opaque}]}
---
kind: Issuer
name: opaque
issuer: https://opaque.example.com
audiences: [orders]
introspection: {url: "https://opaque.example.com/i", client_id: gw, client_secret: {env: ASKS}}
---
{kind: Issuer, name: corp, issuer: "https://idp.example.com", audiences: [orders], jwks: {keys: []}}
---
{kind: Issuer, name: second, issuer: "https://second.example.com", audiences: [orders], jwks: {keys: []}}
"""
FIELDS = {
    "kind": "Login",
    "name": "app",
    "issuer": "corp",
    "client_id": "orders-app",
    "client_secret": "{env: LOGIN_SECRET}",
    "authorization_endpoint": "https://idp.example.com/authorize",
    "token_endpoint": "https://idp.example.com/token",
    "callback": "https://orders.example.com/orders/login/callback",
}


def problems(**changed: str) -> list[str]:
    """The codes of what is wrong, with the fields."""
    text = "\n".join(f"{name}: {value}" for name, value in {**FIELDS, **changed}.items())
    found = assemble([read(FRAME, "frame.yaml"), own := read(text, "login.yaml")], {})
    if own.problems:
        return [f"{one.code}: {one.at}" for one in own.problems]
    return [] if isinstance(found, Snapshot) else [one.code for one in found]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"target": "{api: orders}"},
        {"target": "{paths: [/orders/login]}", "logout": "/orders/login/out"},
        {"callback": "https://app.other.example.com/other/cb", "target": "{api: other}"},
        {"authorization_endpoint": "https://idp.example.com/authorize?prompt=login"},
        {"authorization_endpoint": "http://127.0.0.1:9999/authorize", "token_endpoint": "http://localhost:9999/token"},
    ],
)
def test_what_is_in_order(changed: dict[str, str]) -> None:
    assert problems(**changed) == []


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"callback": "https://orders.example.com/elsewhere/cb"}, "login-outside"),
        ({"target": "{api: orders, except: [/orders/login]}"}, "login-outside"),
        ({"target": "{paths: [/orders/app]}"}, "login-outside"),
        ({"logout": "/goodbye"}, "login-outside"),
        ({"callback": "https://evil.example.com/orders/login/callback"}, "login-host"),
        ({"callback": "https://other.example.com/other/cb", "target": "{api: other}"}, "login-host"),
        ({"target": "{methods: [GET]}"}, "login-target"),
        ({"issuer": "second"}, "login-useless"),
        ({"issuer": "opaque"}, "login-opaque"),
        ({"issuer": "nobody"}, "issuer-unknown"),
        ({"mode": "shadow"}, "mode-unsupported"),
        ({"callback": "http://orders.example.com/orders/login/callback"}, "callback"),
        ({"callback": "https://orders.example.com/orders/login/callback?x=1"}, "field-value-error"),
        ({"callback": "https://orders.example.com"}, "field-value-error"),
        ({"callback": "https://orders.example.com/orders/%REQ(x)%"}, "callback"),
        ({"logout": "/orders/login/callback"}, "field-value-error"),
        ({"token_endpoint": "http://idp.example.com/token"}, "token_endpoint"),
        ({"token_endpoint": "https://me:pw@idp.example.com/token"}, "token_endpoint"),
        ({"token_endpoint": "ftp://idp.example.com/token"}, "token_endpoint"),
        ({"client_secret": "open"}, "client_secret"),
        ({"scopes": '["a b"]'}, "scopes"),
        ({"scopes": "[]"}, "scopes"),
    ],
)
def test_what_is_not(changed: dict[str, str], wrong: str) -> None:
    found = problems(**changed)
    assert found and any(wrong in one for one in found), found
