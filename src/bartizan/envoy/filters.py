"""HTTP filters in short: each function makes one filter's message, named by its arguments and nothing else."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bartizan.envoy.matching import always, header, unless
from bartizan.envoy.messages import extension, message, packed

_RBAC = "envoy.extensions.filters.http.rbac.v3.RBAC"
_HTTP_FILTER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter"
_EXECUTE = "envoy.extensions.filters.http.composite.v3.ExecuteFilterAction"
_NOTHING = "envoy.extensions.filters.http.filter_chain.v3.FilterChainConfig"


def _action(policy: str, allow: bool) -> dict[str, Any]:
    return extension(policy, message("envoy.config.rbac.v3.Action", name=policy, action="ALLOW" if allow else "DENY"))


def permits(predicates: Sequence[tuple[str, Any]]) -> Any:
    """A filter of a route's chain (TypedExtensionConfig) that lets through where all predicates hold, asked in order, and otherwise refuses
    under the name of the first that doesn't.

    Each is an allow with a named refusal behind it, which fails closed when an attribute is missing or a condition errs. One filter for
    several, because a filter costs as much as ten predicates.
    """
    (policy, last), *before = reversed(predicates)
    matcher = unless(last, otherwise=_action(policy, False), then=_action(policy, True))
    for policy, predicate in before:
        matcher = message(
            "xds.type.matcher.v3.Matcher",
            matcher_list={"matchers": [{"predicate": predicate, "on_match": {"matcher": matcher}}]},
            on_no_match={"action": _action(policy, False)},
        )
    return typed(",".join(policy for policy, _ in predicates), message(_RBAC, matcher=matcher))


def watches(policy: str, predicate: Any) -> Any:
    """A filter of a route's chain that refuses nothing: it notes as a shadow verdict whether `predicate` holds."""
    matcher = unless(predicate, otherwise=_action(policy, False), then=_action(policy, True))
    return typed(policy, message(_RBAC, shadow_matcher=matcher, shadow_rules_stat_prefix=f"{policy}."))


def refuse(refusals: Sequence[tuple[str, Any]], otherwise: str) -> Any:
    """An RBAC filter that refuses under the first name whose predicate holds, and lets through all else under the name `otherwise`."""
    if not refusals:
        return nothing()
    matchers = [{"predicate": predicate, "on_match": {"action": _action(name, False)}} for name, predicate in refusals]
    matcher = message("xds.type.matcher.v3.Matcher", matcher_list={"matchers": matchers}, on_no_match={"action": _action(otherwise, True)})
    return message(_RBAC, matcher=matcher)


def nothing() -> Any:
    """A filter that isn't there: a chain of none. A filter that lets everything through would still be made for each request, which
    costs a microsecond."""
    return message(_NOTHING)


def refuse_all(name: str) -> Any:
    """An RBAC filter that refuses everything under this name."""
    return message(_RBAC, matcher=always(_action(name, False)))


def noted(policy: str, predicates: Sequence[Any]) -> Any:
    """A filter of a route's chain that refuses nothing: as a shadow verdict it notes the place of the first predicate that holds,
    or their number if none does."""
    places = [_action(str(place), True) for place in range(len(predicates) + 1)]
    matchers = [{"predicate": one, "on_match": {"action": place}} for one, place in zip(predicates, places, strict=False)]
    matcher = message("xds.type.matcher.v3.Matcher", matcher_list={"matchers": matchers}, on_no_match={"action": places[-1]})
    return typed(policy, message(_RBAC, shadow_matcher=matcher, shadow_rules_stat_prefix=f"{policy}."))


def set_metadata(namespace: str, values: Mapping[str, str]) -> Any:
    """A filter that sets dynamic metadata."""
    entry = {"metadata_namespace": namespace, "value": dict(values), "allow_overwrite": True}
    return message("envoy.extensions.filters.http.set_metadata.v3.Config", metadata=[entry])


def set_state(key: str, text: str, *, route_anew: bool = False) -> Any:
    """A filter that sets the filter state under this key to a format string, if that isn't empty. `route_anew`: and has Envoy look for the
    route anew."""
    form = {"text_format_source": {"inline_string": text}, "omit_empty_values": True}
    value = {"object_key": key, "factory_key": "envoy.string", "format_string": form, "skip_if_empty": True}
    return message("envoy.extensions.filters.http.set_filter_state.v3.Config", on_request_headers=[value], clear_route_cache=route_anew)


