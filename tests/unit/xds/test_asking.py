"""Join tokens as texts."""

import pytest

from bartizan.errors import Invalid
from bartizan.xds.asking import read_token, token_text

SECRET, FINGERPRINT = bytes(range(24)), bytes(range(32, 64))


def test_a_token_is_read_as_it_was_written() -> None:
    text = token_text(SECRET, FINGERPRINT)
    assert text.startswith("bzn_") and len(text) < 90 and text.isascii()
    assert read_token(f" {text}\n") == (SECRET, FINGERPRINT)


def test_a_mistyped_token_is_told_before_it_is_sent() -> None:
    text = token_text(SECRET, FINGERPRINT)
    for at in range(len(text)):
        wrong = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        with pytest.raises(Invalid):
            read_token(wrong)
    for wrong in ("", "bzn_", text[:-1], text + "A", text[4:], "bzn_ä"):
        with pytest.raises(Invalid):
            read_token(wrong)
