"""What a record says: who decided, why, and what each policy said, in the order of the chain."""

from typing import Any

import pytest

from bartizan.model.covering import Covering
from bartizan.telemetry.decision import Verdict, decision_of

CHAIN = (
    Covering("Cors/shops", "configures"),
    Covering("Authenticate/callers", "decides"),
    Covering("Authorize/candidate", "decides", shadow=True),
    Covering("Authorize/refunds", "decides"),
    Covering("RateLimit/by-plan", "counts"),
    Covering("RateLimit/tried", "counts", shadow=True),
    Covering("Protect/default", "configures"),
)


POLICIES = "Authenticate/callers Authorize/refunds"
"""The enforced ones that decide, as Envoy writes them into the record of each request on the route."""


def record(details: str, *shadows: str, status: int = 403, **more: Any) -> dict[str, Any]:
    """A record of a request on the route; a verdict of a policy in shadow is `policy=allowed`."""
    found = {
        "enforced_engine_result": "denied",
        "enforced_effective_policy_id": "Authorize/refunds",
    }  # Envoy's own note, of the last filter
    for text in shadows:
        policy, _, said = text.partition("=")
        found[f"{policy}.shadow_engine_result"] = said
        found[f"{policy}.shadow_effective_policy_id"] = policy
    return {"details": details, "status": status, "policies": POLICIES, "shadows": found if shadows else None, **more}


def denied(policy: str) -> str:
    return f"rbac_access_denied_matched_policy[{policy}]"


@pytest.mark.parametrize(
    ("details", "status", "refused", "by", "why"),
    [
        ("via_upstream", 200, False, "upstream", "every policy let it through"),
        ("via_upstream", 503, False, "upstream", "every policy let it through"),
        (denied("Authorize/refunds"), 403, True, "Authorize/refunds", "condition"),
        (denied("Authenticate/callers"), 401, True, "Authenticate/callers", "no credential"),
        (denied("default-deny"), 403, True, "default deny", "no policy let it through"),
        (denied("none"), 403, True, "default deny", ""),
        (denied("no-api"), 404, True, "no-api", "no API answers"),
        (denied("ambiguous-credential"), 401, True, "ambiguous-credential", "more than one"),
        (denied("blocked-source"), 429, True, "blocked-source", "failed attempts"),
        ("route_not_found", 404, True, "default deny", "no route"),
        ("path_normalization_failed", 400, True, "malformed-path", "encoded slash"),
        ("unknown_api_key", 401, True, "credentials", "unknown, expired or revoked"),
        ("jwt_authn_access_denied{Jwt_is_expired}", 401, True, "credentials", "the token isn't good: Jwt is expired"),
        ("jwt_authn_access_denied{Jwks_doesn't_have_any_valid_public_key}", 503, True, "credentials", "the issuer's keys aren't there"),
        ("jwt_authn_access_denied{Jwks_doesn't_have_key_to_match_kid_or_alg_from_Jwt}", 401, True, "credentials", "the token isn't good"),
        ("local_rate_limited", 429, True, "RateLimit", "a limit is used up"),
        ("request_payload_too_large", 413, True, "Protect", "larger"),
        ("cors_response", 200, False, "Cors", "preflight"),
        ("oauth.missing_credentials", 302, False, "Login", "sent to log in"),
        ("oauth.logged_in", 302, False, "Login", "ended well"),
        ("oauth.sign_out", 302, False, "Login", "ended"),
        ("CSRF_token_validation_failed", 401, True, "Login", "isn't good"),
        ('State_query_param_is_not_a_valid_JSON:_{"url":"http://x"', 401, True, "Login", "isn't good"),
        ("upstream_reset_before_response_started{connection_refused}", 503, False, "upstream", "the upstream failed"),
        ("no_healthy_upstream", 503, False, "upstream", "the upstream failed"),
        ("upstream_reset_before_response_started{overflow}", 503, True, "Protect", "as much as"),
        ("downstream_remote_disconnect", 0, False, "caller", "hung up"),
        ("http1.codec_error", 400, True, "Envoy", "http1.codec error"),
        ("", 0, False, "Envoy", "the connection ended"),
    ],
)
def test_who_decided_and_why(details: str, status: int, refused: bool, by: str, why: str) -> None:
    found = decision_of(record(details, status=status))
    assert (found.refused, found.by) == (refused, by)
    assert why in found.why


def test_verdicts_stand_in_the_order_of_the_chain() -> None:
    found = decision_of(record(denied("Authorize/refunds"), "Authorize/candidate=denied"), CHAIN)
    assert found.verdicts == (
        Verdict("Cors/shops", "applies", False),
        Verdict("Authenticate/callers", "allowed", False),
        Verdict("Authorize/candidate", "denied", True),
        Verdict("Authorize/refunds", "denied", False),
        Verdict("RateLimit/by-plan", "not reached", False),
        Verdict("RateLimit/tried", "not reached", True),
        Verdict("Protect/default", "applies", False),
    )


def said(details: str, *shadows: str, chain: tuple[Covering, ...] = CHAIN, **more: Any) -> dict[str, str]:
    return {one.policy: one.said for one in decision_of(record(details, *shadows, **more), chain).verdicts}


