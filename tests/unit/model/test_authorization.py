"""What an authorization server may be declared to be, and what is said of what it can't be."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from bartizan.authorization.clients import ADMIN_API
from bartizan.model.authorization import COMMAND_LINE, OF_ALL, AuthorizationServer, Client, Mapped, Outside
from bartizan.model.gateway import Gateway
from bartizan.model.named import Destination

ISSUER = "https://login.example.com"
REDIRECT = ["https://app.example.com/callback"]
SECRET = {"env": "APP"}


def server(**more: Any) -> AuthorizationServer:
    return AuthorizationServer.model_validate({"issuer": ISSUER, **more})


def client(**more: Any) -> Client:
    return Client.model_validate({"redirect_uris": REDIRECT, **more})


def outside(**more: Any) -> Outside:
    return Outside.model_validate({"issuer": "https://idp.example.org", "client_id": "us", "client_secret": SECRET, **more})


def refused(make: Any, says: str, **fields: Any) -> None:
    with pytest.raises(ValidationError) as found:
        make(**fields)
    assert says in str(found.value), found.value


def test_an_issuer_is_enough() -> None:
    found = server()
    assert (found.listen, found.host, found.clients, found.scopes, found.outside) == ("127.0.0.1:8090", "login.example.com", {}, {}, {})
    lasts = (found.access_token, found.refresh_token, found.session, found.keys)
    assert lasts == (timedelta(minutes=5), timedelta(days=30), timedelta(hours=8), timedelta(days=30))
    assert found.operators.groups == {} and found.operators.phishing_resistant == ()
    assert (
        Gateway.model_validate(
            {"name": "edge", "listeners": []} | {"listeners": [{"name": "web", "address": "127.0.0.1:1"}]}
        ).authorization_server
        is None
    )


def test_what_it_is_by_default_is_what_its_schema_says_and_all_of_it_is_told() -> None:
    schema = AuthorizationServer.model_json_schema()
    found = server()
    for name, told in schema["properties"].items():
        assert told.get("description") or "$ref" in told, name
        if isinstance(told.get("default"), str):
            assert server(**{name: told["default"]}) == found, name
    assert schema["required"] == ["issuer"] and schema["additionalProperties"] is False
    told = {(kind, name) for kind, parts in schema["$defs"].items() for name, one in parts["properties"].items() if one.get("description")}
    assert told == {(kind, name) for kind, parts in schema["$defs"].items() for name in parts["properties"]}
    assert schema["$defs"]["Client"]["properties"]["grants"]["default"] == ["authorization_code", "refresh_token"]


@pytest.mark.parametrize(
    "issuer",
    [
        "https://login.example.com",
        "https://login.example.com:8443",
        "https://a-b.c",
        "http://localhost:8080",
        "https://localhost",
        "http://localhost",
    ],
)
def test_an_issuer_is_an_origin_as_browsers_write_it(issuer: str) -> None:
    assert server(issuer=issuer).issuer == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        "login.example.com",
        "https://",
        "https://login.example.com/",
        "https://login.example.com/a",
        "https://login.example.com?a",
        "https://login.example.com#",
        "https://login.example.com:443",
        "https://login.example.com:0",
        "https://login.example.com:08443",
        "https://login.example.com:65536",
        "https://login.example.com:99999",
        "https://login.example.com:",
        "https://Login.example.com",
        "HTTPS://login.example.com",
        "https://user@login.example.com",
        "https://192.0.2.1",
        "https://127.0.0.1:8443",
        "https://[::1]",
        "http://login.example.com",
        "http://localhost:80",
        "http://127.0.0.1:8080",
        "https://lögin.example.com",
        "https://login.example.com\n",
        " https://login.example.com",
        "https://login example.com",
        "ftp://login.example.com",
        "https://" + "a" * 600,
    ],
)
def test_what_is_no_issuer(issuer: str) -> None:
    refused(server, "this issuer is https://" if len(issuer) < 512 else "at most 512", issuer=issuer)


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "127.0.0.1:65535", "[::1]:8090"])
def test_it_listens_on_loopback(listen: str) -> None:
    assert server(listen=listen).listen == listen


@pytest.mark.parametrize(
    "listen",
    [
        "0.0.0.0:8090",
        "localhost:8090",
        "127.0.0.2:8090",
        "192.0.2.1:8090",
        "[::]:8090",
        "::1:8090",
        ":8090",
        "8090",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:08090",
        "127.0.0.1:65536",
        "127.0.0.1:99999",
        "127.0.0.1:8090\n",
        "",
    ],
)
def test_and_nowhere_else(listen: str) -> None:
    refused(server, "listen", listen=listen)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("access_token", "10s", "1h"), ("refresh_token", "1m", "366d"), ("session", "1m", "366d"), ("keys", "1h", "366d")],
)
def test_how_long_things_last(name: str, least: str, most: str) -> None:
    short, long = getattr(server(**{name: least}), name), getattr(server(**{name: most}), name)
    for wrong in (short - timedelta(seconds=1), long + timedelta(seconds=1), timedelta(0)):
        refused(server, f"`{name}` is between", **{name: f"{int(wrong.total_seconds())}s"})
    for none in ("", "5", 5, "-5m", "5 years", None):
        refused(server, name, **{name: none})


def test_what_isnt_known_is_told() -> None:
    refused(server, "Extra inputs", token="5m")
    refused(client, "Extra inputs", redirect="x")
    refused(outside, "Extra inputs", scope="x")


def test_the_command_line_neednt_be_declared() -> None:
    refused(server, "is the command line, which needs no declaration", clients={COMMAND_LINE: {"redirect_uris": REDIRECT}})


def test_applications_ask_for_scopes_that_are_there() -> None:
    scopes = [*OF_ALL, "orders.read"]
    own = {"redirect_uris": REDIRECT, "scopes": scopes}
    assert server(scopes={"orders.read": "see them"}, clients={"app": own}).clients["app"].scopes == tuple(scopes)
    refused(server, "the client app asks for the scope 'orders.read', which isn't among `scopes`", clients={"app": own})


@pytest.mark.parametrize("scope", ["a b", "", 'a"', "a\\", "é", "a\n", "x" * 129])
def test_what_is_no_scope(scope: str) -> None:
    refused(server, "pattern", scopes={scope: "told"})
    refused(client, "pattern", scopes=[scope])


@pytest.mark.parametrize("audience", ["", "a b", "é", "a\n", "x" * 257])
def test_what_is_no_audience(audience: str) -> None:
    refused(client, "pattern", audiences=[audience])
    assert client(audiences=["https://api.example.com/", "urn:a:b"]).audiences == ("https://api.example.com/", "urn:a:b")


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example.com/callback",
        "https://app.example.com:8443/callback?a=1",
        "https://192.0.2.1/callback",
        "http://127.0.0.1/callback",
        "http://127.0.0.1:8080/callback",
        "http://[::1]/callback",
        "http://localhost:3000/callback",
        "com.example.app:/callback",
        "com.example.app://host/callback",
    ],
)
def test_where_people_are_sent_back_to(uri: str) -> None:
    assert client(redirect_uris=[uri], logout_uris=[uri]).redirect_uris == (uri,)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "/callback",
        "//app.example.com/callback",
        "app.example.com/callback",
        "app.example.com",
        "./callback",
        "..",
        "http://app.example.com/callback",
        "http://app.example.com:80/callback",
        "https://",
        "https:///callback",
        "https://app.example.com/callback#",
        "https://app.example.com/#a",
        "https://user@app.example.com/callback",
        "https://user:password@app.example.com/callback",
        "https://app.example.com\\@evil.com/",
        "https://app.example.com/call back",
        "https://app.example.com/callback\n",
        "https://app.example.com/\x00",
        'https://app.example.com/"',
        "https://app.example.com/<",
        "https://app.example.com:0/",
        "https://app.example.com:99999/",
        "https://[::1/callback",
        "https://äpp.example.com/callback",
        "javascript:alert(1)",
        "javascript:alert(1)//.example",
        "data:text/html,a.b",
        "file:///etc/passwd.txt",
        "app:/callback",
        "com.example.app",
        "com.example.app:/call back",
        "com.example.app:/callback#a",
        "com.example.app:/cällback",
        "com.example app:/callback",
        "com.example;script-src:/callback",
        "com.example/app:/callback",
        "1.2:/callback",
        ".app:/callback",
        "javascript\t.a:alert(1)",
        "com.example.app:/callback\x7f",
        "https://app.example.com/" + "a" * 2048,
    ],
)
def test_where_nobody_is_sent(uri: str) -> None:
    says = "is neither an https:// URL nor an app's own" if len(uri) < 2048 else "at most 2048"
    refused(client, says, redirect_uris=[uri])
    refused(client, says, logout_uris=[uri])


def test_which_ways_to_tokens_go_together() -> None:
    refused(client, "a client with the grant authorization_code names its `redirect_uris`", redirect_uris=[])
    for grant in ("client_credentials", "token_exchange"):
        refused(client, "are for clients with a `secret`", grants=[grant], redirect_uris=[])
        assert client(grants=[grant], redirect_uris=[], secret=SECRET).grants == (grant,)
        refused(client, "refresh tokens come with", grants=[grant, "refresh_token"], redirect_uris=[], secret=SECRET)
    refused(client, "refresh tokens come with", grants=["refresh_token"], redirect_uris=[])
    assert client(grants=["device_code", "refresh_token"], redirect_uris=[]).redirect_uris == ()
    refused(client, "grants", grants=[])
    for unknown in ("password", "implicit", "urn:ietf:params:oauth:grant-type:device_code"):
        refused(client, "grants", grants=[unknown])


def test_a_secret_doesnt_stand_in_the_open() -> None:
    refused(client, "a secret can't stand here in the open", secret="s3cret")
    with pytest.raises(ValidationError) as found:
        outside(client_secret="s3cret")
    assert "a secret can't stand here in the open" in str(found.value.errors(include_input=False))


@pytest.mark.parametrize(
    "issuer", ["https://idp.example.org", "https://idp.example.org/tenant/v2.0", "http://127.0.0.1:9000", "https://idp.example.org:8443/"]
)
def test_a_provider_elsewhere_is_found_by_its_issuer(issuer: str) -> None:
    assert outside(issuer=issuer).issuer == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        "idp.example.org",
        "http://idp.example.org",
        "https://idp.example.org?a",
        "https://idp.example.org#a",
        "https://u@idp.example.org",
        "https://idp.example.org/ä",
        "https://",
    ],
)
def test_what_is_no_provider(issuer: str) -> None:
    refused(outside, "an issuer is an https:// URL without query and fragment", issuer=issuer)


@pytest.mark.parametrize(
    ("issuer", "host", "port"),
    [
        ("https://idp.example.org/a", "idp.example.org", 443),
        ("https://idp.example.org:8443", "idp.example.org", 8443),
        ("http://localhost", "localhost", 80),
    ],
)
def test_its_secret_goes_there_alone(issuer: str, host: str, port: int) -> None:
    assert outside(issuer=issuer).use.to == (Destination(host, port),)


def test_a_provider_tells_no_groups_and_no_factors_unless_it_is_trusted() -> None:
    found = outside()
    assert (found.groups, found.trusted_groups, found.factors, found.scopes) == (None, (), "ignore", ("openid", "profile"))
    refused(outside, "trusted_groups", trusted_groups=["Not A Name"])
    refused(outside, "factors", factors="believe")
    refused(outside, "scopes", scopes=[])


def test_what_groups_are_at_the_admin_api() -> None:
    groups = {"ops": {"role": "admin"}, "sales": {"role": "editor", "team": "orders"}}
    found = server(operators={"groups": groups, "phishing_resistant": ["admin"]}).operators
    assert found.groups["sales"] == Mapped(role="editor", team="orders") and list(found.groups) == ["ops", "sales"]
    refused(server, "an admin belongs to no team", operators={"groups": {"ops": {"role": "admin", "team": "orders"}}})
    for role in ("context", "owner", None, ""):
        refused(server, "role", operators={"groups": {"ops": {"role": role}}})
    refused(server, "phishing_resistant", operators={"phishing_resistant": ["everyone"]})


def declared(**client: Any) -> AuthorizationServer:
    told = {"redirect_uris": ["https://app.example.com/back"], **client}
    return AuthorizationServer.model_validate({"issuer": "https://login.example.com", "clients": {"web": told}})


def test_no_application_gets_tokens_with_which_people_log_in_to_the_admin_api() -> None:
    assert declared(audiences=["orders"]).clients["web"].audiences == ("orders",)
    for audiences in ([ADMIN_API], ["orders", ADMIN_API]):
        with pytest.raises(ValidationError, match="Bartizan's own"):
            declared(audiences=audiences)


@pytest.mark.parametrize(
    "uri",
    ["javascript:alert(1)", "data:text/html,x", "http://app.example.com/", "https://a@b.example.com/", "https://a.example.com/#x", "//x"],
)
def test_people_are_sent_to_no_such_place(uri: str) -> None:
    with pytest.raises(ValidationError):
        declared(redirect_uris=[uri])
