"""The listeners: the fixed frame of filters that every request passes. What changes often comes by RDS and ECDS, not here."""

from typing import Any

from bartizan.compile.answers import local_replies
from bartizan.compile.clusters import OTLP
from bartizan.compile.coverage import gateway_wide
from bartizan.compile.records import access_logs
from bartizan.envoy import extension, message, names, packed
from bartizan.envoy.filters import discovered, execute, execute_discovered, fixed, header_mutations, overwrite, refuse, refuse_all
from bartizan.envoy.matching import always, header
from bartizan.model.gateway import Gateway, Listener
from bartizan.model.snapshot import Snapshot
from bartizan.policies.authenticate import bindings
from bartizan.policies.protect import Protect
from bartizan.policies.tls import PlainHttp, Tls

_HTTP = "envoy.extensions.filters.http"
_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
REFUSALS = ("url-too-long", "malformed-path", "malformed-request", "no-api", "malformed-credential", "ambiguous-credential", "lost-device")
KEY_SHARDS = "abcdefghijklmnopqrstuvwxyz234567"
BROUGHT_SHARDS = 16
# Envoy writes headers' names in small letters, whoever sent them.
_REMOVE_OURS = [{"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in (names.PREFIX, "x-envoy-")]
# Status codes for each cluster cost as much as three filters, and are in the records for each route.
_ROUTER = {"suppress_envoy_headers": True, "dynamic_stats": {"value": False}}

# By HTTP/1 callers send no trailers to the upstream; by HTTP/2 they could send there what isn't looked at here, such as a forged identity.
_NO_TRAILERS = [{"remove_on_match": {"key_matcher": {"safe_regex": {"regex": ".*"}}}}]


def listener_of(listener: Listener, snapshot: Snapshot) -> bytes:
    """One listener with everything that stands in front of the routes."""
    policies = tls_of(listener, snapshot)
    fields: dict[str, Any] = {}
    chain: dict[str, Any] = {"filters": [extension("http", _connections(listener, snapshot, policies))]}
    for policy in policies:
        policy.frame(listener, chain, fields)
    made = message(
        "envoy.config.listener.v3.Listener",
        name=listener.name,
        address={"socket_address": {"address": listener.host, "port_value": listener.port}},
        filter_chains=[chain],
        per_connection_buffer_limit_bytes={"value": 1024 * 1024},
        **fields,
    )
    return bytes(made.SerializeToString(deterministic=True))


def _is_bound(snapshot: Snapshot) -> bool:
    """Whether tokens may be bound to something, or tell with which passkey somebody logged in."""
    return bool(bindings(snapshot.policies)) or snapshot.gateway.authorization_server is not None


def _connections(listener: Listener, snapshot: Snapshot, policies: list[Any]) -> Any:
    gateway = snapshot.gateway
    fields: dict[str, Any] = {
        "stat_prefix": listener.name,
        "scoped_routes": {
            "name": "scopes",
            "scope_key_builder": {"fragments": [{"header_value_extractor": {"name": names.H_SCOPE, "index": 0}}]},
            "rds_config_source": {"ads": {}, "resource_api_version": "V3"},
            "scoped_rds": {"scoped_rds_config_source": {"ads": {}, "resource_api_version": "V3"}},
        },
        "http_filters": [*(one for policy in policies for one in policy.filters(listener)), *_filters(gateway)],
        "early_header_mutation_extensions": [_early(gateway, tls=bool(policies))],
        "local_reply_config": local_replies(gateway),
        "access_log": access_logs(gateway, tls=bool(policies), bound=_is_bound(snapshot), sources=sorted(snapshot.contexts)),
        "access_log_options": {"access_log_flush_interval": {"seconds": names.OPEN_EVERY_S}},
        "normalize_path": {"value": True},
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "server_header_transformation": "PASS_THROUGH",
        "server_name": "bartizan",
        "generate_request_id": {"value": True},
        "always_set_request_id_in_response": True,
        "stream_idle_timeout": {"seconds": 300},
        "http2_protocol_options": {
            "max_concurrent_streams": {"value": 128},
            "initial_stream_window_size": {"value": 65536},
            "initial_connection_window_size": {"value": 1048576},
        },
        "upgrade_configs": [{"upgrade_type": "websocket", "enabled": {"value": False}}],
        **(gateway_wide(Protect, snapshot.policies) or Protect.fallback()).connections(),
        **_caller_address(listener),
        **_tracing(gateway),
    }
    return message(_HCM, **fields)


def tls_of(listener: Listener, snapshot: Snapshot) -> list[Tls]:
    """The Tls policy of a listener, if it has one."""
    return [policy for policy in snapshot.policies if isinstance(policy, Tls) and policy.target.listener in {None, listener.name}]


def plain_listener_of(listener: Listener, tls: Tls, plain: PlainHttp, snapshot: Snapshot) -> bytes:
    """Beside a listener with TLS: one without, that leads there or refuses."""
    own, port = plain.listener, plain.port or listener.port
    to_https: dict[str, Any] = {"https_redirect": True, "response_code": "PERMANENT_REDIRECT"}
    if (own.port, port) != (80, 443):
        to_https["port_redirect"] = port
    answer = {"redirect": to_https} if plain.answer == "redirect" else {"direct_response": {"status": 403}}
    routes = {"virtual_hosts": [{"name": "plain", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **answer}]}]}
    connections = message(
        _HCM,
        stat_prefix=names.plain_listener(listener.name),
        route_config=routes,
        http_filters=[fixed("envoy.filters.http.router", message(f"{_HTTP}.router.v3.Router", **_ROUTER))],
        access_log=access_logs(snapshot.gateway, tls=False),
        server_header_transformation="PASS_THROUGH",
        use_remote_address={"value": True},
        **(gateway_wide(Protect, snapshot.policies) or Protect.fallback()).connections(),
        **({"local_reply_config": local_replies(snapshot.gateway)} if plain.answer == "refuse" else {}),
    )
    made = message(
        "envoy.config.listener.v3.Listener",
        name=names.plain_listener(listener.name),
        address={"socket_address": {"address": own.host, "port_value": own.port}},
        filter_chains=[{"filters": [extension("http", connections)]}],
        per_connection_buffer_limit_bytes={"value": 64 * 1024},
    )
    return bytes(made.SerializeToString(deterministic=True))


