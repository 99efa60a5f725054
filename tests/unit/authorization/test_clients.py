"""Applications: where people are sent back to, what they may ask for, and who they show they are."""

from typing import Any

import pytest

from bartizan.authorization.clients import ADMIN_API, Known, client
from bartizan.model.authorization import COMMAND_LINE
from tests.unit.authorization.rig import DECLARED, Gateway, Rig


def known(rig: Rig, **more: Any) -> Known:
    """An application that is declared so."""
    fields = {"redirect_uris": ["https://app.example.com/callback"], **more}
    rig.declare(clients={"app": fields})
    return rig.client("app")


def test_they_are_those_that_are_declared_and_the_command_line(rig: Rig) -> None:
    assert {name for name in (*DECLARED["clients"], "nobody", "", "WEB", "web ") if client(rig.declared, name, rig.gateway)} == {
        "web",
        "phone",
        "tv",
    }
    own = rig.client(COMMAND_LINE)
    assert own.is_public and own.audiences == (ADMIN_API,) and not own.check_grant_type("refresh_token")
    assert (rig.client("phone").title, rig.client("web").title, rig.client("phone").audiences) == ("An app", "web", ("phone",))


@pytest.mark.parametrize("uri", ["https://app.example.com/callback", "https://app.example.com/callback?a=1", "com.example.app:/callback"])
def test_people_are_sent_exactly_where_it_is_declared(rig: Rig, uri: str) -> None:
    app = known(rig, redirect_uris=[uri])
    assert app.check_redirect_uri(uri)
    for shown in (
        "",
        uri + "/",
        uri + "?",
        uri + "#",
        uri + "#a",
        uri + " ",
        uri + "\n",
        " " + uri,
        uri + "\0",
        uri + "/..",
        uri + "/../evil",
        uri + "%2f..",
        uri.upper(),
        uri.title(),
        uri.replace("callback", "Callback"),
        uri.replace("callback", "%63allback"),
        uri.replace("callback", "./callback"),
        uri.replace("callback", "x/../callback"),
        uri.replace("/callback", "//callback"),
        uri.replace("/callback", "\\callback"),
        uri.replace("/callback", ":443/callback"),
        uri.replace("/callback", ":8443/callback"),
        uri.replace("://", "://user@"),
        uri.replace("://", "://user:password@"),
        uri.replace("://", "://evil.com\\@"),
        uri.replace("://", "://evil.com#@"),
        uri.replace("://", "://www."),
        uri.replace(".com/", ".com./"),
        uri.replace(".com/", ".com.evil.com/"),
        uri.replace(".com/", ".com%2eevil.com/"),
        uri.replace("https:", "http:"),
        uri.replace("https:", ""),
        "javascript:alert(1)",
        "//app.example.com/callback",
        "/callback",
    ):
        assert shown == uri or not app.check_redirect_uri(shown), shown


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_on_loopback_any_port_will_do_and_nothing_else(rig: Rig, host: str) -> None:
    app = known(rig, redirect_uris=[f"http://{host}/back?a=1"])
    for port in ("", ":1", ":80", ":8080", ":65535"):
        assert app.check_redirect_uri(f"http://{host}{port}/back?a=1")
    for shown in (
        f"http://{host}:0/back?a=1",
        f"http://{host}:/back?a=1",
        f"http://{host}:65536/back?a=1",
        f"http://{host}:080/back?a=1",
        f"http://{host}:+80/back?a=1",
        f"http://{host}:8_0/back?a=1",
        f"http://{host}:８０/back?a=1",
        f"http://{host}: 80/back?a=1",
        f"http://{host}:80\n/back?a=1",
        f"http://{host}:80:80/back?a=1",
        f"http://{host}:x/back?a=1",
        f"http://{host}:80/back",
        f"http://{host}:80/back?a=2",
        f"http://{host}:80/other?a=1",
        f"http://{host}:80/back/../x?a=1",
        f"http://{host}:80/back?a=1#f",
        f"http://user@{host}:80/back?a=1",
        f"http://user:80@{host}/back?a=1",
        f"https://{host}:80/back?a=1",
        f"http://{host}.evil.com:80/back?a=1",
        f"http://{host}@evil.com:80/back?a=1",
        f"http://evil.com:80@{host}:80/back?a=1",
        "http://localhost:80/back?a=1",
        "http://127.0.0.2:80/back?a=1",
        "http://127.1:80/back?a=1",
        "http://2130706433:80/back?a=1",
        "http://[::ffff:127.0.0.1]:80/back?a=1",
        "http://[0:0:0:0:0:0:0:1]:80/back?a=1",
        "http://[::1:80/back?a=1",
        "http://[v1.x]:80/back?a=1",
    ):
        assert not app.check_redirect_uri(shown), shown


