"""The production configuration as a scratch instance holds it: the same but for its sources of time, address and principal, and
with an end of its own: every upstream is one fixed answer, and no limit is ever used up."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from bartizan.compile import Resources, discovered_body, live
from bartizan.compile.places import TRUTHS
from bartizan.envoy import extension, message, message_type, names
from bartizan.envoy.filters import fixed, in_turn, nothing, overwrite, refuse_all, where
from bartizan.envoy.matching import header

TOLD = "x-bartizan-told-"
"""Response headers in which a scratch instance tells what production would write into the record."""
DETAILS = TOLD + "details"
HELD = {
    DETAILS: "%RESPONSE_CODE_DETAILS%",
    TOLD + "path": "%PATH(NQ:PATH):1024%",
    TOLD + "route": "%METADATA(ROUTE:bartizan)%",
    TOLD + "principal": f"%DYNAMIC_METADATA({names.PRINCIPAL})%",
    TOLD + "shadows": f"%DYNAMIC_METADATA({names.RBAC_VERDICTS})%",
}
DECIDED = frozenset({DETAILS, TOLD + "route"})
"""Those of them that tell the decision: the rest costs a request as much again."""
H_GIVEN = "x-bartizan-given"
"""Names the headers of ours in which the question gives its principal: they stand for a credential."""
ANSWERED = "lua_response"
"""The response code details of the fixed answer."""

_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_LUA = "envoy.extensions.filters.http.lua.v3.Lua"
_TOKENS = "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
_MUTATION = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
_EARLY = "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
_CHAIN = "envoy.extensions.filters.http.filter_chain.v3.FilterChainConfig"
_CONFIG = "envoy.config.core.v3.TypedExtensionConfig"
_NOT_HERE = (names.CLUSTER, names.SECRET)

# The gate strips credentials on public routes and refuses two of them. A principal that the question gives is treated so too.
_GIVEN = """
local gate = envoy_on_request
function envoy_on_request(handle)
  gate(handle)
  local headers = handle:headers()
  local given = headers:get("{given}")
  if not given or not headers:get("{scope}") then return end
  if handle:metadata():get("public") then
    for name in string.gmatch(given, "[^,]+") do headers:remove(name) end
  elseif headers:get("{key}") or headers:get("authorization") or headers:get("{refusal}") then
    headers:replace("{refusal}", "ambiguous-credential")
  end
end
"""
_LOGS_IN = b"OAuth2PerRoute"
_ANSWER = 'function envoy_on_request(handle) handle:respond({[":status"] = "200"}, "") end'


def scratch_resources(production: Resources, sockets: Mapping[str, Path], told: Collection[str] = HELD) -> Resources:
    """What a scratch instance holds instead of what production holds. Each listener listens on a unix socket."""
    found: Resources = {}
    for key, body in production.items():
        type_url, name = key
        if type_url == names.LISTENER:
            if name in sockets and (listener := _listener(body, sockets[name], told)):
                found[key] = listener
        elif type_url == names.ROUTES and _LOGS_IN in body:
            found[key] = _logged_in(body)
        elif key in _CHANGED:
            found[key] = _CHANGED[key](body)
        elif type_url not in _NOT_HERE:
            found[key] = body
    for shard in range(names.LIMIT_SHARDS):
        found[names.ECDS, names.limits(shard)] = discovered_body(names.limits(shard), live.limits(shard, ()))
    return found


def _logged_in(body: bytes) -> bytes:
    """Nobody is sent to log in here: who has a session is a principal as any other, who has none is refused."""
    routes: Any = message_type(names.ROUTES.rpartition("/")[2]).FromString(body)
    for host in routes.virtual_hosts:
        for route in host.routes:
            route.typed_per_filter_config.pop(names.LOGIN, None)
    return bytes(routes.SerializeToString(deterministic=True))


def _gate(body: bytes) -> bytes:
    config = message_type(_CONFIG).FromString(body)
    lua = message_type(_LUA).FromString(config.typed_config.value)  # type: ignore[attr-defined]
    given = {"given": H_GIVEN, "scope": names.H_SCOPE, "key": names.H_KEY, "refusal": names.H_REFUSAL}
    code = _GIVEN
    for name, where_it_stands in given.items():
        code = code.replace("{" + name + "}", where_it_stands)
    lua.default_source_code.inline_string += code  # type: ignore[attr-defined]
    return discovered_body(names.GATE, lua)


def _tokens(body: bytes) -> bytes:
    """The token filter removes from every request the headers into which it puts claims. Here the question gives them."""
    config = message_type(_CONFIG).FromString(body)
    tokens = message_type(_TOKENS).FromString(config.typed_config.value)  # type: ignore[attr-defined]
    for provider in tokens.providers.values():  # type: ignore[attr-defined]
        provider.ClearField("claim_to_headers")
    return discovered_body(names.TOKENS, tokens)


def _without(name: str) -> Callable[[bytes], bytes]:
    """The filter isn't there: what it would look at is given by the question, as it was found to be good."""
    return lambda _: discovered_body(name, nothing())


