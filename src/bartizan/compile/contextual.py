"""What is wrong with context sources, and with whoever else would tell what they tell."""

from collections.abc import Iterator
from difflib import get_close_matches

from bartizan.model.attributes import attribute_problem, has_type
from bartizan.model.consumer import Consumer
from bartizan.model.context import ContextSource
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot

_ALONE = "A source alone tells its attributes, so that nobody has to ask who is right."


def context_problems(snapshot: Snapshot) -> Iterator[Problem]:
    """Attributes that nobody declares, or that two tell; values that can't stand in."""
    owners: dict[str, str] = {}
    for source in snapshot.contexts.values():
        yield from _of_source(source, snapshot, owners)
    for issuer in snapshot.issuers.values():
        for name in issuer.attributes.keys() & owners.keys():
            at = snapshot.resource(issuer).place(("attributes", name))
            yield Problem(at, "attribute-of-context", f"the attribute {name!r} is told by ContextSource/{owners[name]}", _ALONE)


def consumer_problems(consumer: Consumer, snapshot: Snapshot) -> Iterator[Problem]:
    """Attributes that this consumer says, and a source tells."""
    contextual = snapshot.contextual()
    for name in consumer.attributes.keys() & contextual.keys():
        at = snapshot.resource(consumer).place(("attributes", name))
        yield Problem(at, "attribute-of-context", f"the attribute {name!r} is told by ContextSource/{contextual[name]}", _ALONE)


def _of_source(source: ContextSource, snapshot: Snapshot, owners: dict[str, str]) -> Iterator[Problem]:
    resource, declared = snapshot.resource(source), snapshot.gateway.attributes
    for i, name in enumerate(source.attributes):
        at = resource.place(("attributes", i))
        if name not in declared:
            near = get_close_matches(name, declared, n=1, cutoff=0.6)
            hint = f"Did you mean {near[0]!r}?" if near else f"Declared: {', '.join(declared) or 'none'}."
            yield Problem(at, "attribute-undeclared", f"the Gateway declares no attribute {name!r}", hint)
        elif (owner := owners.setdefault(name, source.name)) != source.name:
            yield Problem(at, "attribute-of-context", f"the attribute {name!r} is told by ContextSource/{owner} already", _ALONE)
    for name, value in source.defaults.items():
        if name not in source.attributes:
            told = f"this source doesn't tell the attribute {name!r}"
            yield Problem(resource.place(("stale", name)), "attribute-undeclared", told, f"It tells: {', '.join(source.attributes)}.")
        elif name in declared and not has_type(value, declared[name]):
            told = f"the attribute {name!r} is declared as a {declared[name]}"
            yield Problem(resource.place(("stale", name)), "attribute-type", told)
        elif wrong := attribute_problem(value):
            yield Problem(resource.place(("stale", name)), "attribute-value", f"the attribute {name!r} {wrong}")
