"""What a record says of a request, told to the gateway's owner: who decided, which policies were asked, what they saw."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_NAMED = re.compile(r"rbac_access_denied_matched_policy\[(.+)\]")
_TOKEN = re.compile(r"jwt_authn_access_denied\{(.+)\}")
_REASONS = {
    "unknown_api_key": ("credentials", "the API key is unknown, expired or revoked"),
    "missing_api_key": ("credentials", "the API key is empty"),
    "local_rate_limited": ("RateLimit", "a limit is used up"),
    "request_payload_too_large": ("Protect", "the body is larger than the Protect policy allows"),
    "http1.headers_too_large": ("Protect", "the headers are larger than the gateway's Protect policy allows"),
    "http1.too_many_headers": ("Protect", "there are more headers than the gateway's Protect policy allows"),
    "request_header_timeout": ("Protect", "the headers came too slowly"),
    "request_overall_timeout": ("Protect", "the request came too slowly"),
    "upstream_reset_before_response_started{overflow}": ("Protect", "the upstream is given as much as its Protect policy allows already"),
    "route_not_found": ("default deny", "no route of the API answers this"),
}
_FRAME = {
    "malformed-path": "the path holds what parsers disagree about: ';', '\\', an encoded letter, slash or dot, or no ASCII",
    "url-too-long": "path and query are longer than the Protect policy of the gateway allows",
    "no-api": "no API answers on this host and path",
    "malformed-credential": "the credential isn't in a form that can be checked",
    "ambiguous-credential": "there is more than one credential",
    "blocked-source": "the source is blocked for too many failed attempts",
    "method-not-allowed": "the API doesn't answer this method",
    "default-deny": "no policy let it through",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one policy said."""

    policy: str
    allowed: bool
    shadow: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """Why a request went as it did."""

    refused: bool
    by: str
    """The policy that refused, `default deny`, or `upstream` when it was let through."""
    why: str
    verdicts: tuple[Verdict, ...]


def decision_of(record: Mapping[str, Any]) -> Decision:
    """The decision that a record tells."""
    details = str(record.get("details") or "")
    verdicts = _verdicts(record.get("verdicts") or {})
    if details == "via_upstream":
        return Decision(False, "upstream", "every policy let it through", verdicts)
    named = _NAMED.fullmatch(details)
    if named is not None:
        policy = named[1]
        by = "default deny" if policy == "default-deny" else policy
        return Decision(True, by, _FRAME.get(policy, "its condition didn't hold"), verdicts)
    token = _TOKEN.fullmatch(details)
    if token is not None:
        return Decision(True, "credentials", f"the token isn't good: {token[1].replace('_', ' ')}", verdicts)
    if details in _REASONS:
        by, why = _REASONS[details]
        return Decision(True, by, why, verdicts)
    refused = int(record.get("status") or 0) >= 400
    return Decision(refused, "Envoy", details.replace("_", " ") or "the connection ended", verdicts)


def _verdicts(found: Mapping[str, Any]) -> tuple[Verdict, ...]:
    verdicts = []
    for key, value in found.items():
        policy, _, what = key.rpartition(".")
        if "/" in policy and what.endswith("engine_result"):
            verdicts.append(Verdict(policy, value == "allowed", what.startswith("shadow")))
    return tuple(verdicts)
