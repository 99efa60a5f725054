"""What Envoy is started with: who it is, where it is told the rest, and what bounds it. Everything else comes by ADS."""

from collections.abc import Iterator
from dataclasses import dataclass

from bartizan.envoy.names import CALLOUT

_TYPE = "type.googleapis.com/"
_ADS_CLUSTER = "bartizan_node"
_BY_ADS: dict[str, object] = {"resource_api_version": "V3", "ads": {}}

# One set of these for each route, scope or filter by discovery: 1,000 APIs would bring 20,000 numbers that nobody reads.
_UNREAD_STATS = (".rds.", ".scoped_rds.", ".extension_config_discovery.", "sds.")


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """What differs from Envoy to Envoy."""

    node_id: str
    ads_socket: str
    admin_socket: str
    callout_socket: str = ""
    """Where proofs of possession are checked and issuers are asked about tokens; empty: nowhere."""
    cluster: str = "bartizan"
    max_connections: int = 50_000
    """Connections from callers, over all listeners. More are refused, so that a flood of them can't exhaust memory and files."""

    def config(self) -> dict[str, object]:
        """The whole, in its JSON form."""
        return {
            "node": {"id": self.node_id, "cluster": self.cluster},
            "admin": {"address": {"pipe": {"path": self.admin_socket, "mode": 0o600}}},
            "dynamic_resources": {
                "ads_config": {
                    "api_type": "DELTA_GRPC",
                    "transport_api_version": "V3",
                    "grpc_services": [{"envoy_grpc": {"cluster_name": _ADS_CLUSTER, "retry_policy": _RETRY}}],
                },
                "lds_config": _BY_ADS,
                "cds_config": _BY_ADS,
            },
            "static_resources": {"clusters": list(self._clusters())},
            "overload_manager": {"resource_monitors": [_connections(self.max_connections)]},
            "layered_runtime": {"layers": [{"name": "bartizan", "static_layer": _RUNTIME}]},
            "stats_config": {"stats_matcher": {"exclusion_list": {"patterns": [_named(part) for part in _UNREAD_STATS]}}},
            # Thousands of clusters that nobody calls cost no memory for the numbers of their traffic.
            "deferred_stat_options": {"enable_deferred_creation_stats": True},
        }

    def _clusters(self) -> Iterator[dict[str, object]]:
        yield _by_socket(_ADS_CLUSTER, self.ads_socket)
        if self.callout_socket:
            yield {**_by_socket(CALLOUT, self.callout_socket, "http_protocol_options"), "circuit_breakers": _QUEUE}


# The node may restart at any time; its successor is to be found at once. Envoy's own default waits up to 30 s.
_RETRY: dict[str, object] = {"retry_back_off": {"base_interval": "0.05s", "max_interval": "0.5s"}}

# A burst waits for the call-out rather than being refused: each of its answers takes far less than a millisecond.
_QUEUE: dict[str, object] = {"thresholds": [{"max_connections": 1024, "max_pending_requests": 16_384}]}

_RUNTIME: dict[str, object] = {
    # A pattern that an operator wrote is checked when it is written; Envoy's default of 100 would refuse reasonable ones.
    "re2": {"max_program_size": {"error_level": 20_000, "warn_level": 20_000}},
}


def _named(part: str) -> dict[str, object]:
    return {"prefix": part} if part.endswith(".") and not part.startswith(".") else {"contains": part}


def _by_socket(name: str, socket: str, protocol: str = "http2_protocol_options") -> dict[str, object]:
    endpoint = {"endpoint": {"address": {"pipe": {"path": socket}}}}
    options = {
        "@type": _TYPE + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {protocol: {}},
    }
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _connections(most: int) -> dict[str, object]:
    monitor = {
        "@type": _TYPE + "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        "max_active_downstream_connections": most,
    }
    return {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": monitor}
