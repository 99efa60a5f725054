"""Pages: what browsers may do with them, from where forms come, and that nothing of what callers send becomes markup."""

import pytest
from jinja2 import UndefinedError
from starlette.responses import Response

from bartizan.authorization.asking import COOKIE, Asked
from bartizan.authorization.people.pages import Pages, check_origin, is_ours, secured, see, static, with_cookie, without_cookie
from bartizan.errors import Forbidden

ISSUER = "https://login.example.com"


def policy(answer: Response) -> dict[str, str]:
    return dict(one.split(" ", 1) for one in answer.headers["content-security-policy"].split("; "))


def test_a_page_runs_our_script_alone_and_is_framed_and_kept_by_nobody() -> None:
    answer = Pages().page("wrong", {"gateway": "edge", "error": "No."}, status=403)
    assert answer.status_code == 403 and answer.media_type == "text/html"
    assert policy(answer) == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    for name, value in (
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("referrer-policy", "same-origin"),
    ):
        assert answer.headers[name] == value
    assert secured("https://app.example.com")["content-security-policy"].count("form-action 'self' https://app.example.com;") == 1


def test_what_callers_send_becomes_no_markup() -> None:
    bad = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}"
    answer = Pages().page("wrong", {"gateway": bad, "error": bad})
    text = bytes(answer.body).decode()
    assert "<img" not in text and "alert(1)</script>" not in text and "&lt;img" in text and "49" not in text


def test_what_a_page_needs_and_isnt_told_is_a_fault_of_ours() -> None:
    with pytest.raises(UndefinedError):
        Pages().page("wrong", {"gateway": "edge"})


def sent(**headers: str) -> Asked:
    return Asked("POST", "/login", (), (), headers, {}, "192.0.2.1")


def test_a_form_comes_from_a_page_of_ours() -> None:
    check_origin(sent(origin=ISSUER), ISSUER)
    for headers in (
        {},
        {"origin": ""},
        {"origin": "null"},
        {"origin": "https://evil.com"},
        {"origin": ISSUER + "/"},
        {"origin": ISSUER + ":443"},
        {"origin": ISSUER + ".evil.com"},
        {"origin": ISSUER.upper()},
        {"origin": ISSUER.replace("https", "http")},
        {"origin": f"{ISSUER}, {ISSUER}"},
        {"origin": "https://evil." + ISSUER.removeprefix("https://")},
        {"referer": ISSUER + "/login"},
        {"sec-fetch-site": "same-origin"},
    ):
        with pytest.raises(Forbidden) as found:
            check_origin(sent(**headers), ISSUER)
        assert found.value.code == "origin-foreign"


def test_the_cookie_is_for_this_host_alone_and_for_no_script() -> None:
    answer = with_cookie(see("/account"), "abc", 3600.9)
    assert (answer.status_code, answer.headers["location"], answer.headers["cache-control"]) == (303, "/account", "no-store")
    name, *parts = answer.headers["set-cookie"].split("; ")
    assert name == f"{COOKIE}=abc" and COOKIE.startswith("__Host-")
    assert {one.lower() for one in parts} == {"httponly", "secure", "path=/", "samesite=lax", "max-age=3600"}
    gone = without_cookie(see("/login")).headers["set-cookie"].lower()
    assert (
        gone.startswith(f'{COOKIE.lower()}="";') and "max-age=0" in gone and "secure" in gone and "path=/" in gone and "domain" not in gone
    )


@pytest.mark.parametrize("place", ["/account", "/device", "/account?x=1"])
def test_people_are_sent_on_to_pages_of_ours(place: str) -> None:
    assert is_ours(place)


@pytest.mark.parametrize(
    "place",
    [
        "",
        "/",
        "account",
        "/login",
        "/account/",
        "/account/..",
        "//account",
        "//evil.com/account",
        "///account",
        "https://evil.com/account",
        "https:/account",
        "javascript:/account",
        "\\\\evil.com/account",
        "/\\evil.com/account",
        "/account\\@evil.com",
        "/%61ccount",
        "/ACCOUNT",
    ],
)
def test_and_nowhere_else(place: str) -> None:
    assert not is_ours(place)


def test_scripts_and_styles_are_ours_alone() -> None:
    script, style = static("passkeys.js"), static("style.css")
    assert script.headers["content-type"].startswith("text/javascript") and b"navigator.credentials" in bytes(script.body)
    assert style.headers["content-type"].startswith("text/css")
    assert script.headers["x-content-type-options"] == style.headers["x-content-type-options"] == "nosniff"
    with pytest.raises((KeyError, OSError)):
        static("../pages.py")
