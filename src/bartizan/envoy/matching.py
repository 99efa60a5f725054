"""Predicates of Envoy's generic matching API: xds.type.matcher.v3.Matcher.MatcherList.Predicate."""

import functools
from collections.abc import Iterable, Sequence
from ipaddress import IPv6Network
from typing import Any

from bartizan.envoy.messages import message, packed
from bartizan.envoy.names import PRINCIPAL

_PREDICATE = "xds.type.matcher.v3.Matcher.MatcherList.Predicate"


@functools.cache
def _header_input(name: str) -> Any:
    return message(
        "xds.core.v3.TypedExtensionConfig",
        name=name,
        typed_config=packed("envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name=name),
    )


@functools.cache
def _metadata_input(namespace: str, path: tuple[str, ...]) -> Any:
    return message(
        "xds.core.v3.TypedExtensionConfig",
        name="metadata",
        typed_config=packed(
            "envoy.extensions.matching.common_inputs.network.v3.DynamicMetadataInput", filter=namespace, path=[{"key": key} for key in path]
        ),
    )


@functools.cache
def _source_ip() -> Any:
    return message(
        "xds.core.v3.TypedExtensionConfig",
        name="ip",
        typed_config=packed("envoy.extensions.matching.common_inputs.network.v3.SourceIPInput"),
    )


def metadata(namespace: str, path: Iterable[str], **value: Any) -> Any:
    """Dynamic metadata at this path matches `value`, the fields of an envoy.type.matcher.v3.ValueMatcher."""
    matcher = packed("envoy.extensions.matching.input_matchers.metadata.v3.Metadata", value=value)
    single = {"input": _metadata_input(namespace, tuple(path)), "custom_match": {"name": "metadata", "typed_config": matcher}}
    return message(_PREDICATE, single_predicate=single)


def principal(key: str, value: str) -> Any:
    """The principal's `key` is exactly `value`."""
    return metadata(PRINCIPAL, (key,), string_match={"exact": value})


def principal_known() -> Any:
    """Somebody is known to call."""
    return metadata(PRINCIPAL, ("id",), present_match=True)


def share(state: str, percent: float, seed: int) -> Any:
    """What stands in the filter state under this key is among so many per cent of what could stand there. It always is, or never, and with
    the same seed a greater share holds the smaller one."""
    source = packed("envoy.extensions.matching.common_inputs.network.v3.FilterStateInput", key=state)
    part = {"numerator": round(percent * 100), "denominator": "TEN_THOUSAND"}
    runtime = {"runtime_key": state, "default_value": part}
    matcher = packed("envoy.extensions.matching.input_matchers.runtime_fraction.v3.RuntimeFraction", runtime_fraction=runtime, seed=seed)
    single = {"input": {"name": "state", "typed_config": source}, "custom_match": {"name": "share", "typed_config": matcher}}
    return message(_PREDICATE, single_predicate=single)


def header(name: str, **value: Any) -> Any:
    """The request header matches `value`, the fields of an xds StringMatcher. Several values are seen joined by a comma."""
    return message(_PREDICATE, single_predicate={"input": _header_input(name), "value_match": value})


def source_in(networks: Sequence[tuple[str, int]], header_name: str | None = None) -> Any:
    """The caller's address is in one of `networks` (address, prefix length); read from a header in scratch instances.

    An IPv4 address is the same one in the form that it takes in IPv6 (::ffff:192.0.2.1), and is in no IPv6 network.
    """
    wide = [one for one in networks if _covers_mapped(one)]
    narrow = [one for one in networks if not _covers_mapped(one)]
    narrow += [(f"::ffff:{address}", length + 96) for address, length in narrow if ":" not in address]
    found = [_address_in(narrow, header_name)] if narrow else []
    if wide:
        found.append(all_of([_address_in(wide, header_name), negated(_address_in([_MAPPED], header_name))]))
    return any_of(found)


def source_known(header_name: str | None = None) -> Any:
    """The caller has an address."""
    return _address_in([("0.0.0.0", 0), ("::", 0)], header_name)


_MAPPED = ("::ffff:0:0", 96)


def _covers_mapped(network: tuple[str, int]) -> bool:
    """An IPv6 network so wide that IPv4 addresses in their IPv6 form lie in it."""
    address, length = network
    return length < 96 and ":" in address and IPv6Network(_MAPPED).subnet_of(IPv6Network((address, length)))


def _address_in(networks: Sequence[tuple[str, int]], header_name: str | None) -> Any:
    ranges = [{"address_prefix": address, "prefix_len": {"value": length}} for address, length in networks]
    matcher = packed("envoy.extensions.matching.input_matchers.ip.v3.Ip", cidr_ranges=ranges, stat_prefix="ip")
    source = _header_input(header_name) if header_name else _source_ip()
    return message(_PREDICATE, single_predicate={"input": source, "custom_match": {"name": "ip", "typed_config": matcher}})


def cel(expression: Any) -> Any:
    """A parsed CEL expression (cel.expr.Expr) is true. One that errs doesn't match."""
    source = {"name": "cel", "typed_config": packed("xds.type.matcher.v3.HttpAttributesCelMatchInput")}
    matcher = packed("xds.type.matcher.v3.CelMatcher", expr_match={"cel_expr_parsed": {"expr": expression}})
    return message(_PREDICATE, single_predicate={"input": source, "custom_match": {"name": "cel", "typed_config": matcher}})


def any_of(predicates: Sequence[Any]) -> Any:
    """At least one holds. There must be one."""
    return predicates[0] if len(predicates) == 1 else message(_PREDICATE, or_matcher={"predicate": list(predicates)})


def all_of(predicates: Sequence[Any]) -> Any:
    """All hold. There must be one."""
    return predicates[0] if len(predicates) == 1 else message(_PREDICATE, and_matcher={"predicate": list(predicates)})


def negated(predicate: Any) -> Any:
    """It doesn't hold."""
    return message(_PREDICATE, not_matcher=predicate)


def unless(predicate: Any, otherwise: dict[str, Any], then: dict[str, Any]) -> Any:
    """A Matcher that takes `then` where the predicate holds and `otherwise` where it doesn't; both are TypedExtensionConfigs."""
    return message(
        "xds.type.matcher.v3.Matcher",
        matcher_list={"matchers": [{"predicate": predicate, "on_match": {"action": then}}]},
        on_no_match={"action": otherwise},
    )


def always(action: dict[str, Any]) -> Any:
    """A Matcher that always takes `action`."""
    return message("xds.type.matcher.v3.Matcher", on_no_match={"action": action})
