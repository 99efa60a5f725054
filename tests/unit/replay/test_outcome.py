"""What a record says that the policies decided."""

import pytest

from bartizan.replay.outcome import NoDecision, Recorded, outcome

_RBAC = "rbac_access_denied_matched_policy[{}]"


@pytest.mark.parametrize(
    ("details", "status", "wanted"),
    [
        ("via_upstream", 200, Recorded(False, "upstream")),
        ("via_upstream", 404, Recorded(False, "upstream")),
        ("upstream_reset_before_response_started{connection_termination}", 503, Recorded(False, "upstream")),
        ("response_timeout", 504, Recorded(False, "upstream")),
        ("downstream_remote_disconnect", 0, Recorded(False, "caller")),
        ("local_rate_limited", 429, Recorded(False, "a limit")),
        ("request_payload_too_large", 413, Recorded(False, "a limit")),
        ("upstream_reset_before_response_started{overflow}", 503, Recorded(False, "a limit")),
        ("cors_response", 200, Recorded(False, "Cors")),
        (_RBAC.format("Authorize/refunds"), 403, Recorded(True, "Authorize/refunds")),
        (_RBAC.format("Authorize/refunds"), 200, Recorded(True, "Authorize/refunds")),  # to a caller that speaks gRPC
        (_RBAC.format("method-not-allowed"), 405, Recorded(True, "method-not-allowed")),
        (_RBAC.format("default-deny"), 403, Recorded(True, "default deny")),
        ("unknown_api_key", 401, Recorded(True, "credentials")),
        ("jwt_authn_access_denied{Jwt_is_expired}", 401, Recorded(True, "credentials")),
    ],
)
def test_of_requests_with_a_route(details: str, status: int, wanted: Recorded) -> None:
    assert outcome({"details": details, "status": status, "api": "orders"}) == wanted


@pytest.mark.parametrize(
    ("details", "status"),
    [
        (_RBAC.format("blocked-source"), 429),
        (_RBAC.format("block/3"), 403),
        (_RBAC.format("url-too-long"), 414),
        ("http1.headers_too_large", 431),
        ("http1.codec_error", 400),
        ("path_normalization_failed", 400),
        ("jwt_authn_access_denied{Jwks_remote_fetch_is_failed}", 503),
        ("direct_response", 403),
        ("downstream_remote_disconnect", 0),
        ("", 0),
    ],
)
def test_what_policies_have_no_say_in(details: str, status: int) -> None:
    found = outcome({"details": details, "status": status})
    assert isinstance(found, NoDecision) and found.reason


def test_a_path_that_leads_nowhere_was_refused() -> None:
    assert outcome({"details": _RBAC.format("no-api"), "status": 404}) == Recorded(True, "no-api")
