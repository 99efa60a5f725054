"""What a record says of a request, told to the gateway's owner: who decided, which policies were asked, what they saw."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from bartizan.model.covering import Covering

_NAMED = re.compile(r"rbac_access_denied_matched_policy\[(.+)\]")
_TOKEN = re.compile(r"jwt_authn_access_denied\{(.+)\}")
_DEFAULT_DENY = "default deny"
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
    "ext_authz_denied": (
        "credentials",
        "the proof beside the token (DPoP) isn't good, was used before, or lacks our nonce",
    ),
    "ext_authz_error": ("credentials", "the process that checks proofs (DPoP) and asks issuers about tokens can't be reached"),
    "rbac_access_denied_matched_policy[inactive-token]": (
        "credentials",
        "the issuer was asked about the token, and it doesn't count: it was revoked, has expired, or is for something else",
    ),
    "path_normalization_failed": ("malformed-path", "the path holds an encoded slash, or leads above its beginning"),
    "route_not_found": (_DEFAULT_DENY, "no route of the API answers this"),
}
_FRAME = {
    "malformed-path": "the path holds what parsers disagree about: ';', '\\', an encoded letter, slash or dot, or no ASCII",
    "malformed-request": "the host isn't one host name or address, or the method isn't in capitals",
    "url-too-long": "path and query are longer than the Protect policy of the gateway allows",
    "no-api": "no API answers on this host and path",
    "malformed-credential": "the credential isn't in a form that can be checked",
    "ambiguous-credential": "there is more than one credential",
    "lost-device": "the device was lost",
    "unbound-token": "a client certificate came with a token that isn't bound to any: two credentials",
    "unasked-token": "the token's issuer couldn't be asked about it: its introspection endpoint fails, or too many unknown tokens came",
    "unproven-token": "the token is bound to a certificate that didn't come with it",
    "wrong-token-type": "the token is of a type (`typ`) that its Issuer doesn't name",
    "blocked-source": "the source is blocked for too many failed attempts",
    "method-not-allowed": "the API doesn't answer this method",
    "upgrade-not-enabled": "the API doesn't take upgrades, or not this one: see its field `websocket`",
    "default-deny": "no policy let it through",
}
REFUSERS = frozenset({*(_FRAME.keys() - {"default-deny"}), *(by for by, _ in _REASONS.values()), "Envoy"})
"""What can have refused a request, other than a policy that is named."""
_LOGIN = re.compile(r"oauth\.|CSRF_token|State_query_param|OAuth_server_returned|Required_query_param|Failed_to_decrypt")
_ANSWERED = {
    "cors_response": ("Cors", "it is a preflight, which the gateway answers itself, before it asks who calls"),
    "oauth.missing_credentials": ("Login", "who opens this page has no session, and was sent to log in"),
    "oauth.logged_in": ("Login", "the login has ended well, and the page that was asked for follows"),
    "oauth.sign_out": ("Login", "the session was ended"),
}
"""What the gateway answers itself, and isn't a refusal."""
_KNOWN = {name: (True, *told) for name, told in _REASONS.items()} | {name: (False, *told) for name, told in _ANSWERED.items()}
_SILENT = ("RateLimit", "Protect")
"""Kinds that refuse without saying which policy it was."""
_BEHIND = frozenset(
    {
        *("via_upstream", "local_rate_limited", "method-not-allowed", "upgrade-not-enabled", "maintenance_mode"),
        *("request_payload_too_large", "response_payload_too_large"),
        *("request_overall_timeout", "stream_idle_timeout", "max_duration_timeout", "duration_timeout"),
    }
)
"""What can only happen to a request on a route that all policies that decide let through."""
_UPSTREAM = re.compile(r"(upstream_|no_healthy_upstream|response_timeout|cluster_not_found)")
_CALLER = re.compile(r"(downstream_remote_disconnect|client_disconnect|http[12]\.remote_)")

