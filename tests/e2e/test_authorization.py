"""The authorization server behind a real gateway, asked by a client library: every grant, and that the gateway takes what it gives."""

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
import pytest_asyncio
from authlib.integrations.base_client.errors import OAuthError

from tests.e2e.agreement import agrees
from tests.e2e.authorizing import CALLBACK, SECRET, World, authorizing

VERIFIER = "v3rifier-" * 6
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with authorizing(tmp_path_factory.mktemp("authorization")) as one:
        await one.person("ines", "sales")
        one.ines = await one.logged_in("ines")  # type: ignore[attr-defined]
        yield one


def ines(world: World) -> httpx.AsyncClient:
    return world.ines  # type: ignore[attr-defined, no-any-return]


def parameters(answer: httpx.Response) -> dict[str, str]:
    """What an application is sent back with."""
    assert answer.status_code == 303, answer.text
    assert answer.headers["location"].startswith(CALLBACK + "?"), answer.headers["location"]
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


async def asks(world: World, name: str = "web", browser: httpx.AsyncClient | None = None, **more: Any) -> httpx.Response:
    """An application sends somebody to the authorization endpoint."""
    secret = SECRET if name == "web" else None
    wanted = {"scope": "openid profile groups orders.read", **more}
    url, _ = world.application(name, secret, **{"scope": wanted.pop("scope")}).create_authorization_url(
        f"{world.issuer}/authorize", state="s-1", code_verifier=VERIFIER, **wanted
    )
    return await (browser or ines(world)).get(url)


def leads(page: httpx.Response) -> str:
    return str(re.findall(r'name="in" value="([^"]+)"', page.text)[0])


async def decides(world: World, page: httpx.Response, decision: str = "allow", browser: httpx.AsyncClient | None = None) -> httpx.Response:
    """Somebody decides on the page that asks them."""
    return await (browser or ines(world)).post("/consent", data={"in": leads(page), "decision": decision}, headers=world.form)


async def allowed(world: World, name: str = "web", **more: Any) -> dict[str, Any]:
    """The tokens of an application that somebody allowed what it asked for."""
    answer = await asks(world, name, **more)
    if answer.status_code == 200:
        answer = await decides(world, answer)
    async with world.application(name, SECRET if name == "web" else None) as application:
        token = await application.fetch_token(f"{world.issuer}/token", code=parameters(answer)["code"], code_verifier=VERIFIER)
    return dict(token)


