"""An issuer whose keys are found by its own metadata, and whose tokens are of one type: with a real web server and real tokens."""

import json
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
import pytest_asyncio

from tests.e2e.gateway import Gateway, TokenIssuer, gateway, upstream
from tests.e2e.test_credentials import Published, publishing

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Issuer
name: corp
issuer: http://127.0.0.1:PUBLISHED/realms/corp
audiences: [orders]
types: [at+jwt]
---
kind: Issuer
name: plain
issuer: http://127.0.0.1:PUBLISHED
audiences: [orders]
---
kind: Authenticate
name: callers
any: [{jwt: corp}, {jwt: plain}]
"""
OIDC, OAUTH = "/realms/corp/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"

pytestmark = pytest.mark.asyncio(loop_scope="module")


class World:
    """A gateway, and what its two issuers publish."""

    def __init__(self, gw: Gateway, there: Published) -> None:
        self.gw, self.there = gw, there
        self.url = f"http://127.0.0.1:{there.port}"
        self.corp, self.plain = TokenIssuer(url=f"{self.url}/realms/corp"), TokenIssuer(url=self.url, kid="p1")
        self.publish()

    def publish(self) -> None:
        for place, issuer, keys in ((OIDC, self.corp, "/corp"), (OAUTH, self.plain, "/plain")):
            self.there.answers[place] = 200, json.dumps({"issuer": issuer.url, "jwks_uri": self.url + keys})
            self.there.answers[keys] = 200, issuer.jwks()

    async def status(self, token: str) -> int:
        return (await self.gw.get("/orders", headers={"authorization": f"Bearer {token}"})).status_code


def typed(issuer: TokenIssuer, typ: Any) -> str:
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    return jwt.encode(claims, issuer.key, "RS256", headers={"kid": issuer.kid, "typ": typ})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    with upstream() as port, publishing() as there:
        files = {"all.yaml": FILES.replace("UPSTREAM", str(port)).replace("PUBLISHED", str(there.port))}
        there.answers.update({OIDC: (500, ""), OAUTH: (500, "")})
        async with gateway(tmp_path_factory.mktemp("discovery"), files) as gw:
            yield World(gw, there)


async def test_keys_are_found_where_the_issuer_says_once_it_does(world: World) -> None:
    async def counts(token: str) -> bool:
        return await world.status(token) == 200

    await world.gw.eventually(lambda: counts(world.plain.token()), 8)
    await world.gw.eventually(lambda: counts(typed(world.corp, "at+jwt")), 8)
    assert await world.status(TokenIssuer(url=world.corp.url).token()) == 401


async def test_what_it_publishes_wrongly_later_costs_nothing(world: World) -> None:
    before = len(world.there.asked)
    world.there.answers[OIDC] = 200, json.dumps({"issuer": "http://evil.example", "jwks_uri": f"{world.url}/plain"})
    stranger = TokenIssuer(url=world.corp.url, kid="unknown")
    assert await world.status(typed(stranger, "at+jwt")) == 401  # has the keys fetched anew

    async def asked() -> bool:
        return OIDC in world.there.asked[before:]

    await world.gw.eventually(asked, 5)
    assert await world.status(typed(world.corp, "at+jwt")) == 200
    world.publish()


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
async def test_tokens_of_the_named_type_count(world: World, typ: str) -> None:
    token = typed(world.corp, typ)
    assert [await world.status(token) for _ in range(3)] == [200] * 3


@pytest.mark.parametrize(
    "typ", [None, "", "JWT", "id+jwt", "at+jwt ", "xat+jwt", "at-jwt", "atjwt", "at+jwt\n", ["at+jwt"], {"at+jwt": 1}, 1], ids=str
)
async def test_tokens_of_another_type_dont(world: World, typ: Any) -> None:
    token = typed(world.corp, typ)
    for _ in range(2):
        answer = await world.gw.get("/orders", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="edge", error="invalid_token"'
        record = await world.gw.record(answer)
        assert record["details"] in {"rbac_access_denied_matched_policy[wrong-token-type]"} or record["details"].startswith("jwt_authn")


async def test_an_issuer_that_names_no_type_takes_any(world: World) -> None:
    assert await world.status(typed(world.plain, "whatever")) == 200
    assert await world.status(typed(world.plain, None)) == 200