def _caller_address(listener: Listener) -> dict[str, Any]:
    """Without proxies, the peer is the caller. With them, X-Forwarded-For is believed as far as those proxies wrote it."""
    if not listener.trusted_proxies:
        return {"use_remote_address": {"value": True}}
    cidrs = [{"address_prefix": one.split("/")[0], "prefix_len": {"value": int(one.split("/")[1])}} for one in listener.trusted_proxies]
    detection = message(
        "envoy.extensions.http.original_ip_detection.xff.v3.XffConfig", xff_trusted_cidrs={"cidrs": cidrs}, skip_xff_append={"value": False}
    )
    return {"use_remote_address": {"value": False}, "original_ip_detection_extensions": [extension("xff", detection)]}


def _tracing(gateway: Gateway) -> dict[str, Any]:
    if gateway.otlp is None:
        return {}
    config = packed(
        "envoy.config.trace.v3.OpenTelemetryConfig",
        grpc_service={"envoy_grpc": {"cluster_name": OTLP}, "timeout": {"seconds": 1}},
        service_name=gateway.name,
    )
    return {"tracing": {"provider": {"name": "envoy.tracers.opentelemetry", "typed_config": config}}}


def _early(gateway: Gateway, *, tls: bool) -> dict[str, Any]:
    """Before anything else: no header of ours, nor of Envoy's own, comes from outside. A key is copied to where it is looked for."""
    keys = [
        {"append": {"header": {"key": names.H_KEY, "value": f"%REQ({name})%"}, "append_action": "ADD_IF_ABSENT"}}
        for name in gateway.api_keys.headers
    ]
    ja4 = [overwrite(names.H_JA4, "%TLS_JA4_FINGERPRINT%")] if tls else []
    mutation = message(
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=[*_REMOVE_OURS, *ja4, *keys],
    )
    return extension("early", mutation)


