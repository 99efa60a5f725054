"""Where an issuer's keys are: found by what it publishes itself, and believed only as far as that can be."""

import json
from typing import Any

import pytest

from bartizan.identity.discovery import jwks_url, places

FAR = "https://203.0.113.7"


def test_where_metadata_may_be() -> None:
    assert places("https://idp.example.com") == (
        "https://idp.example.com/.well-known/openid-configuration",
        "https://idp.example.com/.well-known/oauth-authorization-server",
    )
    for issuer in ("https://idp.example.com/realms/one", "https://idp.example.com/realms/one/"):
        assert places(issuer) == (
            "https://idp.example.com/realms/one/.well-known/openid-configuration",
            "https://idp.example.com/.well-known/oauth-authorization-server/realms/one",
        )


async def found(issuer: str, told: Any, at: int = 0) -> str:
    there = {places(issuer)[at]: told if isinstance(told, bytes) else json.dumps(told).encode()}

    async def get(url: str) -> bytes | None:
        return there.get(url)

    return await jwks_url(issuer, get)


@pytest.mark.parametrize("at", [0, 1])
async def test_its_own_metadata_is_believed(at: int) -> None:
    for url in (f"{FAR}/keys", "https://198.51.100.2/keys?a=b"):
        assert await found(FAR, {"issuer": FAR, "jwks_uri": url}, at) == url


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (b"<html>", "no JSON"),
        ([], "another issuer"),
        ({"jwks_uri": f"{FAR}/keys"}, "another issuer"),
        ({"issuer": FAR + "/", "jwks_uri": f"{FAR}/keys"}, "another issuer"),
        ({"issuer": "https://203.0.113.8", "jwks_uri": f"{FAR}/keys"}, "another issuer"),
        ({"issuer": FAR}, "no jwks_uri"),
        ({"issuer": FAR, "jwks_uri": ["x"]}, "no jwks_uri"),
        ({"issuer": FAR, "jwks_uri": "http://203.0.113.7/keys"}, "no https:// URL"),
        ({"issuer": FAR, "jwks_uri": "file:///etc/passwd"}, "no https:// URL"),
        ({"issuer": FAR, "jwks_uri": "keys"}, "no https:// URL"),
        ({"issuer": FAR, "jwks_uri": "https://127.0.0.1:9901/keys"}, "this machine"),
        ({"issuer": FAR, "jwks_uri": "https://169.254.169.254/latest"}, "this machine"),
        ({"issuer": FAR, "jwks_uri": "https://localhost/keys"}, "this machine"),
        ({"issuer": FAR, "jwks_uri": "https:///keys"}, "this machine"),
    ],
    ids=str,
)
async def test_what_it_publishes_otherwise_isnt_followed(told: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        await found(FAR, told)


async def test_an_issuer_on_this_machine_may_keep_its_keys_here() -> None:
    here = "http://127.0.0.1:9000"
    assert await found(here, {"issuer": here, "jwks_uri": f"{here}/keys"}) == f"{here}/keys"


async def test_an_issuer_that_publishes_nothing_is_told() -> None:
    async def get(_url: str) -> bytes | None:
        return None

    with pytest.raises(ValueError, match=r"there is no metadata at https://203\.0\.113\.7/\.well-known"):
        await jwks_url(FAR, get)
