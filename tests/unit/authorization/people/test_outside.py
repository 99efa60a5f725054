"""ID tokens of providers elsewhere: only one that is for us, of now, and of this login counts (OpenID Connect Core, section 3.1.3.7)."""

import time
from typing import Any

import pytest

from bartizan.authorization.people.outside import _checked
from bartizan.errors import Unauthenticated
from bartizan.model.authorization import Outside
from bartizan.model.fields import SecretRef

OUTSIDE = Outside(issuer="https://idp.example.com", client_id="us", client_secret=SecretRef(env="X"))


def claims(**more: Any) -> dict[str, Any]:
    return {"iss": "https://idp.example.com", "aud": "us", "exp": time.time() + 60, "nonce": "n", "sub": "ines", **more}


@pytest.mark.parametrize("more", [{}, {"aud": ["us"]}, {"azp": "us"}, {"aud": ["us", "us"], "azp": "us"}])
def test_one_for_us_alone_counts(more: dict[str, Any]) -> None:
    assert _checked(claims(**more), OUTSIDE, "n")["sub"] == "ines"


@pytest.mark.parametrize(
    "more",
    [
        {"aud": ["us", "them"]},
        {"aud": ["us", "them"], "azp": "us"},
        {"aud": "them"},
        {"aud": []},
        {"aud": None},
        {"aud": {"us": 1}},
        {"azp": "them"},
        {"iss": "https://idp.example.com/"},
        {"iss": ["https://idp.example.com"]},
        {"nonce": "m"},
        {"nonce": None},
        {"exp": time.time() - 120},
        {"exp": True},
        {"exp": "9999999999"},
        {"sub": ""},
        {"sub": 7},
        {"sub": "local:root"},
        {"sub": "node:edge-1"},
        {"sub": "a\nb"},
        {"sub": "x" * 256},
    ],
)
def test_any_other_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        _checked(claims(**more), OUTSIDE, "n")