def _filters(gateway: Gateway) -> list[Any]:
    """The chain. Each step's reason stands beside it; the order is what makes it safe."""
    keys = [{"remove": name} for name in gateway.api_keys.headers]
    return [
        discovered(names.GATE, [f"{_HTTP}.lua.v3.Lua"]),  # the scope, and credentials out of callers' places
        fixed(names.CORS, message(f"{_HTTP}.cors.v3.Cors")),  # preflights, and CORS headers on every refusal that has a route
        discovered(names.BLOCKS, [f"{_HTTP}.rbac.v3.RBAC"]),  # blocked sources, before any credential is looked up
        fixed(names.KEYS, _keys()),  # what the gate found wrong is refused; a key becomes its consumer, or 401
        discovered(names.RETOLD, [f"{_HTTP}.composite.v3.Composite"]),  # what has changed of a key's consumer, while its table is older
        discovered(names.LOGIN, []),  # where people log in, a session becomes its token
        discovered(names.TOKENS, [f"{_HTTP}.jwt_authn.v3.JwtAuthentication"]),  # a token becomes claims, or 401
        discovered(names.PROOFS, [f"{_HTTP}.composite.v3.Composite"]),  # a proof that a token is its caller's own, or 401
        discovered(names.PLACES, []),  # where it comes from, if some database tells
        discovered(names.PRINCIPAL_FILTER, [f"{_HTTP}.header_to_metadata.v3.Config"]),  # one principal, whatever the credential
        discovered(names.SUBJECTS, []),  # what context sources say of principals that are no consumers
        discovered(names.CONTEXT, []),  # what they say counts only where it isn't stale
        discovered(names.BRAKES, [f"{_HTTP}.rbac.v3.RBAC"]),  # consumers that an operator stops, whatever the policies say
        discovered(names.IP_LISTS, [f"{_HTTP}.composite.v3.Composite"]),  # big lists of networks, once
        fixed(names.POLICIES, _default_deny()),  # the route's own policies: one revision; a route that brings none is closed
        *(discovered(names.limits(shard), [f"{_HTTP}.local_ratelimit.v3.LocalRateLimit"]) for shard in range(names.LIMIT_SHARDS)),
        fixed(
            names.STRIP, header_mutations([*_REMOVE_OURS, *keys], trailers=_NO_TRAILERS)
        ),  # no key, nor what is ours, reaches the upstream
        fixed("envoy.filters.http.router", message(f"{_HTTP}.router.v3.Router", **_ROUTER)),
    ]


def _default_deny() -> Any:
    """What is run where a route doesn't say what to run instead: a refusal."""
    return message(f"{_HTTP}.composite.v3.Composite", matcher=always(execute(names.DEFAULT_DENY, refuse_all(names.DEFAULT_DENY))))


def _keys() -> Any:
    """Refuses what the gate found wrong. Dispatches a key to the shard that the character behind `bz_` names."""
    tables = {f"bz_{shard}": _table(shard) for shard in KEY_SHARDS}
    key = _header_input("key", names.H_KEY)
    present = header(names.H_KEY, safe_regex={"google_re2": {}, "regex": r"\C+"})
    by_shard = {
        "matcher_tree": {"input": key, "prefix_match_map": {"map": tables}},
        "on_no_match": {"matcher": _brought()},
    }
    wrong = header(names.H_REFUSAL, safe_regex={"google_re2": {}, "regex": r"\C*"})
    named = [(name, header(names.H_REFUSAL, exact=name)) for name in REFUSALS]
    refusal = refuse([*named, ("malformed-request", wrong)], names.HYGIENE)
    matchers = [
        {"predicate": wrong, "on_match": {"action": execute(names.HYGIENE, refusal)}},
        {"predicate": present, "on_match": {"matcher": by_shard}},
    ]
    matcher = {"matcher_list": {"matchers": matchers}}
    return message(f"{_HTTP}.composite.v3.Composite", matcher=matcher)


def _brought() -> dict[str, Any]:
    """Dispatches a key of another form to the shard that the gate names; all else to a table that knows no key."""
    shards = {str(number): _table(f"other-{number}") for number in range(BROUGHT_SHARDS)}
    tree = {"input": _header_input("shard", names.H_SHARD), "exact_match_map": {"map": shards}}
    return {"matcher_tree": tree, "on_no_match": _table("other")}


def _table(shard: str) -> dict[str, Any]:
    return {"action": execute_discovered(f"keys/{shard}", [f"{_HTTP}.api_key_auth.v3.ApiKeyAuth"])}


def _header_input(name: str, header_name: str) -> Any:
    wanted = message("envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name=header_name)
    return message("xds.core.v3.TypedExtensionConfig", **extension(name, wanted))