FIVE = " ".join(f"Authorize/p{i}" for i in range(5))
ALL, NONE = ["allowed"] * 5, ["not reached"] * 5


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        # A policy refused: those before it let through, those behind it weren't asked.
        (denied("Authorize/p0"), ["denied", *["not reached"] * 4]),
        (denied("Authorize/p2"), ["allowed", "allowed", "denied", "not reached", "not reached"]),
        (denied("Authorize/p4"), [*["allowed"] * 4, "denied"]),
        # Something before the policies refused.
        *((denied(name), NONE) for name in ("malformed-path", "no-api", "malformed-credential", "ambiguous-credential", "blocked-source")),
        *((details, NONE) for details in ("unknown_api_key", "missing_api_key", "jwt_authn_access_denied{Jwt_is_expired}")),
        *((details, NONE) for details in ("cors_response", "route_not_found", "path_normalization_failed")),
        *((details, NONE) for details in ("oauth.missing_credentials", "oauth.logged_in", "CSRF_token_validation_failed")),
        *((details, NONE) for details in ("http1.headers_too_large", "http1.codec_error", "request_header_timeout")),
        # The route's policies didn't run at all, whatever its metadata say.
        (denied("default-deny"), NONE),
        (denied("none"), NONE),
        # Something behind the policies refused.
        *((denied(name), ALL) for name in ("method-not-allowed", "upgrade-not-enabled")),
        *((details, ALL) for details in ("local_rate_limited", "request_payload_too_large", "response_payload_too_large")),
        # All let it through.
        *((details, ALL) for details in ("via_upstream", "no_healthy_upstream", "cluster_not_found", "maintenance_mode")),
        *((details, ALL) for details in ("upstream_reset_before_response_started{connection_refused}", "upstream_response_timeout")),
        *((details, ALL) for details in ("response_timeout", "request_overall_timeout", "stream_idle_timeout", "max_duration_timeout")),
        *((details, ALL) for details in ("downstream_remote_disconnect", "client_disconnected", "http2.remote_reset")),
        # Nothing is said of what isn't known.
        ("", NONE),
        ("something_of_a_later_envoy", NONE),
        # A policy that isn't one of the route's tells nothing of those that are.
        (denied("Authorize/p"), NONE),
        (denied("Authorize/p44"), NONE),
    ],
)
def test_each_end_of_a_request_tells_which_policies_were_asked(details: str, expected: list[str]) -> None:
    found = decision_of(record(details, policies=FIVE))
    assert [(one.policy, one.said, one.shadow) for one in found.verdicts] == [
        (f"Authorize/p{i}", word, False) for i, word in enumerate(expected)
    ]


def test_the_verdicts_of_policies_in_shadow_are_told_whoever_refused() -> None:
    for details in (denied("Authorize/refunds"), "via_upstream", "local_rate_limited"):
        found = said(details, "Authorize/candidate=denied", "Authorize/tried=allowed")
        assert (found["Authorize/candidate"], found["Authorize/tried"]) == ("denied", "allowed")
    # Envoy notes the last filter's own verdict beside them; that is nobody's.
    assert set(said("via_upstream", "Authorize/candidate=denied", chain=())) == {"Authorize/candidate", *POLICIES.split()}


def test_a_route_that_leaves_all_in_is_told_so() -> None:
    for policies in ("", None):
        assert said("via_upstream", policies=policies, chain=()) == {}


def test_what_is_let_through_counts() -> None:
    found = said("via_upstream", status=200)
    assert (found["Authorize/refunds"], found["RateLimit/by-plan"], found["RateLimit/tried"]) == ("allowed", "counted", "counted")


def test_a_used_up_limit_is_the_one_there_is() -> None:
    found = decision_of(record("local_rate_limited", status=429), CHAIN)
    assert (found.by, found.why) == ("RateLimit/by-plan", "a limit is used up")
    assert {one.policy: one.said for one in found.verdicts}["RateLimit/by-plan"] == "denied"
    # In shadow it can't have refused.
    assert {one.policy: one.said for one in found.verdicts}["RateLimit/tried"] == "counted"


def test_a_used_up_limit_is_one_of_several() -> None:
    chain = (*CHAIN, Covering("RateLimit/by-ip", "counts"))
    found = decision_of(record("local_rate_limited", status=429), chain)
    assert (found.by, found.why) == ("RateLimit", "a limit is used up: one of RateLimit/by-plan, RateLimit/by-ip")
    told = {one.policy: one.said for one in found.verdicts}
    assert (told["RateLimit/by-plan"], told["RateLimit/by-ip"], told["RateLimit/tried"]) == (
        "perhaps used up",
        "perhaps used up",
        "counted",
    )


def test_a_protect_that_refused_is_named_and_no_limit_counts() -> None:
    found = decision_of(record("request_payload_too_large", status=413), CHAIN)
    told = {one.policy: one.said for one in found.verdicts}
    assert (found.by, told["Protect/default"], told["RateLimit/by-plan"]) == ("Protect/default", "denied", "not reached")


def test_a_preflight_reaches_nobody() -> None:
    found = said("cors_response", status=200)
    assert (found["Authenticate/callers"], found["Authorize/refunds"], found["RateLimit/by-plan"]) == ("not reached",) * 3


def test_the_bucket_is_noted_where_the_record_tells_it() -> None:
    limits = [{"policy": "RateLimit/by-plan", "tier": 0, "windows": ["5/second", "9/hour"], "per": {"principal.id": "acme"}}]
    found = decision_of(record("via_upstream", status=200, limits=limits), CHAIN)
    assert [one.note for one in found.verdicts if one.note] == ["5/second and 9/hour for principal.id = acme"]


def test_without_the_chain_what_left_a_verdict_is_told_and_policies_that_are_gone_with_it() -> None:
    assert said(denied("Authorize/old"), policies="Authorize/old", chain=()) == {"Authorize/old": "denied"}
    assert said(denied("Authorize/old"), policies="Authorize/old")["Authorize/old"] == "denied"
    assert said("http1.codec_error", policies=None, chain=()) == {}
    assert decision_of({}).refused is False
