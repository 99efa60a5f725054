"""A compiled gateway as one static configuration, for `envoy --mode validate`: what ADS would bring stands in it."""

import json
import subprocess
from pathlib import Path
from typing import Any

from bartizan.compile import Compiled
from bartizan.envoy import binary, message_type, names, to_dict
from bartizan.envoy.bootstrap import Bootstrap
from bartizan.identity.principal import principal_rules
from bartizan.identity.table import shards
from bartizan.node.envoy_process import zoneinfo
from bartizan.rollout.state import Live, state_of

_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def _parsed(type_url: str, body: bytes) -> dict[str, Any]:
    return to_dict(message_type(type_url.rpartition("/")[2]).FromString(body))


def configuration(compiled: Compiled) -> dict[str, Any]:
    """The bootstrap."""
    snapshot = compiled.snapshot
    issuers = {issuer.name: issuer.issuer for issuer in snapshot.issuers.values()}
    live = Live(1, {}, shards([], {}, snapshot.gateway.attributes), principal_rules(snapshot.gateway.attributes, issuers), frozenset())
    whole = state_of(compiled, live).resources()
    by_type: dict[str, dict[str, Any]] = {}
    for (type_url, name), body in whole.items():
        by_type.setdefault(type_url, {})[name] = _parsed(type_url, body)
    routes = by_type.get(names.ROUTES, {})
    scopes = [
        {"name": name, "route_configuration": routes[name], "key": scope["key"]} for name, scope in by_type.get(names.SCOPE, {}).items()
    ]
    listeners = [_fixed(listener, by_type[names.ECDS], scopes) for listener in by_type[names.LISTENER].values()]
    clusters = list(by_type.get(names.CLUSTER, {}).values())
    found: dict[str, Any] = {"static_resources": {"listeners": listeners, "clusters": clusters}}
    found["layered_runtime"] = Bootstrap("static", "", "").config()["layered_runtime"]
    if names.SECRET in by_type:
        found["static_resources"]["secrets"] = list(by_type[names.SECRET].values())
    return found


def _fixed(listener: dict[str, Any], extensions: dict[str, Any], scopes: list[dict[str, Any]]) -> dict[str, Any]:
    for chain in listener["filter_chains"]:
        for one in chain["filters"]:
            config = one["typed_config"]
            if config["@type"] != _HCM or "scoped_routes" not in config:
                continue
            config["scoped_routes"].pop("rds_config_source")
            config["scoped_routes"].pop("scoped_rds")
            config["scoped_routes"]["scoped_route_configurations_list"] = {"scoped_route_configurations": scopes}
            config["http_filters"] = [_filter(each, extensions) for each in config["http_filters"]]
    listener["address"]["socket_address"]["port_value"] = 0
    return listener


def _filter(one: dict[str, Any], extensions: dict[str, Any]) -> dict[str, Any]:
    if one["name"] == names.KEYS:  # the key tables stay where they are: by discovery
        return {"name": names.KEYS, "typed_config": extensions["keys/a"]["typed_config"]}
    return {"name": one["name"], "typed_config": extensions[one["name"]]["typed_config"]} if "config_discovery" in one else one


def validated(compiled: Compiled, folder: Path) -> str:
    """What Envoy says against the configuration; nothing if it takes it."""
    path = folder / "static.json"
    path.write_text(json.dumps(configuration(compiled), default=dict))
    (folder / "records").mkdir(exist_ok=True)
    ran = subprocess.run(
        [str(binary()), "--mode", "validate", "-c", str(path), "--disable-hot-restart", "-l", "error"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        env={"TZDIR": str(zoneinfo())},
        check=False,
    )
    return "" if ran.returncode == 0 else ran.stderr + ran.stdout
