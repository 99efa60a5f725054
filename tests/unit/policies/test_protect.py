"""The Protect kind: what may be written, and what it becomes."""

import pytest
from pydantic import ValidationError

from bartizan.condition import Schema, Sources
from bartizan.envoy import message, to_dict
from bartizan.model.api import Api
from bartizan.model.gateway import Gateway, Listener
from bartizan.policies import Place
from bartizan.policies.protect import Protect

GATEWAY = Gateway(name="edge", listeners=(Listener(name="web", address="127.0.0.1:0"),))
HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def place() -> Place:
    api = Api(name="orders", paths=("/orders",), upstream={"endpoints": ({"url": "http://127.0.0.1:1"},)})
    return Place("Protect/x", False, api, "/orders", GATEWAY, Schema({}), Sources())


def protect(**fields: object) -> Protect:
    return Protect.model_validate({"name": "x", **fields})


def test_the_fallback_bounds_everything() -> None:
    fallback = Protect.fallback()
    assert fallback is Protect.fallback()
    fragment = fallback.compile(place())
    assert "10485760" in str(to_dict(fragment.body_filters[0]))
    assert "server" in fragment.hidden_response_headers
    assert fragment.cluster["circuit_breakers"]["thresholds"][0]["max_requests"]["value"] == 4096
    made = to_dict(message(HCM, **fallback.connections()))
    assert made["request_headers_timeout"] == "10s"
    assert made["max_request_headers_kb"] == 60
    assert made["common_http_protocol_options"]["max_headers_count"] == 100
    assert fallback.longest_url == 8192


def test_sizes_are_rounded_up() -> None:
    made = message(HCM, **protect(headers={"size": 1025}).connections())
    assert made.max_request_headers_kb.value == 2


def test_zero_is_no_limit_of_bodies() -> None:
    assert not protect(body=0).compile(place()).body_filters


@pytest.mark.parametrize("field", [{"headers": {}}, {"url": 1000}, {"timeouts": {}}])
@pytest.mark.parametrize("target", [{"api": "orders"}, {"paths": ["/x"]}, {"methods": ["GET"]}, {"except": ["/x"]}])
def test_what_holds_before_the_api_is_known_is_the_gateways(field: dict[str, object], target: dict[str, object]) -> None:
    assert [fault.code for fault in protect(**field, target=target).faults(Schema({}), {})] == ["protect-gateway-wide"]
    assert not list(protect(**field).faults(Schema({}), {}))


def test_concurrency_is_an_apis() -> None:
    by_path = protect(concurrency={"requests": 1}, target={"api": "orders", "paths": ["/orders/x"]})
    assert [fault.code for fault in by_path.faults(Schema({}), {})] == ["protect-by-path"]
    assert not by_path.compile(place()).cluster
    assert not list(protect(concurrency={"requests": 1}, target={"api": "orders"}).faults(Schema({}), {}))


@pytest.mark.parametrize(
    "fields",
    [
        {"body": -1},
        {"body": "many"},
        {"url": 1},
        {"headers": {"size": "10MiB"}},
        {"security_headers": {"strict-transport-security": "max-age=1"}},
        {"security_headers": {"access-control-allow-origin": "*"}},
        {"security_headers": {"x-bartizan-key": "1"}},
        {"security_headers": {"X-Upper": "1"}},
        {"security_headers": {"x-a": "1\r\nx-b: 2"}},
        {"security_headers": {"x-a": ""}},
        {"hide": ["content-length"]},
        {"hide": ["www-authenticate"]},
    ],
)
def test_mistakes(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        protect(**fields)


def test_a_percent_sign_is_only_a_percent_sign() -> None:
    fragment = protect(security_headers={"x-a": "%REQ(authorization)%"}).compile(place())
    assert fragment.response_headers[0].header.value == "%%REQ(authorization)%%"
