"""What an issuer answers about a token: what counts, what doesn't, and what is no answer."""

import base64
import json
import math
from dataclasses import replace
from typing import Any

import pytest

from bartizan.callout.verdict import Garbage, Refused, Told, judged
from tests.unit.callout.issuers import CORP

NOW = 1_000_000.0
GOOD: dict[str, Any] = {"active": True, "iss": CORP.issuer, "aud": "orders", "sub": "ines", "exp": 1_000_600}


def said(**more: Any) -> bytes:
    return json.dumps({name: value for name, value in {**GOOD, **more}.items() if value is not ...}).encode()


def told(**more: Any) -> Told:
    found = judged(said(**more), CORP, NOW)
    assert isinstance(found, Told), found
    return found


def test_a_good_one_tells_subject_and_claims() -> None:
    found = told(department="Zürich", scope="a b", level={"of": {"trust": 3}}, roles=["ops", "<a>"], staff=True, other="x")
    lines = dict(line.split(b": ", 1) for line in found.lines.split(b"\r\n")[:-1])
    assert lines == {
        b"x-bartizan-sub-corp": b"ines",
        b"x-bartizan-claim-department": "Zürich".encode(),
        b"x-bartizan-claim-scopes": b"a b",
        b"x-bartizan-claim-trust": b"3",
        b"x-bartizan-claim-staff": b"true",
        b"x-bartizan-claim-groups": base64.b64encode(b'["ops","<a>"]'),
    }
    assert (found.until, found.jkt, found.x5t) == (1_000_630.0, "", "")


def test_by_what_it_can_be_blocked() -> None:
    assert told(jti="t-1", sid="s 1").lines == told().lines + b"x-bartizan-jti: t-1\r\nx-bartizan-sid: s 1\r\n"
    for value in (7, "", " x", "a\r\nx-bartizan-proof: dpop", ["t-1"], None):
        assert told(jti=value, sid=value).lines == told().lines


def test_what_needs_not_be_said() -> None:
    assert told(iss=...).lines == told().lines
    assert told(exp=...).until == math.inf
    for kind in ("Bearer", "bearer", "DPoP", "access_token", None):
        told(token_type=kind)
    assert told(aud=["x", "orders"]).lines


def test_what_it_is_bound_to() -> None:
    found = told(cnf={"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", "x5t#S256": "A_-"})
    assert (found.jkt, found.x5t) == ("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", "A_-")
    for wrong in ("x", 7, None, {"jkt": 7}, {"jkt": "a b"}, {"jkt": "a\r\nb"}, {"x5t#S256": "é"}, {"jkt": "a" * 200}):
        with pytest.raises(Garbage):
            judged(said(cnf=wrong), CORP, NOW)


def test_times_are_its_clocks_and_ours() -> None:
    ends = {1_000_000 - 29: True, 1_000_000 - 30: False, 1_000_000.5: True, 1: False}
    assert {at: isinstance(judged(said(exp=at), CORP, NOW), Told) for at in ends} == ends
    begins = {1_000_030: True, 1_000_031: False, 1: True}
    assert {at: isinstance(judged(said(nbf=at), CORP, NOW), Told) for at in begins} == begins


@pytest.mark.parametrize(
    "more",
    [
        {"active": False},
        {"iss": "https://idp.example.com/"},
        {"aud": ...},
        {"aud": "order"},
        {"aud": []},
        {"sub": ...},
        {"sub": ""},
        {"sub": " ines"},
        {"sub": "ines\t"},
        {"sub": "a\r\nb"},
        {"sub": "a\x7f"},
        {"sub": "\ud800"},
        {"sub": "x" * 8001},
        {"token_type": "mac"},
        {"token_type": "refresh_token"},
        {"token_use": "ID"},
        {"typ": "Offline"},
    ],
)
def test_what_doesnt_count_here(more: dict[str, Any]) -> None:
    assert judged(said(**more), CORP, NOW) is Refused.INACTIVE


@pytest.mark.parametrize(
    "more",
    [{"active": one} for one in ("true", 1, None, ..., [True])]
    + [{name: one} for name in ("exp", "nbf") for one in ("1000600", True, None, [1], 10**400)]
    + [{name: 7} for name in ("iss", "aud", "sub", "token_type")]
    + [{"aud": ["orders", 7]}, {"aud": {"orders": 1}}, {"aud": None}],
)
def test_what_has_another_type_is_no_answer(more: dict[str, Any]) -> None:
    with pytest.raises(Garbage):
        judged(said(**more), CORP, NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"true",
        b'{"active": true} x',
        b"\xff\xfe",
        said() + said(),
        b"[" * 100000,
        b'{"active": NaN}',
        b'\xef\xbb\xbf{"active": true}',
        said()[:-1] + b', "active": true}',
        said()[:-1] + b', "a": {"b": 1, "b": 2}}',
        said().decode().encode("utf-16"),
        said(exp=1).replace(b"1}", b"1e999}"),
    ],
)
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(Garbage):
        judged(body, CORP, NOW)


def test_what_no_header_can_hold_isnt_there() -> None:
    for wrong in ("a\r\nb", "a\0", " a", "a ", "\ud800", "x" * 9000, "", None, [2**70], {"a": "\ud800"}):
        assert told(department=wrong).lines == told().lines, wrong
    assert told(level="x").lines == told().lines, "a path into a text leads nowhere"
    with pytest.raises(Garbage):
        judged(said(**{f"c{i}": "x" * 7000 for i in range(6)}), replace(CORP, headers={f"h{i}": f"c{i}" for i in range(6)}), NOW)
