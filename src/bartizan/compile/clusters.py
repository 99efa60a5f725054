"""An API's upstream as a cluster."""

import hashlib
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from bartizan.compile.chain import Covered
from bartizan.compile.referring import use_of
from bartizan.envoy import message, names, packed
from bartizan.model.api import Api, Endpoint, Upstream
from bartizan.model.named import OWN, Use

OTLP = "otlp"
_BY_ADS = {"ads": {}, "resource_api_version": "V3"}
_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster, named by what it says: APIs whose upstreams say the same share its connections and health checks."""

    name: str
    body: bytes
    """envoy.config.cluster.v3.Cluster, serialized."""


def cluster_of(api: Api, covered: Covered) -> Cluster:
    """The cluster of an API, with what its policies add. One with bounds of its own is its alone."""
    fields: dict[str, Any] = {}
    own = False
    for policy, fragment in covered:
        fields.update(fragment.cluster)
        own = own or bool(fragment.cluster and policy.target.api)
    made = _cluster(api.upstream, use_of(api), fields)
    digest = hashlib.sha256(made.SerializeToString(deterministic=True) + (api.name.encode() if own else b"")).hexdigest()
    made.name = made.load_assignment.cluster_name = names.cluster(api.upstream.endpoints[0].host, digest)
    return Cluster(made.name, bytes(made.SerializeToString(deterministic=True)))


def cluster_beside(name: str, upstream: Upstream) -> Cluster:
    """The cluster of what a filter calls."""
    made = _cluster(upstream, OWN, {})
    made.name = made.load_assignment.cluster_name = name
    return Cluster(name, bytes(made.SerializeToString(deterministic=True)))


def _cluster(upstream: Upstream, use: Use, fields: dict[str, Any]) -> Any:
    fixed = all(_is_address(endpoint.host) for endpoint in upstream.endpoints)
    endpoints = [
        {
            "endpoint": {"address": {"socket_address": {"address": endpoint.host, "port_value": endpoint.port}}, "hostname": endpoint.host},
            "load_balancing_weight": {"value": endpoint.weight},
        }
        for endpoint in upstream.endpoints
    ]
    made = message(
        "envoy.config.cluster.v3.Cluster",
        type="STATIC" if fixed else "STRICT_DNS",
        connect_timeout=upstream.connect_timeout,
        load_assignment={"endpoints": [{"lb_endpoints": endpoints}]},
        typed_extension_protocol_options={_HTTP: packed(_HTTP, **_protocol(upstream))},
        outlier_detection={"consecutive_5xx": {"value": 0}, "consecutive_gateway_failure": {"value": 0}},
        **_health_checks(upstream),
        **fields,
    )
    if upstream.endpoints[0].tls:
        made.transport_socket.CopyFrom(_tls(upstream, use))
    return made


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _protocol(upstream: Upstream) -> dict[str, Any]:
    if upstream.protocol == "h2":
        return {"explicit_http_config": {"http2_protocol_options": {}}}
    if upstream.protocol == "auto" and upstream.endpoints[0].tls:
        return {"auto_config": {"http_protocol_options": {}, "http2_protocol_options": {}}}
    return {"explicit_http_config": {"http_protocol_options": {}}}


def _health_checks(upstream: Upstream) -> dict[str, Any]:
    check = upstream.health_check
    if check is None:
        return {}
    return {
        "health_checks": [
            {
                "timeout": check.timeout,
                "interval": check.interval,
                "no_traffic_interval": check.interval,
                "unhealthy_threshold": {"value": check.unhealthy_after},
                "healthy_threshold": {"value": check.healthy_after},
                "http_health_check": {"path": check.path, **({"codec_client_type": "HTTP2"} if upstream.protocol == "h2" else {})},
            }
        ]
    }


def _tls(upstream: Upstream, use: Use) -> Any:
    """TLS that always verifies: the chain against the CA file, the name against the certificate."""
    tls = upstream.tls
    name = tls.server_name or upstream.endpoints[0].host
    san = {"san_type": "IP_ADDRESS" if _is_address(name) else "DNS", "matcher": {"exact": name}}
    common: dict[str, Any] = {
        "validation_context": {
            "trusted_ca": {"filename": tls.ca or "/etc/ssl/certs/ca-certificates.crt"},
            "match_typed_subject_alt_names": [san],
        },
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
        "alpn_protocols": ["h2"] if upstream.protocol == "h2" else [],
    }
    if tls.aes_only:
        common["tls_params"]["compliance_policies"] = ["FIPS_202205"]
    if tls.private_key and tls.private_key.secret:
        common["tls_certificate_sds_secret_configs"] = [{"name": names.towards(tls.private_key.secret, use), "sds_config": _BY_ADS}]
    if tls.certificate and tls.private_key and tls.private_key.file:
        common["tls_certificates"] = [
            {"certificate_chain": {"filename": tls.certificate}, "private_key": {"filename": tls.private_key.file}}
        ]
    context = packed(
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        common_tls_context=common,
        sni="" if _is_address(name) else name,
    )
    return message("envoy.config.core.v3.TransportSocket", name="tls", typed_config=context)


def collector(url: str) -> bytes:
    """The cluster of an OpenTelemetry collector, which speaks OTLP over gRPC."""
    endpoint = Endpoint(url=url)
    address = {"socket_address": {"address": endpoint.host, "port_value": urlsplit(url).port or 4317}}
    made = message(
        "envoy.config.cluster.v3.Cluster",
        name=OTLP,
        type="STATIC" if _is_address(endpoint.host) else "STRICT_DNS",
        connect_timeout={"seconds": 2},
        load_assignment={"cluster_name": OTLP, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
        typed_extension_protocol_options={_HTTP: packed(_HTTP, explicit_http_config={"http2_protocol_options": {}})},
    )
    if endpoint.tls:
        made.transport_socket.CopyFrom(_tls(Upstream(endpoints=(endpoint,), protocol="h2"), OWN))
    return bytes(made.SerializeToString(deterministic=True))
