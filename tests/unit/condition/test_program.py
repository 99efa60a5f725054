"""The estimate of a pattern's size, against what Envoy says of it."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from bartizan.condition import patterns
from bartizan.condition.program import fits_cel
from bartizan.envoy import binary

# What Envoy 1.40 counts (`re2.max_program_size.error_level: 0` makes it say so).
SIZES = [
    (5, "a"),
    (94, "a{90}"),
    (102, "a{98}"),
    (64, "[0-9a-f]{30}"),
    (72, "^/orders/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"),
    (27, "(?:(?:ab)*c+){4}"),
    (18, r".*\.(jpg|png|gif)$"),
]


def size(pattern: str, folder: Path) -> int:
    route = {"match": {"safe_regex": {"regex": pattern}}, "direct_response": {"status": 200}}
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "x",
        "http_filters": [{"name": "r", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
        "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [route]}]},
    }
    listener = {
        "name": "l",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{"name": "h", "typed_config": manager}]}],
    }
    layer = {"name": "s", "static_layer": {"re2.max_program_size.error_level": 0}}
    config = folder / "envoy.json"
    config.write_text(json.dumps({"layered_runtime": {"layers": [layer]}, "static_resources": {"listeners": [listener]}}))
    told = subprocess.run(
        [str(binary()), "--mode", "validate", "--disable-hot-restart", "-c", str(config)], capture_output=True, text=True, check=False
    )
    found = re.search(r"program size of (\d+)", told.stderr)
    assert found, told.stderr[-500:]
    return int(found[1])


@pytest.mark.parametrize(("counted", "pattern"), SIZES)
def test_the_figures_are_envoys(counted: int, pattern: str, tmp_path: Path) -> None:
    assert size(pattern, tmp_path) == counted


@pytest.mark.parametrize("pattern", [pattern for counted, pattern in SIZES if counted <= 100])
def test_what_fits(pattern: str) -> None:
    assert fits_cel(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "a{98}",
        "[a-z]{120}",
        r"\pL{2}",
        "(?:a{10}){10}",
        "(?:ab|cd){30}",
        "[^a]{20}",
        "é{60}",
        r"\Qa\E",
        "(?i)k{40}",
        "a{10,200}",
        "a{120,}",
    ],
)
def test_what_may_not_fit(pattern: str) -> None:
    assert patterns.problem(pattern) is None
    assert not fits_cel(pattern)


def test_our_own_fit() -> None:
    own = [f"^{patterns.LIST}$", patterns.ODD_ESCAPE, f"^{patterns.ANY_HOST}$", *(pattern for _, pattern in patterns.DEVICES)]
    own += [f"^{patterns.list_holds('administrators')}", f"^{patterns.host_is(['api.example.com'])}$"]
    assert [pattern for pattern in own if not fits_cel(pattern)] == []
