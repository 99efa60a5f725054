"""What every policy kind promises, asked of each of them."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bartizan.compile import Compiled, compile
from bartizan.compile.chain import policy_chain
from bartizan.compile.read import TYPES, assemble, read
from bartizan.condition import Schema, Sources
from bartizan.lib.yaml import documents
from bartizan.model.snapshot import Snapshot
from bartizan.policies import KINDS, Place, PolicyKind
from tests.chains import Step, steps

FRAME = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
attributes: {plan: string, department: string, job: string, acr: string, auth_time: number}
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
attributes: {acr: acr, auth_time: auth_time}
---
kind: Public
name: frame
target: {api: orders}
reason: kinds are looked at one at a time
"""
_YAML = re.compile(r"```yaml\n(.*?)```", re.DOTALL)


def _manual(kind: type[PolicyKind]) -> str:
    return importlib.import_module(kind.__module__.removesuffix(".model")).__doc__ or ""


def _example(kind: type[PolicyKind]) -> str:
    found = _YAML.findall(_manual(kind))
    assert found, f"the manual of {kind.__name__} has no YAML example"
    return str(found[0])


def _files(kind: type[PolicyKind], folder: Path) -> dict[str, bytes]:
    """The files that a kind's example names, made for the test."""
    made = TYPES[kind.__name__].model_validate(next(documents(_example(kind))).value)
    assert isinstance(made, PolicyKind)
    return {name: _content(name, folder) for name in made.file_names()}


def _content(name: str, folder: Path) -> bytes:
    del folder
    if name.endswith((".pem", ".crt")):
        from tests.certificates import ca  # noqa: PLC0415 - only kinds with certificates need it

        return ca(name)
    return b"192.0.2.0/24\n"


def _snapshot(kind: type[PolicyKind], folder: Path, change: str = "") -> Snapshot:
    text = _example(kind) + change
    found = assemble([read(FRAME, "frame.yaml"), read(text, "example.yaml")], _files(kind, folder))
    assert isinstance(found, Snapshot), f"the example of {kind.__name__}:\n" + "\n".join(map(str, found))
    return found


def _of(kind: type[PolicyKind], snapshot: Snapshot) -> PolicyKind:
    return next(policy for policy in snapshot.policies if isinstance(policy, kind) and policy.name != "frame")


def _place(policy: PolicyKind, snapshot: Snapshot, *, shadow: bool) -> Place:
    return Place(
        policy.id,
        shadow,
        snapshot.apis["orders"],
        "/orders",
        snapshot.gateway,
        Schema.of(snapshot.gateway),
        Sources(),
        snapshot.files,
    )


def _routed() -> Iterator[type[PolicyKind]]:
    yield from (kind for kind in KINDS if not kind.of_listener)


@pytest.mark.parametrize("kind", KINDS)
def test_its_example_is_valid_and_compiles(kind: type[PolicyKind], tmp_path: Path) -> None:
    compiled = compile(_snapshot(kind, tmp_path))
    assert isinstance(compiled, Compiled)
    assert not [one for one in compiled.problems if one.code != "authenticate-impossible"]


@pytest.mark.parametrize("kind", KINDS)
def test_its_manual_says_what_shadow_does_and_what_it_costs(kind: type[PolicyKind]) -> None:
    manual = _manual(kind).lower()
    assert "shadow" in manual
    assert "cost" in manual or "microsecond" in manual


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_described(kind: type[PolicyKind]) -> None:
    assert kind.__doc__
    missing = [name for name, field in kind.model_fields.items() if name != "kind" and not field.description]
    assert not missing


@pytest.mark.parametrize("kind", list(_routed()))
def test_shadow_differs_from_enforce(kind: type[PolicyKind], tmp_path: Path) -> None:
    if not kind.may_shadow or kind.__name__ == "Public":
        return
    snapshot = _snapshot(kind, tmp_path)
    enforced = _of(kind, snapshot)
    shadow = enforced.model_copy(update={"mode": "shadow"})
    fragments = {one.mode: one.compile(_place(one, snapshot, shadow=one.mode == "shadow")) for one in (enforced, shadow)}
    if fragments["enforce"].permit is None:
        assert str(fragments["enforce"]) != str(fragments["shadow"])
        return
    assert _on_a_route(snapshot, enforced) == [Step(f"{enforced.id},upgrade-not-enabled", (enforced.id, "upgrade-not-enabled"))]
    assert _on_a_route(snapshot, shadow) == [
        Step("shadows"),
        Step(shadow.id, notes=(shadow.id,)),
        Step("upgrade-not-enabled", ("upgrade-not-enabled",)),
    ]


def _on_a_route(snapshot: Snapshot, *policies: PolicyKind) -> list[Step]:
    """What these policies, and no others, leave on a route."""
    covered = [(policy, policy.compile(_place(policy, snapshot, shadow=policy.mode == "shadow"))) for policy in policies]
    return steps(policy_chain(snapshot.apis["orders"], covered))


@pytest.mark.parametrize("kind", list(_routed()))
def test_compile_is_the_same_every_time(kind: type[PolicyKind], tmp_path: Path) -> None:
    snapshot = _snapshot(kind, tmp_path)
    policy = _of(kind, snapshot)
    place = _place(policy, snapshot, shadow=False)
    assert str(policy.compile(place)) == str(policy.compile(place))


@pytest.mark.parametrize("kind", list(_routed()))
def test_it_has_a_golden(kind: type[PolicyKind]) -> None:
    folder = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    assert list((Path(__file__).parent / "golden" / "policies" / folder).glob("*.yaml")), (
        f"write a golden for {kind.__name__}, then `make bless`"
    )


@pytest.mark.parametrize("kind", list(_routed()))
def test_two_on_one_route_both_hold_and_both_are_named(kind: type[PolicyKind], tmp_path: Path) -> None:
    snapshot = _snapshot(kind, tmp_path)
    policy = _of(kind, snapshot)
    both = (policy, policy.model_copy(update={"name": "another"}))
    chain = _on_a_route(snapshot, *both)
    assert len({one.name for one in chain}) == len(chain)
    if policy.compile(_place(policy, snapshot, shadow=False)).permit is not None:
        asked = (*(one.id for one in both), "upgrade-not-enabled")
        assert chain == [Step(",".join(asked), asked)]
