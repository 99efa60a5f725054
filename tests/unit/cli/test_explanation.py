"""A decision in words: what would have let the request through, from the policies' own text."""

from dataclasses import replace
from typing import Any

import pytest

from bartizan.cli.explanation import Explanation
from bartizan.model.covering import Covering
from bartizan.telemetry.explained import remedy

CALLERS = {"kind": "Authenticate", "name": "callers", "any": [{"api_key": True}, {"jwt": "corp"}, {"mtls": "partners"}]}
GOLD = {"kind": "Authorize", "name": "gold", "allow": 'principal.plan == "gold"\n'}
LATER = {"kind": "Authorize", "name": "later", "allow": "principal.level > 3"}
TRIED = {"kind": "Authorize", "name": "tried", "allow": "principal.level > 4", "mode": "shadow"}
LIMIT = {
    "kind": "RateLimit",
    "name": "limit",
    "per": ["principal.id", "route"],
    "tiers": [{"when": 'principal.plan == "gold"', "windows": ["9/second", "99/day"]}, {"when": None, "windows": ["1/second"]}],
}
PLACES = {
    "kind": "IpAccess",
    "name": "places",
    "target": {"api": "a"},
    "mode": "enforce",
    "floor": False,
    "deny": ["10.0.0.0/8"],
    "allow": [],
}
DECLARED = {f"{one['kind']}/{one['name']}": one for one in (CALLERS, GOLD, LATER, TRIED, LIMIT, PLACES)}
CHAIN = (
    *(Covering(name, "decides") for name in ("Authenticate/callers", "Authorize/gold", "Authorize/later")),
    Covering("Authorize/tried", "decides", shadow=True),
    Covering("RateLimit/limit", "counts"),
)


def explained(details: str) -> Explanation:
    record: dict[str, Any] = {
        "http_method": "GET",
        "host": "h",
        "path": "/a",
        "time": "T",
        "status": 403,
        "details": details,
        "policies": "Authenticate/callers Authorize/gold Authorize/later",
        "revision": "r",
        "api": "a",
        "route": "/a",
        "principal": "acme",
        "auth_method": "api_key",
        "source": "192.0.2.1",
        "attributes": {"plan": "free", "level": None},
        "groups": None,
    }
    return Explanation(record, CHAIN, DECLARED, ("a note",))


WAYS = "Authenticate/callers lets through with an API key or a token of corp or a certificate of partners"
IS_GOLD = 'Authorize/gold lets through where: principal.plan == "gold"'
IS_LATER = "Authorize/later lets through where: principal.level > 3"
LIMITED = 'RateLimit/limit lets through 9/second and 99/day where principal.plan == "gold"; 1/second, for each principal.id, route'


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        ("Authenticate/callers", WAYS),
        ("Authorize/gold", IS_GOLD),
        ("RateLimit/limit", LIMITED),
        ("IpAccess/places", "IpAccess/places says:\n  deny:\n  - 10.0.0.0/8"),
    ],
)
def test_a_policy_in_its_own_words(policy: str, text: str) -> None:
    assert remedy(policy, DECLARED[policy]) == text


def test_what_refused_comes_first_and_what_was_not_asked_after_it() -> None:
    refused = explained("rbac_access_denied_matched_policy[Authorize/gold]")
    assert list(refused.remedies()) == [IS_GOLD, IS_LATER]
    stranger = explained("rbac_access_denied_matched_policy[Authenticate/callers]")
    assert list(stranger.remedies()) == [WAYS, IS_GOLD, IS_LATER]
    assert list(explained("unknown_api_key").remedies()) == [WAYS, IS_GOLD, IS_LATER]


def test_a_used_up_limit_is_told_and_what_is_let_through_needs_nothing() -> None:
    assert list(explained("local_rate_limited").remedies()) == [LIMITED]
    assert list(explained("via_upstream").remedies()) == []


def test_it_is_shown_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    explained("rbac_access_denied_matched_policy[Authorize/gold]").show()
    assert capsys.readouterr().out.splitlines() == [
        "GET h/a at T: refused with 403",
        "by Authorize/gold: its condition didn't hold",
        "revision r, api a, route /a",
        "principal acme by api_key, from 192.0.2.1",
        "  plan = free",
        "  level = missing, or no policy asks for it",
        "  groups = missing, or no policy asks for it",
        "policies, in the order of the chain:",
        "  Authenticate/callers: allowed",
        "  Authorize/gold: denied",
        "  Authorize/later: not reached",
        "  Authorize/tried: not reached (shadow)",
        "  RateLimit/limit: not reached",
        IS_GOLD,
        IS_LATER,
        "a note",
    ]


def test_as_json_it_holds_the_same() -> None:
    told = explained("unknown_api_key").told()
    assert (told["decision"]["by"], told["remedy"], told["notes"]) == ("credentials", [WAYS, IS_GOLD, IS_LATER], ["a note"])
    assert told["record"]["principal"] == "acme"


def test_of_what_has_not_happened_it_tells_what_would_be(capsys: pytest.CaptureFixture[str]) -> None:
    told = {"unknown_api_key": "would be refused with 403", "via_upstream": "would be let through"}
    for details, outcome in told.items():
        replace(explained(details), hypothetical=True).show()
        assert capsys.readouterr().out.splitlines()[0] == f"GET h/a at T: {outcome}"
