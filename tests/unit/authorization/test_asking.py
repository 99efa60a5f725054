"""A request, read once: its parameters, its form, and from where it came."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from starlette.requests import Request

from bartizan.authorization.asking import COOKIE, Asked, OAuthRequest, Payload, asked
from bartizan.errors import Invalid

FORM = "application/x-www-form-urlencoded"


def receiving(chunks: Iterable[bytes]) -> Callable[[], Awaitable[dict[str, Any]]]:
    parts = [*chunks, b""]
    sent = iter([{"type": "http.request", "body": one, "more_body": number + 1 < len(parts)} for number, one in enumerate(parts)])

    async def receive() -> dict[str, Any]:
        return next(sent)

    return receive


def read(
    *headers: tuple[str, str], query: bytes = b"", body: Iterable[bytes] = (), client: tuple[str, int] | None = ("127.0.0.1", 7)
) -> Asked:
    """What a request comes to."""
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    scope = {"type": "http", "method": "POST", "path": "/token", "query_string": query, "headers": raw, "client": client}
    return asyncio.run(asked(Request({**scope, "path_params": {"name": "google"}, "scheme": "http", "server": ("h", 80)}, receiving(body))))


def test_parameters_and_fields_are_read_apart() -> None:
    found = read(("content-type", FORM), query=b"a=1&a=2&b=&c=%C3%A9+x", body=(b"a=3&", b"d=%", b"26"))
    assert found.query == (("a", "1"), ("a", "2"), ("b", ""), ("c", "é x")) and found.form == (("a", "3"), ("d", "&"))
    assert [found.one(name) for name in ("a", "b", "c", "d")] == ["1", "", "é x", ""]
    assert [found.field(name) for name in ("a", "d", "c")] == ["3", "&", ""]
    assert (found.method, found.path, found.places) == ("POST", "/token", {"name": "google"})


@pytest.mark.parametrize("kind", [FORM, FORM.upper(), FORM + "; charset=UTF-8", f" {FORM} ;x"])
def test_a_form_says_that_it_is_one(kind: str) -> None:
    assert read(("content-type", kind), body=(b"a=1",)).field("a") == "1"


@pytest.mark.parametrize(
    "kind", ["", "application/json", "multipart/form-data; boundary=x", "text/plain", FORM + "x", f"text/plain; {FORM}"]
)
def test_anything_else_is_no_form(kind: str) -> None:
    assert read(("content-type", kind), body=(b"a=1",)).form == ()


@pytest.mark.parametrize("text", [b"a=%ff", b"a=%C3", b"\xff=1", b"&".join([b"a=1"] * 201), b"a=%ED%A0%80"])
def test_what_cant_be_read_is_told(text: bytes) -> None:
    with pytest.raises(Invalid) as found:
        read(("content-type", FORM), body=(text,))
    assert found.value.code == "form-unreadable"
    with pytest.raises(Invalid):
        read(query=text)


def test_as_many_fields_as_there_may_be() -> None:
    assert len(read(("content-type", FORM), body=(b"&".join([b"a=1"] * 200),)).form) == 200


@pytest.mark.parametrize("kind", [FORM, "text/plain"])
def test_a_form_has_a_size_however_it_is_sent(kind: str) -> None:
    def endless() -> Iterable[bytes]:
        yield from (b"a" * 65536 for _ in range(4))
        yield b"a"

    with pytest.raises(Invalid) as found:
        read(("content-type", kind), body=endless())
    assert found.value.code == "form-too-large"
    whole = b"a=" + b"x" * (262144 - 2)
    assert len(read(("content-type", FORM), body=(whole,)).field("a")) == 262142


@pytest.mark.parametrize(
    ("told", "origin"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("198.51.100.9, 192.0.2.1", "192.0.2.1"),
        ("192.0.2.1,2001:DB8::1", "2001:db8::1"),
        ("", "127.0.0.1"),
        ("192.0.2.1,", "127.0.0.1"),
        ("192.0.2.1, unknown", "127.0.0.1"),
        ("192.0.2.1:80", "127.0.0.1"),
        ("'; DROP TABLE", "127.0.0.1"),
    ],
)
def test_envoy_has_the_last_word_on_where_it_came_from(told: str, origin: str) -> None:
    assert read(("x-forwarded-for", told)).origin == origin


def test_without_any_word_its_the_peer_or_nobody() -> None:
    assert read().origin == "127.0.0.1" and read(client=None).origin == "unknown"
    assert read(("forwarded", "for=192.0.2.1"), ("x-real-ip", "192.0.2.1")).origin == "127.0.0.1"


@pytest.mark.parametrize(
    ("cookie", "found"),
    [
        ("", ""),
        (f"{COOKIE}=abc", "abc"),
        (f"a=b; {COOKIE}=abc; c=d", "abc"),
        ("bartizan=abc", ""),
        (f"{COOKIE.lower()}=abc", ""),
        (f"x{COOKIE}=abc", ""),
        (f'a="; {COOKIE}=abc', "abc"),
    ],
)
def test_the_cookie_of_the_session_is_found(cookie: str, found: str) -> None:
    assert read(("cookie", cookie)).cookie == found


def test_a_parameter_is_the_first_that_isnt_empty_and_all_are_seen() -> None:
    told = Payload((("a", ""), ("a", "1"), ("a", "2"), ("b", "")))
    assert told.data == {"a": "1"} and told.datalist == {"a": ["", "1", "2"], "b": [""]}


def test_only_a_form_tells_a_secret() -> None:
    """Else it would stand in logs and histories (RFC 6749, section 2.3.1)."""
    told = read(("content-type", FORM), ("authorization", "Basic eA=="), query=b"client_secret=s&code=q", body=(b"code=f",))
    request = OAuthRequest(told, "https://login.example.com")
    assert request.payload.data == request.form == {"code": "f"} and request.args == {"client_secret": "s", "code": "q"}
    assert request.uri == "https://login.example.com/token" and request.headers["Authorization"] == "Basic eA=="
