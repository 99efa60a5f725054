"""Whatever valid snapshot the compiler gets, Envoy accepts the result, and no API is served with fewer policies than written."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bartizan.compile import Compiled, compile
from bartizan.compile.read import assemble, read
from bartizan.envoy import names
from bartizan.model.policy import within
from bartizan.model.snapshot import Snapshot
from bartizan.policies import PolicyKind
from tests.chains import Step, steps
from tests.e2e.static import validated

GOLDENS = Path(__file__).parent.parent / "golden" / "gateways"
NAMES = st.sampled_from(["a", "b", "c", "d"])
SEGMENTS = ["/", "/v1", "/v1/orders", "/v1/orders/refunds", "/v1/users", "/shop", "/shop/x"]
METHODS = st.lists(st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS"]), unique=True, max_size=3)
CONDITIONS = [
    'principal.plan == "gold"',
    'principal.plan != "gold" || source.ip.within("10.0.0.0/8")',
    'now.between("22:00", "06:00", "Europe/Berlin") && request.method in ["GET", "HEAD"]',
    "principal.level >= 3 && !principal.contractor",
    '"ops" in principal.groups || request.headers["x-team"].startsWith("t-")',
    'device.type == "mobile" && request.path.endsWith("/x")',
]
TARGETS = st.fixed_dictionaries(
    {},
    optional={
        "api": NAMES,
        "paths": st.lists(st.sampled_from(SEGMENTS), unique=True, min_size=1, max_size=2),
        "methods": METHODS,
        "except": st.lists(st.sampled_from(SEGMENTS[2:]), unique=True, max_size=2),
    },
)
MODES = st.sampled_from(["enforce", "enforce", "shadow", "disabled"])
TIERS = st.sampled_from(
    [
        [{"windows": ["10/second"]}],
        [{"when": CONDITIONS[0], "windows": ["100/second", "1000000/day"]}, {"windows": ["1/minute"], "burst": 3}],
    ]
)
PER = st.sampled_from(["principal.id", "source.ip", ["principal.plan", "route"], ["request.method", 'request.headers["x-team"]']])


def _policy(kind: str, **fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"kind": st.just(kind), "target": TARGETS, "mode": MODES, **fields})


POLICIES = st.one_of(
    _policy("Authorize", allow=st.sampled_from(CONDITIONS)),
    _policy("RateLimit", per=PER, tiers=TIERS),
    _policy("Public", reason=st.just("generated for the test")),
    _policy("Authenticate", any=st.sampled_from([["api_key"], ["api_key", {"jwt": "corp"}]])),
)
APIS = st.fixed_dictionaries(
    {
        "kind": st.just("Api"),
        "hosts": st.lists(st.sampled_from(["*", "a.example.com", "*.example.com"]), unique=True, min_size=1, max_size=2),
        "paths": st.lists(st.sampled_from(SEGMENTS), unique=True, min_size=1, max_size=3),
        "methods": METHODS,
        "upstream": st.sampled_from(["http://127.0.0.1:9101", "https://orders.example.com", ["http://10.0.0.1:80", "http://10.0.0.2:80"]]),
        "strip_path": st.booleans(),
        "websocket": st.booleans(),
        "identity_headers": st.sampled_from([{}, {"x-caller": "id", "x-plan": "plan"}]),
    }
)


@st.composite
def gateways(draw: st.DrawFn) -> str:
    """Documents of a gateway that may or may not be valid as a whole."""
    apis = draw(st.lists(APIS, min_size=1, max_size=4))
    policies = draw(st.lists(POLICIES, max_size=7))
    found: list[dict[str, Any]] = [
        {
            "kind": "Gateway",
            "name": "edge",
            "listeners": [{"name": "web", "address": "127.0.0.1:0"}],
            "attributes": {"plan": "string", "level": "number", "contractor": "bool"},
            **draw(st.sampled_from([{}, {"otlp": "http://127.0.0.1:4317"}, {"records": {"pseudonymise": True}}])),
        },
        {
            "kind": "Issuer",
            "name": "corp",
            "issuer": "https://idp.example.com",
            "audiences": ["x"],
            "jwks": {"keys": []},
            "groups": "groups",
        },
        {"kind": "Authenticate", "name": "everyone", "any": ["api_key"]},
    ]
    found += [{"name": "abcd"[i], **api} for i, api in enumerate(apis)]
    found += [{"name": f"p{i}", **policy} for i, policy in enumerate(policies)]
    return "\n---\n".join(yaml.safe_dump(one) for one in found)


def _compiled(text: str) -> Compiled | None:
    snapshot = assemble([read(text, "generated.yaml")], {})
    made = compile(snapshot) if isinstance(snapshot, Snapshot) else None
    return None if made is None or made.problems else made


@dataclass(frozen=True, slots=True)
class _Route:
    api: str
    path: str
    told: list[str]
    """The policies that the record names as deciding."""
    chain: list[Step]
    on_websocket: list[Step]

    def asked(self) -> list[str]:
        return [one for step in self.chain for one in step.asks]

    def noted(self) -> list[str]:
        return [one for step in self.chain for one in step.notes]


def _routes(made: Compiled) -> Iterator[_Route]:
    """Every route with the chain that it carries."""
    for scope in made.scopes():
        for host in scope.config.virtual_hosts:
            assert not host.typed_per_filter_config and not scope.config.typed_per_filter_config
            for route in host.routes:
                carried = route.typed_per_filter_config[names.POLICIES]
                told = route.metadata.filter_metadata["bartizan"].fields["policies"].string_value
                path = route.match.path_separated_prefix or "/"
                yield _Route(scope.api, path, told.split(), steps(carried), steps(carried, websocket=True))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=gateways())
def test_no_route_has_fewer_policies_than_were_written_for_it(text: str) -> None:
    made = _compiled(text)
    if made is None:
        return
    for route in _routes(made):
        api, path, asked = route.api, route.path, route.asked()
        assert asked[-1] == "upgrade-not-enabled"  # each route carries a chain, whatever covers it
        for policy in made.snapshot.policies:
            assert isinstance(policy, PolicyKind)
            target = policy.target
            covers = target.api in {None, api} and (not target.paths or any(within(path, one) for one in target.paths))
            left_out = any(within(path, one) for one in target.exclude)
            if (
                policy.kind in {"Authenticate", "Authorize"}
                and policy.mode != "disabled"
                and covers
                and not left_out
                and not target.methods
            ):
                found = route.noted() if policy.mode == "shadow" else asked
                assert policy.id in found, f"{policy.id} is missing on {path} of {api}:\n{text}"


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=gateways())
def test_who_decides_is_asked_once_in_the_order_that_the_record_tells(text: str) -> None:
    made = _compiled(text)
    for route in () if made is None else _routes(made):
        assert [one for one in route.asked() if "/" in one] == route.told
        assert len(set(route.asked())) == len(route.asked())
        assert not set(route.asked()) & set(route.noted())
        assert ("shadows" in [step.name for step in route.chain]) == bool(route.noted())
        # Whoever opens a WebSocket is asked the same.
        assert [step for step in route.on_websocket if step.asks or step.notes] == [step for step in route.chain if step.asks or step.notes]


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=gateways())
def test_envoy_accepts_whatever_is_compiled(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    made = _compiled(text)
    if made is not None:
        said = validated(made, tmp_path_factory.mktemp("validate"))
        assert not said, f"{said}\n{text}"


@pytest.mark.parametrize("path", sorted(GOLDENS.glob("*.yaml")), ids=lambda path: path.stem)
def test_envoy_accepts_the_goldens(path: Path, tmp_path: Path) -> None:
    made = _compiled(path.read_text().partition("# === compiles to ===")[0])
    if made is not None:
        assert not validated(made, tmp_path)


def test_a_bad_configuration_is_noticed(tmp_path: Path) -> None:
    made = _compiled((GOLDENS / "narrower_only_narrows.yaml").read_text().partition("# === compiles to ===")[0])
    assert made is not None
    scope = next(made.scopes())
    scope.config.virtual_hosts[0].routes[0].route.cluster = ""
    assert "cluster" in validated(made, tmp_path)
