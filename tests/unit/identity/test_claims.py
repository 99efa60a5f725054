"""Claims as Envoy's token filter writes them."""

import base64
from typing import Any

import pytest

from bartizan.identity.claims import claim_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (False, "false"),
        ("a b", "a b"),
        (7, "7"),
        (7.0, "7"),
        (-1.5, "-1.500000"),
        (2**63, "9223372036854775808.000000"),
    ],
)
def test_simple_ones_are_as_they_are(value: Any, text: str) -> None:
    assert claim_text(value) == text


def test_others_are_json_in_base64() -> None:
    assert base64.b64decode(claim_text(["a", 1, {"b": True}])) == b'["a",1,{"b":true}]'
    with pytest.raises(ValueError, match="JSON"):
        claim_text([2**70])