def claims(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


async def refused_soon(world: World, token: str) -> float:
    """Seconds until the gateway refuses a token that it takes now."""
    began = time.monotonic()

    async def gone() -> bool:
        return (await world.call(token)).status_code in (401, 403)

    await world.gw.eventually(gone)
    return time.monotonic() - began


async def test_somebody_allows_an_application_and_the_gateway_takes_its_token(world: World) -> None:
    page = await asks(world)
    for words in ("Allow Orders on the web?", "see your orders", "https://app.example.com", "ines"):
        assert words in page.text
    told = parameters(await decides(world, page))
    assert told["state"] == "s-1" and told["iss"] == world.issuer
    async with world.application() as application:
        token = await application.fetch_token(f"{world.issuer}/token", code=told["code"], code_verifier=VERIFIER)
    assert token["token_type"] == "Bearer" and 100 < token["expires_in"] <= 120
    found = claims(token["access_token"])
    assert (found["iss"], found["aud"], found["client_id"], found["groups"], found["acr"]) == (
        world.issuer,
        "orders",
        "web",
        ["sales"],
        "mfa",
    )
    assert found["sub"].startswith("usr_") and found["amr"] == ["pwd", "otp", "mfa"] and found["exp"] - found["iat"] == 120
    assert jwt.get_unverified_header(token["access_token"])["typ"] == "at+jwt"
    assert [(await world.call(token["access_token"], path)).status_code for path in ("/orders/1", "/orders/sales", "/orders/strong")] == [
        200,
        200,
        401,
    ]
    again = await asks(world)
    assert again.status_code == 303, "they were asked once"


async def test_an_id_token_is_for_the_application_and_of_this_login(world: World) -> None:
    token = await allowed(world, nonce="n-7")
    keys = (await ines(world).get("/jwks")).json()["keys"]
    assert all(set(key) == {"crv", "kty", "x", "y", "kid", "use", "alg"} for key in keys), "public parts alone"
    header = jwt.get_unverified_header(token["id_token"])
    key = jwt.PyJWK(next(one for one in keys if one["kid"] == header["kid"]))
    found = jwt.decode(token["id_token"], key, ["ES256"], audience="web", issuer=world.issuer)
    assert found["nonce"] == "n-7" and found["preferred_username"] == "ines" and found["groups"] == ["sales"] and "at_hash" in found
    assert (await world.call(token["id_token"])).status_code == 401, "it is no access token"


async def test_who_isnt_logged_in_logs_in_first_and_goes_on(world: World) -> None:
    browser = world.browser()
    answer = await asks(world, browser=browser)
    assert answer.status_code == 303 and answer.headers["location"].startswith("/login?in=")
    page = await browser.get(answer.headers["location"])
    assert "to go on to <strong>Orders on the web</strong>" in page.text
    shown = {"name": "ines", "password": "wrong horse battery", "code": world.code("ines"), "in": leads(page)}
    wrong = await browser.post("/login", data=shown, headers=world.form)
    assert wrong.status_code == 403 and "Name, password or code is wrong" in wrong.text and not browser.cookies
    done = await browser.post("/login", data={**shown, "password": "correct horse battery"}, headers=world.form)
    cookie = done.headers["set-cookie"]
    assert cookie.startswith("__Host-bartizan=") and all(one in cookie for one in ("HttpOnly", "Secure", "Path=/", "SameSite=lax"))
    assert "Domain" not in cookie
    assert "code" in parameters(await browser.get(done.headers["location"]))


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"prompt": "none", "max_age": "0"}, "login_required"),
        ({"prompt": "none", "acr_values": "phr"}, "login_required"),
        ({"acr_values": "urn:unheard-of"}, "unmet_authentication_requirements"),
        ({"scope": "orders.write"}, "invalid_scope"),
        ({"scope": "unheard.of"}, "invalid_scope"),
        ({"response_type": "token"}, "unsupported_response_type"),
    ],
    ids=["old-login", "weak-login", "unknown-acr", "scope-of-others", "unknown-scope", "implicit"],
)
async def test_what_cant_be_had_is_told_to_the_application(world: World, more: dict[str, str], error: str) -> None:
    await allowed(world)
    told = parameters(await asks(world, **more))
    assert (told["error"], told["state"], told["iss"]) == (error, "s-1", world.issuer), told
    assert "code" not in told


async def test_a_challenge_is_needed_and_its_hash(world: World) -> None:
    await allowed(world)
    for more in ({"code_challenge_method": "plain"}, {"code_challenge_method": ""}, {"code_challenge": ""}, {"code_challenge": "short"}):
        told = parameters(await ines(world).get("/authorize", params=asked(**more)))
        assert told["error"] == "invalid_request", more


async def test_nobody_is_sent_anywhere_that_isnt_the_applications(world: World) -> None:
    await allowed(world)
    for uri in (
        "https://evil.example.com/callback",
        CALLBACK + "/more",
        CALLBACK + "?x=1",
        "javascript:alert(1)",
        "//evil",
        CALLBACK + "\n",
    ):
        answer = await ines(world).get("/authorize", params={**asked(), "redirect_uri": uri})
        assert answer.status_code == 400 and "location" not in answer.headers, uri
    for name in ("nobody", "", "batch", "tv"):
        answer = await ines(world).get("/authorize", params={**asked(), "client_id": name})
        assert answer.status_code == 400 and "location" not in answer.headers, name


def asked(**more: str) -> dict[str, str]:
    """What an application asks for, by hand."""
    base = {"response_type": "code", "client_id": "web", "redirect_uri": CALLBACK, "scope": "openid orders.read", "state": "s-1"}
    return {**base, "code_challenge": "c" * 43, "code_challenge_method": "S256", **more}


async def test_somebody_refuses(world: World) -> None:
    told = parameters(await decides(world, await asks(world, prompt="consent"), "deny"))
    assert told["error"] == "access_denied" and "code" not in told


async def test_a_code_counts_once_and_for_whoever_it_was_given_to(world: World) -> None:
    await allowed(world)
    for form in (
        {"client_id": "own"},
        {"code_verifier": "w" * 54},
        {"redirect_uri": "https://app.example.com/other"},
        {"code_verifier": ""},
    ):
        code = parameters(await asks(world))["code"]
        whole = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER, **form}
        auth = None if "client_id" in form else ("web", SECRET)
        answer = await ines(world).post("/token", data=whole, auth=auth)
        assert answer.status_code == 400 and answer.json()["error"] in ("invalid_grant", "invalid_request"), (form, answer.text)
        good = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
        assert (await ines(world).post("/token", data=good, auth=("web", SECRET))).status_code == 400, "who tries once has used it"


