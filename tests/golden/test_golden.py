"""Goldens: input and output in one file. `make bless` rewrites the outputs; a changed golden is read in review."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from bartizan.compile import Compiled, compile
from bartizan.compile.coverage import by_api, slices
from bartizan.compile.read import assemble, read
from bartizan.compile.routes import is_public
from bartizan.condition import Schema, Sources
from bartizan.envoy import to_dict
from bartizan.envoy.filters import permits, watches
from bartizan.model.snapshot import Snapshot
from bartizan.policies import Fragment, Place, PolicyKind

HERE = Path(__file__).parent
MARK = "# === compiles to ===\n"

FRAME = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
attributes: {plan: string, department: string, level: number, contractor: bool, acr: string, amr: list, auth_time: number}
places: {city: City.mmdb, network: ASN.mmdb, anonymous: Anonymous.mmdb}
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:9101
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [orders]
jwks: {keys: []}
attributes: {acr: acr, amr: amr, auth_time: auth_time}
---
{kind: Device, name: laptop, certificates: [aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]}
---
{kind: Device, name: phone, certificates: [bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb]}
---
kind: Public
name: frame
target: {api: orders}
reason: goldens look at one policy at a time
"""


def _cases(folder: str) -> list[Any]:
    paths = sorted((HERE / folder).rglob("*.yaml"))
    return [pytest.param(path, id=str(path.relative_to(HERE / folder))[: -len(".yaml")]) for path in paths]


def _snapshot(text: str, frame: str, folder: Path) -> Snapshot:
    reads = [read(frame, "frame.yaml"), read(text, "case.yaml")]
    wanted = [name for one in reads for each in one.resources if isinstance(each.value, PolicyKind) for name in each.value.file_names()]
    found = assemble(reads, {name: (folder / name).read_bytes() for name in wanted})
    assert isinstance(found, Snapshot), "\n".join(map(str, found))
    return found


def _shown(value: Any) -> Any:
    if hasattr(value, "DESCRIPTOR"):
        return _shown(to_dict(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _shown(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {str(key): _shown(item) for key, item in value.items()}
    return [_shown(item) for item in value] if isinstance(value, list | tuple) else value


def _fragment(policy: PolicyKind, fragment: Fragment) -> dict[str, Any]:
    decides = [] if fragment.permit is None else [fragment.permit]
    told: dict[str, Any] = {
        # As it stands where no neighbour shares its filter.
        "filters": [
            *(watches(policy.id, one) if policy.mode == "shadow" else permits([(policy.id, one)]) for one in decides),
            *fragment.filters,
        ],
        "per_filter": dict(fragment.per_filter),
        "rate_limits": fragment.rate_limits,
        "buckets": [
            {"entries": dict(one.entries), "count": one.count, "period_s": one.period_s, "burst": one.burst} for one in fragment.buckets
        ],
        "lists": [{"name": one.name, "networks": len(one.networks)} for one in fragment.lists],
        "response_headers": fragment.response_headers,
        "route": dict(fragment.route),
        "cluster": dict(fragment.cluster),
    }
    return {name: _shown(value) for name, value in told.items() if value}


def _compare(path: Path, text: str, output: Any, bless: bool) -> None:
    made = yaml.safe_dump(output, sort_keys=True, width=120, allow_unicode=True)
    source, _, kept = text.partition(MARK)
    if bless:
        path.write_text(source + MARK + made)
    assert made == kept or bless, f"{path} compiles to something else now; run `make bless` and read the difference"


@pytest.mark.parametrize("path", _cases("policies"))
def test_what_one_policy_adds(path: Path, request: pytest.FixtureRequest) -> None:
    text = path.read_text()
    snapshot = _snapshot(text.partition(MARK)[0], FRAME, path.parent)
    output = {}
    for policy in snapshot.policies:
        if isinstance(policy, PolicyKind) and policy.name != "frame" and not policy.of_listener:
            schema = Schema.of(snapshot.gateway)
            shadow = policy.mode == "shadow"
            place = Place(policy.id, shadow, snapshot.apis["orders"], "/orders", snapshot.gateway, schema, Sources(), snapshot.files)
            output[policy.id] = _fragment(policy, policy.compile(place))
    _compare(path, text, output, request.config.getoption("--bless"))


@pytest.mark.parametrize("path", _cases("gateways"))
def test_which_policies_cover_what(path: Path, request: pytest.FixtureRequest) -> None:
    """A whole small gateway: for each path and method, the policies that are asked, in order."""
    text = path.read_text()
    reads = [read(text.partition(MARK)[0], "case.yaml")]
    snapshot = assemble(reads, {})
    assert isinstance(snapshot, Snapshot), "\n".join(map(str, snapshot))
    compiled = compile(snapshot)
    assert isinstance(compiled, Compiled)
    if compiled.problems:
        _compare(path, text, [f"{one.code}: {one.message}" for one in compiled.problems], request.config.getoption("--bless"))
        return
    covering = by_api([one for one in snapshot.policies if isinstance(one, PolicyKind)], snapshot.apis)
    output: dict[str, Any] = {}
    for api in snapshot.apis.values():
        for scope in api.paths:
            for piece in slices(scope, api, covering[api.name]):
                methods = ", ".join(piece.methods) or ("all but " + ", ".join(piece.other_than) if piece.other_than else "all")
                asked = [one.id + (" (shadow)" if one.mode == "shadow" else "") for one in piece.policies if one is not one.fallback()]
                output[f"{api.name} {piece.path} [{methods}]"] = [*asked, *(["public"] if is_public(piece) else [])]
    _compare(path, text, output, request.config.getoption("--bless"))
