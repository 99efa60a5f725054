"""What is wrong between resources: dangling references, attributes that nobody declared, floors that are weakened."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from bartizan.compile.client_certificates import certificate_problems, device_problems
from bartizan.compile.contextual import consumer_problems, context_problems
from bartizan.compile.teams import team_problems
from bartizan.condition import Schema
from bartizan.model.attributes import RESERVED, attribute_problem, has_type
from bartizan.model.consumer import Consumer
from bartizan.model.gateway import Gateway
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Resource, Snapshot
from bartizan.policies import Fault, PolicyKind
from bartizan.policies.tls import Tls


def cross_problems(snapshot: Snapshot, before: Snapshot | None = None) -> Iterator[Problem]:
    """Everything that is wrong between resources. What was good in `before`, and depends on nothing that changed, is good still."""
    same_frame = before is not None and _frame(before) == _frame(snapshot)
    good = before if same_frame else None
    at_home = good is not None and _named(good) == _named(snapshot)
    yield from _policy_problems(snapshot, good, at_home)
    if good is None or good.consumers != snapshot.consumers:
        known = good.consumers if good is not None else {}
        for name, consumer in snapshot.consumers.items():
            if known.get(name) is not consumer:
                yield from _attribute_problems(consumer, snapshot)
                yield from consumer_problems(consumer, snapshot)
    if not at_home:
        yield from _undeclared_attributes(snapshot)
        yield from certificate_problems(snapshot, _cas(snapshot))
        yield from device_problems(snapshot)
        yield from context_problems(snapshot)
        yield from team_problems(snapshot)


def _policy_problems(snapshot: Snapshot, good: Snapshot | None, at_home: bool) -> Iterator[Problem]:
    """What is wrong with policies. `at_home`: all that a policy may name is as it was in `good`."""
    schema = Schema.of(snapshot.gateway)
    known = {
        "Api": snapshot.apis.keys(),
        "Consumer": snapshot.consumers.keys(),
        "Issuer": snapshot.issuers.keys(),
        "Device": snapshot.devices.keys(),
        "Listener": {one.name for one in snapshot.gateway.listeners},
        "CA": _cas(snapshot),
    }
    held = {id(policy) for policy in good.policies} if good is not None else frozenset()
    for policy in snapshot.policies:
        new = id(policy) not in held
        if isinstance(policy, PolicyKind) and (new or not at_home):
            resource = snapshot.resource(policy)
            if new:
                yield from _own_problems(policy, snapshot, schema)
            yield from _faults(policy.misfits(snapshot), resource)
            yield from _dangling(policy, resource, known)


def _frame(snapshot: Snapshot) -> tuple[object, ...]:
    """What all that is declared is checked against."""
    return snapshot.gateway, snapshot.files, snapshot.contexts


def _named(snapshot: Snapshot) -> tuple[object, ...]:
    """What a policy may name, and the policies that others look at."""
    return snapshot.apis, snapshot.consumers, snapshot.issuers, snapshot.devices, [one for one in snapshot.policies if isinstance(one, Tls)]


def _cas(snapshot: Snapshot) -> set[str]:
    return {ca for policy in snapshot.policies if isinstance(policy, Tls) for ca in policy.client_cas}


def _faults(found: Iterator[Fault], resource: Resource) -> Iterator[Problem]:
    for fault in found:
        yield Problem(resource.place(fault.path), fault.code, fault.message, fault.hint)


def _own_problems(policy: PolicyKind, snapshot: Snapshot, schema: Schema) -> Iterator[Problem]:
    resource = snapshot.resource(policy)
    yield from _faults(policy.faults(schema, snapshot.files), resource)
    if policy.mode == "shadow" and not policy.may_shadow:
        yield Problem(resource.place(("mode",)), "mode-unsupported", f"a {policy.kind} can't be put in shadow", "Use enforce.")
    if policy.target.listener is not None and not policy.of_listener:
        hint = "Take it out: it would not narrow what the policy covers."
        yield Problem(resource.place(("target", "listener")), "target-unsupported", f"a {policy.kind} covers APIs, not listeners", hint)
    if policy.floor and policy.mode != "enforce":
        yield Problem(
            resource.place(("mode",)),
            "floor-weakened",
            "a floor is enforced, always",
            "Take `floor: true` away first, if that is what you mean.",
        )
    if policy.floor and policy.target.exclude:
        yield Problem(
            resource.place(("target", "except")),
            "floor-weakened",
            "a floor leaves nothing out",
            "Narrow its paths, or take `floor: true` away.",
        )


def _dangling(policy: PolicyKind, resource: Resource, known: Mapping[str, Any]) -> Iterator[Problem]:
    references = [(reference.path, reference.kind, reference.name) for reference in policy.references()]
    if policy.target.api is not None:
        references.append((("target", "api"), "Api", policy.target.api))
    if policy.target.listener is not None:
        references.append((("target", "listener"), "Listener", policy.target.listener))
    for path, kind, name in references:
        if name not in known.get(kind, ()):
            near = get_close_matches(name, list(known.get(kind, ())), n=1, cutoff=0.5)
            yield Problem(
                resource.place(path),
                f"{kind.lower()}-unknown",
                f"there is no {kind} {name!r}",
                f"Did you mean {near[0]!r}?" if near else "",
            )


def _undeclared_attributes(snapshot: Snapshot) -> Iterator[Problem]:
    declared = snapshot.gateway.attributes
    for issuer in snapshot.issuers.values():
        for name in issuer.attributes.keys() - declared.keys():
            yield _undeclared(snapshot.resource(issuer), ("attributes", name), name, snapshot.gateway)
    for api in snapshot.apis.values():
        for header, what in api.identity_headers.items():
            if what not in RESERVED and what not in declared:
                yield _undeclared(snapshot.resource(api), ("identity_headers", header), what, snapshot.gateway)


def _undeclared(resource: Resource, path: tuple[str, ...], name: str, gateway: Gateway) -> Problem:
    declared = ", ".join(gateway.attributes) or "none"
    return Problem(resource.place(path), "attribute-undeclared", f"the Gateway declares no attribute {name!r}", f"Declared: {declared}.")


def _attribute_problems(consumer: Consumer, snapshot: Snapshot) -> Iterator[Problem]:
    resource = snapshot.resource(consumer)
    for name, value in consumer.attributes.items():
        declared = snapshot.gateway.attributes.get(name)
        if declared is None:
            yield _undeclared(resource, ("attributes", name), name, snapshot.gateway)
        elif not has_type(value, declared):
            yield Problem(resource.place(("attributes", name)), "attribute-type", f"the attribute {name!r} is declared as a {declared}")
        elif wrong := attribute_problem(value):
            yield Problem(resource.place(("attributes", name)), "attribute-value", f"the attribute {name!r} {wrong}")
    if wrong := attribute_problem(list(consumer.groups)):
        yield Problem(resource.place(("groups",)), "attribute-value", f"the list of groups {wrong}")