async def test_a_code_that_is_used_again_takes_back_what_it_gave(world: World) -> None:
    await allowed(world)
    code = parameters(await asks(world))["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    first = (await ines(world).post("/token", data=form, auth=("web", SECRET))).json()
    assert (await world.call(first["access_token"])).status_code == 200
    assert (await ines(world).post("/token", data=form, auth=("web", SECRET))).status_code == 400
    assert await refused_soon(world, first["access_token"]) < 1
    renewed = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    assert (await ines(world).post("/token", data=renewed, auth=("web", SECRET))).status_code == 400


async def test_an_application_shows_its_secret_and_no_other(world: World) -> None:
    elsewhere = httpx.AsyncHTTPTransport(local_address="127.0.0.9")
    async with httpx.AsyncClient(transport=elsewhere, base_url=world.gw.url, headers={"host": urlsplit(world.issuer).netloc}) as guesser:
        for auth in (("web", "wrong"), ("web", ""), ("nobody", SECRET), ("own", SECRET), ("batch", SECRET[:-1])):
            answer = await guesser.post("/token", data={"grant_type": "client_credentials"}, auth=auth)
            assert answer.status_code == 401 and answer.json()["error"] == "invalid_client", auth
        for form in ({"client_id": "batch"}, {"client_id": "batch", "client_secret": "wrong"}, {}):
            answer = await guesser.post("/token", data={"grant_type": "client_credentials", **form})
            assert answer.status_code in (400, 401) and answer.json()["error"] == "invalid_client"
        for number in range(10):
            await guesser.post("/token", data={"grant_type": "client_credentials"}, auth=("batch", f"guess {number}"))
        right = await guesser.post("/token", data={"grant_type": "client_credentials"}, auth=("batch", SECRET))
        assert right.status_code == 429, "who guesses is locked out for a while"
    async with world.application("batch") as batch:
        token = await batch.fetch_token(f"{world.issuer}/token", grant_type="client_credentials")
    found = claims(token["access_token"])
    assert (found["sub"], found["scope"]) == ("batch", "orders.read") and not {"sid", "groups", "acr"} & set(found)
    assert "refresh_token" not in token and (await world.call(token["access_token"])).status_code == 200
    for grant in ("password", "implicit", "authorization_code", "refresh_token", EXCHANGE, DEVICE):
        answer = await ines(world).post("/token", data={"grant_type": grant, "code": "x", "username": "ines"}, auth=("batch", SECRET))
        assert answer.status_code == 400, grant
    more = await ines(world).post("/token", data={"grant_type": "client_credentials", "scope": "orders.write"}, auth=("batch", SECRET))
    assert more.json()["error"] == "invalid_scope"


async def test_refresh_tokens_change_with_each_use_and_one_that_is_used_again_ends_all(world: World) -> None:
    first = await allowed(world, scope="openid orders.read offline_access")
    async with world.application() as application:
        second = await application.refresh_token(f"{world.issuer}/token", refresh_token=first["refresh_token"])
        assert second["refresh_token"] != first["refresh_token"]
        narrow = await application.refresh_token(f"{world.issuer}/token", refresh_token=second["refresh_token"], scope="orders.read")
        assert narrow["scope"] == "orders.read"
        at_once = await asyncio.gather(
            *(application.refresh_token(f"{world.issuer}/token", refresh_token=narrow["refresh_token"]) for _ in range(3))
        )
        assert len({one["refresh_token"] for one in at_once}) == 3, "requests that were under way at once all go on"
        with pytest.raises(OAuthError, match="invalid_scope"):
            await application.refresh_token(f"{world.issuer}/token", refresh_token=at_once[0]["refresh_token"], scope="orders.write")
    for wrong in ("bzr_fam_00000000000000000000.x", "", "x", first["refresh_token"][:-1]):
        answer = await ines(world).post("/token", data={"grant_type": "refresh_token", "refresh_token": wrong}, auth=("web", SECRET))
        assert answer.status_code == 400
    # The last of these was none of the family's secrets, so somebody guesses or has an old one: the family has ended.
    assert await refused_soon(world, at_once[1]["access_token"]) < 1
    answer = await ines(world).post(
        "/token", data={"grant_type": "refresh_token", "refresh_token": at_once[2]["refresh_token"]}, auth=("web", SECRET)
    )
    assert answer.json()["error"] == "invalid_grant"


async def test_a_refresh_token_is_its_applications_alone(world: World) -> None:
    token = await allowed(world, scope="openid orders.read offline_access")
    form = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"], "client_id": "own"}
    assert (await ines(world).post("/token", data=form)).status_code == 400
    async with world.application() as application:
        assert (await application.refresh_token(f"{world.issuer}/token", refresh_token=token["refresh_token"]))["access_token"]


async def test_what_an_application_gives_back_counts_nowhere(world: World) -> None:
    first, second = await allowed(world), await allowed(world, scope="openid orders.read offline_access")
    async with world.application() as application:
        assert (await application.revoke_token(f"{world.issuer}/revoke", first["access_token"], "access_token")).status_code == 200
        assert await refused_soon(world, first["access_token"]) < 1
        assert (await world.call(second["access_token"])).status_code == 200
        assert (await application.revoke_token(f"{world.issuer}/revoke", second["refresh_token"])).status_code == 200
        assert await refused_soon(world, second["access_token"]) < 1
        with pytest.raises(OAuthError, match="invalid_grant"):
            await application.refresh_token(f"{world.issuer}/token", refresh_token=second["refresh_token"])
        assert (await application.revoke_token(f"{world.issuer}/revoke", "nonsense")).status_code == 200
    third = await allowed(world)
    other = await ines(world).post("/revoke", data={"token": third["access_token"]}, auth=("batch", SECRET))
    assert other.status_code == 400 and (await world.call(third["access_token"])).status_code == 200


async def introspected(world: World, token: str, name: str = "web", secret: str = SECRET) -> httpx.Response:
    return await ines(world).post("/introspect", data={"token": token}, auth=(name, secret))


async def test_who_may_ask_about_a_token(world: World) -> None:
    token = await allowed(world)
    told = (await introspected(world, token["access_token"])).json()
    assert told["active"] and told["username"] == "ines" and told["scope"] == "openid profile groups orders.read"
    assert (await introspected(world, token["access_token"], "orders")).json()["active"], "it was meant for that one"
    assert (await introspected(world, token["access_token"], "batch")).json() == {"active": False}
    assert (await introspected(world, token["refresh_token"])).json()["active"]
    assert (await introspected(world, token["id_token"])).json() == {"active": False}
    assert (await introspected(world, "nonsense")).json() == {"active": False}
    assert (await introspected(world, token["access_token"], "own", "")).status_code == 401
    header, body, signature = token["access_token"].split(".")
    assert (await introspected(world, f"{header}.{body}.{signature[:-4]}AAAA")).json() == {"active": False}


async def test_what_an_application_asks_about_somebody(world: World) -> None:
    token = await allowed(world)
    told = await ines(world).get("/userinfo", headers={"authorization": f"Bearer {token['access_token']}"})
    assert told.json() == {"sub": claims(token["access_token"])["sub"], "preferred_username": "ines", "name": "ines", "groups": ["sales"]}
    async with world.application("batch") as batch:
        machine = await batch.fetch_token(f"{world.issuer}/token", grant_type="client_credentials")
    for text in (machine["access_token"], token["id_token"], "nonsense"):
        answer = await ines(world).get("/userinfo", headers={"authorization": f"Bearer {text}"})
        assert answer.status_code == 401 and "invalid_token" in answer.headers["www-authenticate"]
    assert (await ines(world).get("/userinfo")).status_code == 401


async def exchanged(world: World, token: str, **more: str) -> httpx.Response:
    form = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ACCESS, **more}
    return await ines(world).post("/token", data=form, auth=("orders", SECRET))