def in_turn(filters: Sequence[Any]) -> Any:
    """A filter that runs these TypedExtensionConfigs, in order."""
    return message(_NOTHING, default_filter_chain={"filters": list(filters)})


def where(predicate: Any, name: str, inner: Any) -> Any:
    """A filter that runs another where the predicate holds, and nothing elsewhere."""
    matchers = [{"predicate": predicate, "on_match": {"action": execute(name, inner)}}]
    matcher = message("xds.type.matcher.v3.Matcher", matcher_list={"matchers": matchers})
    return message("envoy.extensions.filters.http.composite.v3.Composite", matcher=matcher)


def header_mutations(mutations: Iterable[Mapping[str, Any]], trailers: Iterable[Mapping[str, Any]] = ()) -> Any:
    """A filter that changes request headers, and trailers, in order."""
    changes = {"request_mutations": list(mutations), "request_trailers_mutations": list(trailers)}
    return message("envoy.extensions.filters.http.header_mutation.v3.HeaderMutation", mutations=changes)


def challenge(policy: str, text: str) -> dict[str, Any]:
    """A route's WWW-Authenticate (RFC 9110, section 11.6.1) on the answers that this policy refuses, and on no other. A HeaderValueOption.

    `text` holds no apostrophe, percent sign or closing parenthesis: they would end what stands around them.
    """
    if set(text) & set("'%)\\"):
        raise ValueError(f"a challenge can't be {text!r}")
    told = f"%CEL(response.code_details == 'rbac_access_denied_matched_policy[{policy}]' ? '{text}' : '')%"
    return {"header": {"key": "www-authenticate", "value": told}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def overwrite(name: str, value: str) -> dict[str, Any]:
    """A mutation that sets a header to a format string, whatever it was."""
    return {"append": {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}


def typed(name: str, inner: Any) -> Any:
    """A TypedExtensionConfig."""
    return message("envoy.config.core.v3.TypedExtensionConfig", **extension(name, inner))


def fixed(name: str, inner: Any) -> Any:
    """A filter of the connection manager whose configuration stands in the listener."""
    return message(_HTTP_FILTER, **extension(name, inner))


def discovered(name: str, types: Sequence[str]) -> Any:
    """A filter of the connection manager whose configuration comes by ECDS under its name, or `nothing`. The listener waits for it."""
    return message(_HTTP_FILTER, name=name, config_discovery=_discovery([*types, _NOTHING]))


def _discovery(types: Sequence[str]) -> dict[str, Any]:
    urls = [f"type.googleapis.com/{name}" for name in types]
    return {"config_source": {"ads": {}, "resource_api_version": "V3"}, "type_urls": urls}


def execute_discovered(name: str, types: Sequence[str]) -> dict[str, Any]:
    """The composite filter's action: run the filter that comes by ECDS under this name."""
    return extension(name, message(_EXECUTE, dynamic_config={"name": name, "config_discovery": _discovery(types)}))


def chain_of(filters: Sequence[Any], on_websocket: Sequence[Any] | None = None) -> Any:
    """The composite filter's configuration on a route: run these TypedExtensionConfigs, in order. An Any.

    `on_websocket`: the ones to run instead where a WebSocket is opened. (A filter of the chain can't choose for itself: Envoy takes
    no composite within a route's.)
    """
    matcher = always(execute_all(filters))
    if on_websocket is not None:
        opened = header("upgrade", exact="websocket", ignore_case=True)
        matcher = unless(opened, otherwise=execute_all(filters), then=execute_all(on_websocket))
    return packed("envoy.extensions.filters.http.composite.v3.CompositePerRoute", matcher=matcher)


def execute(name: str, inner: Any) -> dict[str, Any]:
    """The composite filter's action: run this filter."""
    return extension(name, message(_EXECUTE, typed_config=extension(name, inner)))


def execute_all(filters: Sequence[Any]) -> dict[str, Any]:
    """The composite filter's action: run these TypedExtensionConfigs, in order. (Of a chain of two that it is told to `execute`
    as one filter, Envoy runs nothing, and says nothing.)"""
    return extension("chain", message(_EXECUTE, filter_chain={"typed_config": list(filters)}))