Said = Literal["allowed", "denied", "not reached", "counted", "perhaps used up", "applies"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one policy said. `perhaps used up`: a limit was, and this is one of several that may have been it."""

    policy: str
    said: Said
    shadow: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """Why a request went as it did."""

    refused: bool
    by: str
    """The policy that refused, `default deny`, or `upstream` when it was let through."""
    why: str
    verdicts: tuple[Verdict, ...]
    """In the order of the chain, if the policies that cover the request were given."""


def decision_of(record: Mapping[str, Any], covering: Sequence[Covering] = ()) -> Decision:
    """The decision that a record tells. `covering`: the policies that cover such a request, in the order of the chain."""
    refused, by, why = _outcome(record)
    suspects = tuple(one.policy for one in covering if by in _SILENT and one.policy.startswith(f"{by}/") and not one.shadow)
    counted = by in {"upstream", "caller", "RateLimit"}
    if len(suspects) == 1:
        by = suspects[0]
    elif suspects:
        why += f": one of {', '.join(suspects)}"
    said = {verdict.policy: verdict for verdict in (*_enforced(record), *_shadows(record.get("shadows") or {}))}
    listed = [said.pop(one.policy) if one.policy in said else _unasked(one, suspects, counted) for one in covering]
    return Decision(refused, by, why, tuple(_noted(one, record) for one in (*listed, *said.values())))


def _outcome(record: Mapping[str, Any]) -> tuple[bool, str, str]:
    """Whether it was refused, by what, and why."""
    details = str(record.get("details") or "")
    if details == "via_upstream":
        return False, "upstream", "every policy let it through"
    if details in _KNOWN:
        return _KNOWN[details]
    if (named := _NAMED.fullmatch(details)) is not None:
        by = _DEFAULT_DENY if named[1] in {"default-deny", "none"} else named[1]
        unmet = "the request shows no credential that it accepts" if by.startswith("Authenticate/") else "its condition didn't hold"
        return True, by, _FRAME.get(named[1], unmet)
    if (token := _TOKEN.fullmatch(details)) is not None:
        trouble = "the issuer's keys aren't there" if _lacks_keys(token[1]) else "the token isn't good"
        return True, "credentials", f"{trouble}: {token[1].replace('_', ' ')}"
    if _LOGIN.match(details):
        return True, "Login", "what came back from the login isn't good, or belongs to no login of this browser's"
    reason = details.replace("_", " ")
    if _UPSTREAM.match(details):
        return False, "upstream", f"every policy let it through, and the upstream failed: {reason}"
    if _CALLER.match(details):
        return False, "caller", f"the caller hung up: {reason}"
    return int(record.get("status") or 0) >= 400, "Envoy", reason or "the connection ended"


def _lacks_keys(reason: str) -> bool:
    return reason.startswith("Jwks") and "kid" not in reason


def _unasked(one: Covering, suspects: Sequence[str], counted: bool) -> Verdict:
    """What there is to say of a policy that left no verdict."""
    if one.policy in suspects:
        return Verdict(one.policy, "denied" if len(suspects) == 1 else "perhaps used up", False)
    if one.role == "configures":
        return Verdict(one.policy, "applies", one.shadow)
    if one.role == "counts" and counted:
        return Verdict(one.policy, "counted", one.shadow)
    return Verdict(one.policy, "not reached", one.shadow)


def _enforced(record: Mapping[str, Any]) -> Iterator[Verdict]:
    """What the enforced policies said: each lets through until one refuses, and none is asked before the credentials are known."""
    details, policies = str(record.get("details") or ""), str(record.get("policies") or "").split()
    named = _NAMED.fullmatch(details)
    refusing = named[1] if named else ""
    passed = details in _BEHIND or refusing in _BEHIND or bool(_UPSTREAM.match(details) or _CALLER.match(details))
    asked = passed or refusing in policies
    for policy in policies:
        denied = policy == refusing
        yield Verdict(policy, "denied" if denied else "allowed" if asked else "not reached", False)
        asked = asked and not denied


def _shadows(found: Mapping[str, Any]) -> Iterator[Verdict]:
    for key, value in found.items():
        policy, _, what = key.rpartition(".")
        if what == "shadow_engine_result":
            yield Verdict(policy, "allowed" if value == "allowed" else "denied", True)


def _noted(verdict: Verdict, record: Mapping[str, Any]) -> Verdict:
    """The verdict with the bucket that the request counts against, where the record tells it."""
    for limit in record.get("limits") or ():
        if limit["policy"] == verdict.policy:
            per = ", ".join(f"{name} = {value}" for name, value in limit["per"].items())
            return replace(verdict, note=f"{' and '.join(limit['windows'])} for {per}")
    return verdict