async def test_an_api_exchanges_a_token_that_was_meant_for_it(world: World) -> None:
    token = await allowed(world)
    answer = await exchanged(world, token["access_token"])
    assert answer.status_code == 200, answer.text
    told, found, before = answer.json(), claims(answer.json()["access_token"]), claims(token["access_token"])
    assert told["issued_token_type"] == ACCESS and "refresh_token" not in told
    assert (found["aud"], found["act"], found["scope"]) == ("stock", {"sub": "orders"}, "orders.read")
    assert {name: found[name] for name in ("sub", "sid", "acr", "groups")} == {
        name: before[name] for name in ("sub", "sid", "acr", "groups")
    }
    assert found["exp"] <= before["exp"]
    assert (await world.call(told["access_token"])).status_code == 401, "it is for another API"
    wrong = (
        {"audience": "orders"},
        {"scope": "orders.read orders.write"},
        {"scope": "profile"},
        {"actor_token": token["access_token"]},
        {"requested_token_type": "urn:ietf:params:oauth:token-type:id_token"},
        {"subject_token": token["id_token"]},
        {"subject_token": told["access_token"]},
        {"subject_token": ""},
    )
    for more in wrong:
        assert (await exchanged(world, token["access_token"], **more)).status_code == 400, more


async def test_a_device_waits_until_somebody_types_its_code(world: World) -> None:
    browser = ines(world)
    begun = (await browser.post("/device_authorization", data={"client_id": "tv", "scope": "openid orders.read"})).json()
    assert re.fullmatch(r"[B-Z]{4}-[B-Z]{4}", begun["user_code"]) and begun["verification_uri"] == f"{world.issuer}/device"
    form = {"grant_type": DEVICE, "device_code": begun["device_code"], "client_id": "tv"}
    assert (await browser.post("/token", data=form)).json()["error"] == "authorization_pending"
    assert (await browser.post("/token", data=form)).json()["error"] == "slow_down"
    assert (await browser.post("/token", data={**form, "client_id": "own"})).status_code == 400
    assert (await world.browser().get("/device")).headers["location"].startswith("/login?in=")
    wrong = await browser.post("/device", data={"user_code": "BBBB-BBBB"}, headers=world.form)
    assert wrong.status_code == 400 and "mistyped" in wrong.text
    page = await browser.post("/device", data={"user_code": begun["user_code"].lower().replace("-", " ")}, headers=world.form)
    assert "see your orders" in page.text and "tv" in page.text
    done = await browser.post("/device", data={"user_code": begun["user_code"], "decision": "allow"}, headers=world.form)
    assert "is connected" in done.text
    token = (await browser.post("/token", data=form)).json()
    assert claims(token["access_token"])["groups"] == ["sales"] and (await world.call(token["access_token"])).status_code == 200
    assert (await browser.post("/token", data=form)).json()["error"] == "invalid_grant", "it counts once"

    begun = (await browser.post("/device_authorization", data={"client_id": "tv"})).json()
    await browser.post("/device", data={"user_code": begun["user_code"], "decision": "deny"}, headers=world.form)
    assert (await browser.post("/token", data={**form, "device_code": begun["device_code"]})).json()["error"] == "access_denied"


