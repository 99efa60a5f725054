"""The record: one line of JSON for each request, written by Envoy itself. Every field is bounded, and escaped as JSON.

What isn't there is empty or left out.
"""

from collections.abc import Sequence
from typing import Any

from bartizan.condition.schema import DEVICE
from bartizan.envoy import extension, message, names
from bartizan.model.gateway import Gateway

REQUESTS = "records/requests.jsonl"
FAILURES = "records/failures.jsonl"
"""Failed attempts to authenticate, apart, so that whoever watches them needn't read everything."""


_ADDRESS = "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"
_MASKED = "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(24)%"


_AS_TEXT = "%VIRTUAL_CLUSTER_NAME%"
"""A second operator, always empty: with two of them Envoy writes text, with one it copies all metadata of the request for each field."""


def _metadata(kind: str, namespace: str, key: str, most: str = "") -> str:
    """Metadata as text: a tenth of the cost of metadata as a value. Empty if there is none."""
    return f"%{kind}({namespace}:{key}){most}%{_AS_TEXT}"


def _principal(key: str, kind: str = "string") -> str:
    if kind == "number":
        return f"%DYNAMIC_METADATA({names.PRINCIPAL}:{key})%"
    return _metadata("DYNAMIC_METADATA", names.PRINCIPAL, key, ":256")


def _route(key: str) -> str:
    return _metadata("METADATA", "ROUTE:bartizan", key)


_DEVICE = {name: _principal(name) for name in DEVICE}
_TLS = {
    "ja4": "%TLS_JA4_FINGERPRINT%",
    "certificate": "%DOWNSTREAM_PEER_FINGERPRINT_256%",
    "certificate_ends": "%DOWNSTREAM_PEER_CERT_V_END(%s)%",
    "tls": "%DOWNSTREAM_TLS_VERSION%",
    **_DEVICE,
}
"""What only a listener with TLS can know."""


def _places(gateway: Gateway) -> dict[str, Any]:
    """Where it came from, as far as some policy may ask for it."""
    told = {name.removeprefix("source."): _principal(name) for name in gateway.places.told()}
    return {"place": told} if told else {}


def _fields(gateway: Gateway) -> dict[str, Any]:
    return {
        "time": "%START_TIME%",  # as RFC 3339 with milliseconds, which Envoy keeps ready for each second
        "request_id": "%STREAM_ID%",
        "revision": _route("revision"),
        "generation": _principal("generation"),
        "api": "%ROUTE_NAME%",
        "route": _route("route"),
        "principal": _principal("id"),
        "auth_method": _principal("method"),
        "issuer": _principal("issuer"),
        "key": _principal("key"),
        "attributes": {name: _principal(name, kind) for name, kind in gateway.attributes.items()},
        "groups": _principal("groups"),
        "http_method": "%REQ(:METHOD):32%",
        "host": "%REQ(:AUTHORITY):256%",
        "path": "%PATH(NQ:PATH):1024%",
        "status": "%RESPONSE_CODE%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "flags": "%RESPONSE_FLAGS%",
        "policies": _route("policies"),
        "source": _MASKED if gateway.records.pseudonymise else _ADDRESS,
        **_places(gateway),
        "user_agent": "%REQ(USER-AGENT):256%",
        "protocol": "%PROTOCOL%",
        "traceparent": "%REQ(TRACEPARENT):64%",
        "bytes_in": "%BYTES_RECEIVED%",
        "bytes_out": "%BYTES_SENT%",
        "duration_ms": "%DURATION%",
        "upstream_ms": "%RESPONSE_DURATION%",
    }


_FAILURE_FIELDS = {
    "time": "%START_TIME(%s)%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "source": _ADDRESS,
}


# Neither the upstream's own 401 nor a request without any credential is an attempt. (A key that isn't known is refused before.)
_ATTEMPTED = (
    "response.code_details != 'via_upstream' && ('authorization' in request.headers"
    " || !response.code_details.startsWith('rbac_access_denied_matched_policy[Authenticate/'))"
)
_FAILED = [
    # 401, or what a caller that speaks gRPC is told instead: status 200 and UNAUTHENTICATED.
    {"grpc_status_filter": {"statuses": ["UNAUTHENTICATED"]}},
    {
        "extension_filter": extension(
            "ours", message("envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter", expression=_ATTEMPTED)
        )
    },
]


_SHADOWS = {"shadows": f"%DYNAMIC_METADATA({names.RBAC_VERDICTS})%"}
"""What policies in shadow said. Metadata as a value costs as much as half of the rest, so only routes with such policies tell it."""


def _noted(wanted: bool) -> dict[str, Any]:
    """Whether a policy in shadow was asked."""
    value = {"present_match": True} if wanted else {"string_match": {"exact": "no"}}
    matcher = {"filter": names.SHADOWS, "path": [{"key": "noted"}], "value": value}
    return {"metadata_filter": {"matcher": matcher, "match_if_key_not_found": {"value": not wanted}}}


_OPEN_FIELDS = {
    "id": "%STREAM_ID%",
    "peer": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%",
    "local": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "principal": _principal("id"),
    "key": _principal("key"),
    "device": _principal("device_id"),
    "source": _ADDRESS,
    "stripped": _route("stripped"),
    "path": "%PATH(NQ:PATH):1024%",
}


def _told_while_open(wanted: bool) -> dict[str, Any]:
    return {"log_type_filter": {"types": ["DownstreamPeriodic"], "exclude": not wanted}}


def _all(*filters: dict[str, Any]) -> dict[str, Any]:
    return {"and_filter": {"filters": list(filters)}}


def _log(path: str, fields: dict[str, Any], only: dict[str, Any]) -> dict[str, Any]:
    form = {"json_format": fields, "json_format_options": {"sort_properties": False}, "omit_empty_values": True}
    log = extension(path, message("envoy.extensions.access_loggers.file.v3.FileAccessLog", path=path, log_format=form))
    return {**log, "filter": only}


def access_logs(gateway: Gateway, *, tls: bool, bound: bool = False, sources: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The record of every request to a listener with or without TLS; apart the failed attempts to authenticate, and the open streams.
    `bound`: tokens may be bound to something; `sources`: the context sources, of which is told when they said what counted."""
    proven = {"bound": _principal("bound"), **_DEVICE}
    fields = {**_fields(gateway), **(_TLS if tls else {}), **(proven if bound else {})}
    if sources:
        fields["context"] = {name: _metadata("DYNAMIC_METADATA", names.CONTEXT_AGES, name, ":32") for name in sources}
    return [
        _log(REQUESTS, fields, _all(_told_while_open(False), _noted(False))),
        _log(REQUESTS, {**fields, **_SHADOWS}, _all(_noted(True), _told_while_open(False))),
        _log(FAILURES, _FAILURE_FIELDS, _all(*_FAILED)),
        _log(names.OPEN, _OPEN_FIELDS, _told_while_open(True)),
    ]
