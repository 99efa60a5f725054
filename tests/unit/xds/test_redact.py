"""No secret leaves in what Envoy says of a refusal."""

import pytest

from bartizan.xds.redact import redacted


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Duplicated credential key: 'hunter2'", "hunter2"),
        ("Duplicated credential key: 'it's'", "it's"),
        ("key bz_aAbC012_x is bad", "bz_aAbC012_x"),
        ('credentials { key: "hunter2" client: "id=acme" }', "hunter2"),
        ('credentials { key: "hunter2" client: "id=acme" }', "acme"),
        (r'{"key": "hun\"ter2", "x": 1}', "ter2"),
        ("inline_string: 'hunter2'", "hunter2"),
        ('inline_bytes: "hunter2 that is cut', "hunter2"),
        ("bad -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- there", "MIIE"),
        ("bad -----BEGIN PRIVATE KEY-----\nMIIE and cut", "MIIE"),
        ("token eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln", "c2ln"),
    ],
)
def test_hides(text: str, secret: str) -> None:
    assert secret in text
    assert secret not in redacted(text)
    assert "***" in redacted(text)


def test_keeps_what_helps() -> None:
    text = "error adding listener '127.0.0.1:8080': cannot bind '127.0.0.1:8080': Address already in use"
    assert redacted(text) == text
    assert redacted("bad -----BEGIN X-----a-----END X----- there") == "bad *** there"


def test_is_bounded() -> None:
    assert len(redacted("x" * 100_000)) < 1100