async def test_who_logs_out_ends_what_applications_got_in_the_session(world: World) -> None:
    browser = await world.logged_in("ines")
    answer = await asks(world, browser=browser)
    async with world.application() as application:
        token = await application.fetch_token(f"{world.issuer}/token", code=parameters(answer)["code"], code_verifier=VERIFIER)
    other = await allowed(world)
    assert (await world.call(token["access_token"])).status_code == 200
    page = await browser.get(
        "/logout", params={"client_id": "web", "post_logout_redirect_uri": "https://app.example.com/bye", "state": "x"}
    )
    assert "Log out?" in page.text and (await world.call(token["access_token"])).status_code == 200, "a link alone logs nobody out"
    done = await browser.post("/logout", data={"in": leads(page)}, headers=world.form)
    assert done.headers["location"] == "https://app.example.com/bye?state=x"
    assert await refused_soon(world, token["access_token"]) < 1
    assert (await world.call(other["access_token"])).status_code == 200, "another session goes on"
    async with world.application() as application:
        with pytest.raises(OAuthError, match="invalid_grant"):
            await application.refresh_token(f"{world.issuer}/token", refresh_token=token["refresh_token"])
    assert (await browser.get("/account")).status_code == 303
    elsewhere = await browser.get("/logout", params={"client_id": "web", "post_logout_redirect_uri": "https://evil.example.com"})
    assert "evil" not in elsewhere.text and "evil" not in elsewhere.headers["content-security-policy"]


