"""What the unit tests of resource policies share: a small gateway, and documents with one thing in them."""

from typing import Any

from bartizan.compile.read import assemble, read
from bartizan.condition import Schema, Sources
from bartizan.model.api import Api
from bartizan.model.snapshot import Snapshot
from bartizan.policies._kind import Fault
from bartizan.policies.resource_policy.keys import Setting
from bartizan.policies.resource_policy.logic import settled
from bartizan.policies.resource_policy.lowering import allowed
from bartizan.policies.resource_policy.model import reading
from tests.unit.condition.shape import shape

SCHEMA = Schema({"plan": "string", "department": "string", "level": "number", "admin": "bool", "regions": "list"})
API = Api.model_validate({"name": "orders", "paths": ["/orders"], "upstream": "http://127.0.0.1:1"})
PRODUCTION, SCRATCH = Setting("edge", Sources()), Setting("edge", Sources(time="header", address="header"))

FRAME = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
attributes: {plan: string, department: string, level: number, admin: bool, regions: list}
---
{kind: Api, name: orders, paths: [/orders, /v2/orders], methods: [GET, POST], upstream: "http://127.0.0.1:1"}
---
{kind: Api, name: pets, paths: [/pets], upstream: "http://127.0.0.1:1"}
---
{kind: Consumer, name: acme}
---
{kind: Issuer, name: corp, issuer: "https://idp.example.com", audiences: [a], jwks: {keys: []}}
---
{kind: Public, name: frame, reason: here only documents are looked at}
"""


def document(**statement: Any) -> dict[str, Any]:
    """A document with one statement, which allows everything but for what is given. What is None is left out."""
    whole = {"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "*", **statement}
    return {"Version": "2012-10-17", "Statement": {name: value for name, value in whole.items() if value is not None}}


def faults(written: dict[str, Any]) -> list[Fault]:
    return reading(written, SCHEMA).notes.faults


def codes(written: dict[str, Any]) -> list[tuple[str, str]]:
    """Of each mistake the code, and where in the document it is."""
    return [(fault.code, ".".join(map(str, fault.path[1:]))) for fault in faults(written)]


def lowered(written: dict[str, Any], setting: Setting = PRODUCTION) -> str:
    """The document as a predicate, in short."""
    found = reading(written, SCHEMA)
    assert not found.notes.faults
    return shape(settled(allowed(found.statements, API, setting)))


def of_condition(condition: dict[str, Any], setting: Setting = PRODUCTION) -> str:
    """A condition as a predicate, in short."""
    return lowered(document(Condition=condition), setting)


def snapshot(more: str = "") -> Snapshot:
    found = assemble([read(FRAME, "frame.yaml"), read(more, "policy.yaml")], {})
    assert isinstance(found, Snapshot), "\n".join(map(str, found))
    return found


def problems(written: dict[str, Any], target: str = "{}") -> list[tuple[str, str]]:
    """Of each mistake that a gateway finds in a policy with this document the code, and what is told."""
    policy = f"{{kind: ResourcePolicy, name: p, target: {target}, document: {_flow(written)}}}"
    found = assemble([read(FRAME, "frame.yaml"), read(policy, "policy.yaml")], {})
    return [] if isinstance(found, Snapshot) else [(one.code, f"{one.message} {one.hint}") for one in found]


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{name}": {_flow(item)}' for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, int | float) else f"'{value}'"