def _callout(body: bytes) -> bytes:
    """No proof is looked at, and no issuer asked: whoever is known is given by the question, so a token about which an issuer would be
    asked is a wrong one."""
    if names.H_ASKS.encode() not in body:
        return discovered_body(names.PROOFS, nothing())
    wrong = where(header(names.H_ASKS, safe_regex={"google_re2": {}, "regex": r"\C*"}), names.INACTIVE, refuse_all(names.INACTIVE))
    return discovered_body(names.PROOFS, wrong)


def _places(body: bytes) -> bytes:
    """No database is asked: the question says where it comes from. What it doesn't call true is false as in production."""
    config = message_type(_CONFIG).FromString(body)
    chain = message_type(_CHAIN).FromString(config.typed_config.value)  # type: ignore[attr-defined]
    kept = [one for one in chain.default_filter_chain.filters if one.name == TRUTHS]  # type: ignore[attr-defined]
    return discovered_body(names.PLACES, in_turn(kept) if kept else nothing())


_CHANGED = {
    (names.ECDS, names.GATE): _gate,
    (names.ECDS, names.TOKENS): _tokens,
    (names.ECDS, names.RETOLD): _without(names.RETOLD),
    (names.ECDS, names.PROOFS): _callout,
    (names.ECDS, names.BRAKES): _without(names.BRAKES),
    (names.ECDS, names.PLACES): _places,
}


def _listener(body: bytes, socket: Path, told: Collection[str]) -> bytes | None:
    """The listener without TLS, on a unix socket. None for one that doesn't lead to APIs."""
    listener: Any = message_type(names.LISTENER.rpartition("/")[2]).FromString(body)
    for chain in listener.filter_chains:
        if chain.filters[-1].typed_config.Is(message_type(_HCM).DESCRIPTOR):
            connections: Any = message_type(_HCM).FromString(chain.filters[-1].typed_config.value)
            if connections.HasField("scoped_routes"):
                _take_over(connections, told)
                made = message(
                    "envoy.config.listener.v3.Listener",
                    name=listener.name,
                    address={"pipe": {"path": str(socket), "mode": 0o600}},
                    filter_chains=[{"filters": [extension("http", connections)]}],
                    per_connection_buffer_limit_bytes=listener.per_connection_buffer_limit_bytes,
                )
                return bytes(made.SerializeToString(deterministic=True))
    return None


def _take_over(connections: Any, told: Collection[str]) -> None:
    """Principal, address and time come in headers of ours, which only we can send; what was found goes back in headers."""
    for gone in ("access_log", "tracing", "original_ip_detection_extensions", "use_remote_address"):
        connections.ClearField(gone)
    _let_ours_in(connections.early_header_mutation_extensions)
    address = message("envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig", header_name=names.H_SOURCE)
    connections.original_ip_detection_extensions.add(**extension("source", address))
    filters = list(connections.http_filters)
    del connections.http_filters[:]
    answer = fixed("answer", message(_LUA, default_source_code={"inline_string": _ANSWER}))
    connections.http_filters.extend([_teller(told), *filters[:-1], answer, filters[-1]])
    _tell_details(connections.local_reply_config)


def _let_ours_in(early: Any) -> None:
    """Production begins with taking headers of ours out, and copies keys to where they are looked for. Only that is left."""
    (whole,) = early
    found: Any = message_type(_EARLY).FromString(whole.typed_config.value)
    keys = [one for one in found.mutations if one.append.header.key == names.H_KEY]
    del early[:]
    if keys:
        early.add(**extension("early", message(_EARLY, mutations=keys)))


def _teller(told: Collection[str]) -> Any:
    """Tells in every answer what was found. Filters hear of answers in reverse, so it is the first."""
    mutations = {"response_mutations": [overwrite(name, value) for name, value in HELD.items() if name in told]}
    return fixed("teller", message(_MUTATION, mutations=mutations))


def _tell_details(replies: Any) -> None:
    """Requests that are refused before any filter is asked are told by the mapper that shapes their answer. Nobody reads the bodies."""
    told = message("envoy.config.core.v3.HeaderValueOption", **overwrite(DETAILS, HELD[DETAILS])["append"])
    for mapper in replies.mappers:
        mapper.headers_to_add.add().CopyFrom(told)
        mapper.ClearField("body_format_override")
    replies.ClearField("body_format")
    everything = {"comparison": {"op": "GE", "value": {"default_value": 0, "runtime_key": "bartizan.scratch"}}}
    replies.mappers.add(filter={"status_code_filter": everything}, headers_to_add=[told])