@pytest.mark.parametrize(
    ("uri", "other"),
    [
        ("http://localhost/back", "http://localhost:9090/back"),
        ("http://127.0.0.1:8080/back", "http://127.0.0.1:8081/back"),
        ("http://127.0.0.1:8080/back", "http://127.0.0.1/back"),
        ("https://127.0.0.1/back", "https://127.0.0.1:9090/back"),
        ("https://app.example.com/back", "https://app.example.com:443/back"),
    ],
)
def test_anywhere_else_the_port_is_the_declared_one(rig: Rig, uri: str, other: str) -> None:
    app = known(rig, redirect_uris=[uri])
    assert app.check_redirect_uri(uri) and not app.check_redirect_uri(other)


def test_one_that_is_left_out_is_the_only_one(rig: Rig) -> None:
    assert known(rig).get_default_redirect_uri() == "https://app.example.com/callback"
    assert known(rig, redirect_uris=["https://a.example.com", "https://b.example.com"]).get_default_redirect_uri() is None


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        (None, "openid orders.read"),
        ("", ""),
        ("openid", "openid"),
        ("orders.read openid orders.read", "orders.read openid"),
        ("openid orders.write", "openid"),
        ("orders.write", None),
        ("OPENID", None),
        ("openid,orders.read", None),
        ("  ", ""),
    ],
)
def test_it_may_have_what_is_declared_of_what_it_asks_for(rig: Rig, asked: str | None, allowed: str | None) -> None:
    app = known(rig, scopes=["openid", "orders.read"])
    assert app.get_allowed_scope(asked) == allowed


def test_without_scopes_it_has_none(rig: Rig) -> None:
    app = known(rig, scopes=[])
    assert app.get_allowed_scope(None) == "" and app.get_allowed_scope("openid") is None


def test_a_secret_is_the_declared_one(rig: Rig) -> None:
    app = known(rig, secret={"env": "WEB"})
    assert not app.is_public and app.check_client_secret("s3cret")
    for wrong in ("", "s3cre", "s3cret\n", "S3CRET", "é", "\ud800", "None"):
        assert not app.check_client_secret(wrong)
    for kept in ("", "é"):
        rig.gateway.secrets["WEB"] = kept
        assert app.check_client_secret(kept) is bool(kept)
    del rig.gateway.secrets["WEB"]
    assert not app.check_client_secret("s3cret") and not app.check_client_secret("")


def test_a_secret_that_isnt_there_refuses_and_isnt_told(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    app = known(rig, secret={"env": "WEB"})
    rig.gateway.secrets.clear()
    assert not app.check_client_secret("what somebody showed")
    assert "the client app" in caplog.text and "what somebody showed" not in caplog.text


def test_who_has_a_secret_shows_it_and_who_has_none_cant(rig: Rig) -> None:
    secret, public = known(rig, secret={"env": "WEB"}), known(rig)
    assert public.is_public and not public.check_client_secret("") and not public.check_client_secret("s3cret")
    for method in ("client_secret_basic", "client_secret_post"):
        assert secret.check_endpoint_auth_method(method, "token") and not public.check_endpoint_auth_method(method, "token")
    assert public.check_endpoint_auth_method("none", "token") and not secret.check_endpoint_auth_method("none", "token")


def test_it_gets_tokens_as_it_is_declared(rig: Rig) -> None:
    code, device = known(rig), known(rig, grants=["device_code"], redirect_uris=[])
    long = "urn:ietf:params:oauth:grant-type:device_code"
    assert code.check_response_type("code") and not device.check_response_type("code")
    for kind in ("token", "id_token", "code token", "none", "", "CODE"):
        assert not code.check_response_type(kind)
    assert [code.check_grant_type(one) for one in ("authorization_code", "refresh_token", long, "password", "")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert [device.check_grant_type(one) for one in (long, "device_code", "authorization_code")] == [True, False, False]


def test_the_gateway_is_asked_for_the_secret_for_itself_alone(rig: Rig) -> None:
    class Asked(Gateway):
        def secret(self, reference: Any, use: Any) -> str:
            assert use.to == (), "it is compared, and sent nowhere"
            return super().secret(reference, use)

    app = known(rig, secret={"env": "WEB"})
    assert Known(app.name, app.declared, Asked()).check_client_secret("s3cret")