async def test_who_is_changed_or_removed_by_an_admin_is_logged_out_everywhere(world: World) -> None:
    for deed in ("put", "logout", "remove"):
        await world.person(f"max-{deed}", "sales")
        browser = await world.logged_in(f"max-{deed}")
        page = await asks(world, browser=browser, scope="openid orders.read offline_access")
        code = parameters(await decides(world, page, browser=browser))["code"]
        async with world.application() as application:
            token = await application.fetch_token(f"{world.issuer}/token", code=code, code_verifier=VERIFIER)
            assert (await world.call(token["access_token"])).status_code == 200
            path = f"/v1/people/max-{deed}"
            done = {
                "put": lambda path=path: world.admin.put(path, json={"groups": ["other"]}),
                "logout": lambda path=path: world.admin.post(f"{path}/logout", json={}),
                "remove": lambda path=path: world.admin.delete(path),
            }[deed]
            assert (await done()).status_code == 200
            assert await refused_soon(world, token["access_token"]) < 1, deed
            with pytest.raises(OAuthError, match="invalid_grant"):
                await application.refresh_token(f"{world.issuer}/token", refresh_token=token["refresh_token"])
        assert (await browser.get("/account")).status_code == 303


async def test_somebody_withdraws_what_they_allowed(world: World) -> None:
    token = await allowed(world, scope="openid orders.read offline_access")
    page = await ines(world).get("/account")
    assert "offline_access" in page.text
    assert (await ines(world).post("/account/consent-withdraw", data={"client": "web"}, headers=world.form)).status_code == 303
    assert await refused_soon(world, token["access_token"]) < 1
    assert (await asks(world)).status_code == 200, "they are asked again"


async def test_the_metadata_is_that_of_a_provider_that_login_can_use(world: World) -> None:
    for path in ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"):
        told = (await ines(world).get(path)).json()
        assert told["issuer"] == world.issuer and told["code_challenge_methods_supported"] == ["S256"]
        for name in ("jwks_uri", "authorization_endpoint"):
            assert (await ines(world).get(told[name])).status_code in (200, 400), name


async def test_keys_that_are_lost_count_no_more_and_others_are_found(world: World) -> None:
    token = await allowed(world)
    assert (await world.admin.post("/v1/authorization-server/keys", json={})).status_code == 200
    assert len((await ines(world).get("/jwks")).json()["keys"]) == 2, "the next one is published before it signs"
    again = await allowed(world)
    assert jwt.get_unverified_header(again["access_token"])["kid"] == jwt.get_unverified_header(token["access_token"])["kid"]
    assert (await world.admin.post("/v1/authorization-server/keys", json={"lost": True})).status_code == 200
    assert len((await ines(world).get("/jwks")).json()["keys"]) == 1
    new = await allowed(world)

    async def taken() -> bool:
        return (await world.call(new["access_token"])).status_code == 200

    await world.gw.eventually(taken, 15)
    assert await refused_soon(world, token["access_token"]) < 10


async def test_secrets_stand_nowhere_in_the_state(world: World) -> None:
    token = await allowed(world, scope="openid orders.read offline_access")
    cookie = next(iter(ines(world).cookies.values()))
    planted = (
        SECRET,
        "correct horse battery",
        token["refresh_token"].rpartition(".")[2],
        token["access_token"],
        cookie,
        world.secrets["ines"],
    )
    for path in [*world.gw.state.rglob("*"), world.folder / "out.log"]:
        if path.is_file() and not path.is_symlink():
            body = path.read_bytes()
            for secret in planted:
                assert secret.encode() not in body, path
    audited = (await world.admin.get("/v1/audit")).text
    assert "authorization.login" in audited and not any(secret in audited for secret in planted)


async def test_it_goes_on_after_a_restart_of_the_control_plane(world: World) -> None:
    token = await allowed(world, scope="openid orders.read offline_access")
    before = world.gw.pid("bartizan.app")
    os.kill(before, signal.SIGKILL)

    async def back() -> bool:
        try:
            return (await ines(world).get("/account")).status_code == 200 and world.gw.pid("bartizan.app") != before
        except (httpx.HTTPError, AssertionError):
            return False

    await world.gw.eventually(back, 20)
    async with world.application() as application:
        renewed = await application.refresh_token(f"{world.issuer}/token", refresh_token=token["refresh_token"])
    assert (await world.call(renewed["access_token"])).status_code == 200


async def test_a_replay_of_all_that_was_asked_agrees(world: World) -> None:
    await agrees(world.gw, judged=100)
