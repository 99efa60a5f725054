"""What a refused caller sees: RFC 9457 problem+json with the right status, a stable type and the request's id, and nothing about rules."""

from dataclasses import dataclass
from typing import Any

from bartizan.envoy import extension, message
from bartizan.model.gateway import Gateway

TYPE = "urn:bartizan:problem:"


@dataclass(frozen=True, slots=True)
class Answer:
    """One kind of refusal: which response code details lead to it (CEL, `$` for the details), and what the caller gets."""

    when: str
    status: int
    type: str
    title: str
    challenge: str = ""
    challenged: bool = True
    """Whether a 401 is challenged here."""


def _denied(*policies: str) -> str:
    return " || ".join(f"$ == 'rbac_access_denied_matched_policy[{policy}]'" for policy in policies)


ANSWERS: tuple[Answer, ...] = (
    Answer(_denied("malformed-path"), 400, "malformed-request", "The request's path is malformed."),
    Answer(_denied("malformed-request"), 400, "malformed-request", "The request is malformed."),
    Answer(_denied("url-too-long"), 414, "url-too-long", "The request's URL is too long."),
    Answer("$ == 'request_payload_too_large'", 413, "body-too-large", "The request's body is too large."),
    Answer("$ in ['http1.headers_too_large', 'http1.too_many_headers']", 431, "headers-too-large", "The request's headers are too large."),
    Answer("$ in ['request_header_timeout', 'request_overall_timeout']", 408, "too-slow", "The request took too long to arrive."),
    Answer("$ == 'upstream_reset_before_response_started{overflow}'", 503, "overloaded", "Too many requests are being served. Try again."),
    Answer("$ == 'direct_response' && response.code == 403", 403, "https-only", "This is served over HTTPS only."),
    # An issuer couldn't be asked about a token: not the caller's fault.
    Answer(_denied("unasked-token"), 503, "unavailable", "The service is not available."),
    Answer(_denied("no-api"), 404, "not-found", "There is nothing here."),
    Answer("$ == 'route_not_found'", 404, "not-found", "There is nothing here."),
    Answer(_denied("blocked-source"), 429, "too-many-attempts", "Too many failed attempts. Try again later."),
    # The keys of an issuer couldn't be fetched: our fault, not the caller's.
    Answer("$.startsWith('jwt_authn_access_denied{Jwks') && !$.contains('kid')", 503, "unavailable", "The service is not available."),
    Answer("$.startsWith('jwt_authn_access_denied')", 401, "unauthenticated", "A valid credential is needed.", 'error="invalid_token"'),
    Answer(
        "$ in ['unknown_api_key', 'missing_api_key'] || "
        + _denied("malformed-credential", "ambiguous-credential", "wrong-token-type", "inactive-token", "unproven-token")
        + " || "
        + _denied("unbound-token", "lost-device"),
        401,
        "unauthenticated",
        "A valid credential is needed.",
        'error="invalid_token"',
    ),
    Answer("$.startsWith('rbac_access_denied_matched_policy[Authenticate/')", 401, "unauthenticated", "A valid credential is needed."),
    # How to prove it is told by who checks the proof.
    Answer("$ == 'ext_authz_denied'", 401, "unauthenticated", "A valid credential is needed.", challenged=False),
    Answer("$ == 'ext_authz_error'", 503, "unavailable", "The service is not available."),
    # How to log in is the policy's matter, and stands on its route.
    Answer(
        "$.startsWith('rbac_access_denied_matched_policy[RequireFactor/')",
        401,
        "stronger-login-needed",
        "A stronger or more recent login is needed.",
        challenged=False,
    ),
    Answer(_denied("method-not-allowed"), 405, "method-not-allowed", "The method is not allowed here."),
    Answer("$.startsWith('rbac_access_denied')", 403, "forbidden", "You may not do this."),
    Answer("$ == 'local_rate_limited'", 429, "too-many-requests", "Too many requests. Try again later."),
    # What Envoy itself answers before there is a route, or when the upstream doesn't.
    Answer("response.code == 400", 400, "malformed-request", "The request is malformed."),
    Answer("response.code == 404", 404, "not-found", "There is nothing here."),
    Answer("response.code == 504", 504, "timeout", "The service took too long."),
    Answer("response.code in [502, 503]", 503, "unavailable", "The service is not available."),
)


def _body(kind: str, title: str) -> dict[str, Any]:
    fields = {"type": TYPE + kind, "title": title, "status": "%RESPONSE_CODE%", "request_id": "%STREAM_ID%"}
    return {"json_format": fields, "content_type": "application/problem+json"}


def local_replies(gateway: Gateway) -> dict[str, Any]:
    """Every answer that Envoy itself gives, in our form."""
    mappers = []
    for answer in ANSWERS:
        expression = answer.when.replace("$", "response.code_details")
        cel = message("envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter", expression=expression)
        mapper: dict[str, Any] = {
            "filter": {"extension_filter": extension("cel", cel)},
            "status_code": {"value": answer.status},
            "body_format_override": _body(answer.type, answer.title),
        }
        if answer.status == 405:
            mapper["headers_to_add"] = [_header("allow", "%METADATA(ROUTE:bartizan:allow)%")]
        if answer.status == 401 and answer.challenged:
            detail = f", {answer.challenge}" if answer.challenge else ""
            mapper["headers_to_add"] = [_header("www-authenticate", f'Bearer realm="{gateway.name}"{detail}')]
        mappers.append(mapper)
    return {"mappers": mappers, "body_format": _body("error", "The request could not be served.")}


def _header(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
