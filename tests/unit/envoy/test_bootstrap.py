"""Envoy's start configuration uses Envoy's fields and opens nothing to the network."""

from bartizan.envoy import from_dict
from bartizan.envoy.bootstrap import Bootstrap

CONFIG = Bootstrap("n1", "/run/ads.sock", "/run/admin.sock", max_connections=7).config()


def test_is_a_bootstrap_of_this_envoy() -> None:
    read = from_dict("envoy.config.bootstrap.v3.Bootstrap", CONFIG)
    assert read.node.id == "n1"
    assert read.admin.address.pipe.path == "/run/admin.sock"
    assert read.admin.address.pipe.mode == 0o600
    assert read.dynamic_resources.ads_config.api_type == 3  # DELTA_GRPC


def test_nothing_is_reachable_from_the_network() -> None:
    assert "socket_address" not in str(CONFIG)


def test_connections_are_bounded() -> None:
    assert "'max_active_downstream_connections': 7" in str(CONFIG)
