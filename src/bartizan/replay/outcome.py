"""What a record says that the policies decided then. What refused for other reasons is told apart: no policy has a say in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bartizan.telemetry.decision import Decision, decision_of

_BY_LIMITS = frozenset(
    {
        *("local_rate_limited", "request_payload_too_large", "response_payload_too_large", "request_overall_timeout"),
        *("upstream_reset_before_response_started{overflow}", "maintenance_mode"),
    }
)
"""Refused, but by what counts or measures: every policy had let it through."""
_BLOCK = "rbac_access_denied_matched_policy[block/"
_SIZES = "its length isn't recorded"
_PATH = "its path couldn't be normalised, and isn't recorded as it came"
_FRAME = "Envoy refused it before any policy was asked"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was decided then."""

    refused: bool
    by: str
    """The policy that refused, or what did: the words of `telemetry.decision`."""


@dataclass(frozen=True, slots=True)
class NoDecision:
    """Why the policies had no say in it."""

    reason: str


def outcome(record: Mapping[str, Any]) -> Recorded | NoDecision:
    """What was decided then."""
    return _outcome(str(record.get("details") or ""), int(record.get("status") or 0), bool(record.get("api")))


@lru_cache(maxsize=4096)
def _outcome(details: str, status: int, routed: bool) -> Recorded | NoDecision:
    if details in _BY_LIMITS:
        return Recorded(False, "a limit") if routed else NoDecision(_FRAME)
    if details.startswith(_BLOCK):
        return NoDecision("a block refused it")
    if details == "path_normalization_failed":
        return NoDecision(_PATH)
    decision = decision_of({"details": details, "status": status})
    if (reason := _live(decision, details)) is not None:
        return NoDecision(reason)
    if not decision.refused and not routed:
        return NoDecision("it came to no API, and wasn't refused")
    return Recorded(decision.refused, decision.by)


_LIVE = {
    "blocked-source": "its source was blocked for too many failed attempts",
    "lost-device": "its device was lost",
    "wrong-token-type": "its token was of a type that its issuer doesn't name, and the type isn't recorded",
    "unbound-token": "a client certificate came with its token, which wasn't bound to any",
    "unasked-token": "its token's issuer couldn't be asked about it",
    "unproven-token": "its token is bound to a certificate that didn't come with it",
    "url-too-long": f"its URL was too long, and {_SIZES}",
    "Login": "it was sent to log in, or came back from there",
    "Protect": f"its headers were too large or came too slowly, and {_SIZES}",
    "Envoy": _FRAME,
}
"""What refuses by live data or sizes, whatever the policies say."""


def _live(decision: Decision, details: str) -> str | None:
    """Why another revision would have no say in it, if it wouldn't."""
    if details.startswith("ext_authz_"):
        return "the proof that came with its token wasn't good, and isn't recorded"
    if decision.by == "credentials" and decision.why.startswith("the issuer's keys aren't there"):
        return "the keys of the token's issuer weren't there"
    return _LIVE.get(decision.by)
