"""URLs that somebody declares: what is one, and what nobody on the way can read."""

import pytest

from bartizan.lib.urls import http_url, is_private

SOUND = ["https://a.example/x?y#z", "http://a.example", "https://[2001:db8::1]:8443/", "HTTPS://a.example", "http://127.0.0.1:1"]
BAD = [
    "",
    "a.example",
    "/jwks",
    "ftp://a.example",
    "javascript:alert(1)",
    "https://",
    "https://:443",
    "https://a.example:0",
    "https://a.example:65536",
    "https://a.example:x",
    "https://[::1",
    "https://user@a.example",
    "https://user:password@a.example/jwks",
    "https://a.example/ b",
    "https://a.example/\n",
    "https://a.example/\x00",
    'https://a.example/"',
    "https://a.example/<",
    "https://a.example\\@b.example",
    "https://exämple.com",
]


@pytest.mark.parametrize("text", SOUND)
def test_an_absolute_url_without_a_user_is_one(text: str) -> None:
    parts = http_url(text)
    assert parts is not None
    assert parts.hostname


@pytest.mark.parametrize("text", BAD)
def test_anything_else_is_none_and_never_private(text: str) -> None:
    assert http_url(text) is None
    assert not is_private(text)


@pytest.mark.parametrize("host", ["localhost", "localhost.", "idp.localhost", "127.0.0.1", "127.8.8.8", "[::1]"])
def test_without_tls_only_this_machine_is_private(host: str) -> None:
    assert is_private(f"http://{host}:8080/x")


@pytest.mark.parametrize("host", ["a.example", "169.254.169.254", "metadata", "0.0.0.0", "10.0.0.1", "2130706433", "127.1", "[fe80::1]"])
def test_neighbours_and_odd_spellings_are_not(host: str) -> None:
    assert not is_private(f"http://{host}/x")
    assert is_private(f"https://{host}/x")
