"""The order in which a difference reaches Envoy, so that no request meets something half there."""

from collections.abc import Mapping

from bartizan.envoy.names import RETOLD
from bartizan.xds.release import CLUSTER, ENDPOINTS, EXTENSION, SECRET, Resource, Step, resource

GATE = "gate"
_LAST = frozenset({GATE, RETOLD})
_AWAITED = ("towards/", "login/")
_AHEAD = ("lists", "limits/", "places", "principal", "login", "context")
Key = tuple[str, str]
"""Type URL and name."""


def in_order(difference: Step) -> tuple[Step, ...]:
    """What is named before what names it: the upstreams that routes lead to, the lists, buckets, places and attributes that they ask; all
    else that is new or changed; then the gate's table that leads there, and what is told of consumers while the tables of their keys are
    older, for what isn't told there any more is in the tables by then; then what is gone. Each step waits for Envoy's word, which
    comes for a cluster when it is warm: its names resolved, its health known."""
    ranked: dict[int, list[Resource]] = {0: [], 1: [], 2: []}
    for one in difference.changed:
        ranked[_rank(one)].append(one)
    steps = (*(Step(changed=tuple(some)) for some in ranked.values()), Step(removed=difference.removed))
    return tuple(step for step in steps if step.changed or step.removed)


def _rank(one: Resource) -> int:
    if one.type_url != EXTENSION:
        if one.type_url == SECRET and one.name.startswith(_AWAITED):
            return 0  # a cluster isn't warm without the secret that it names, and a login can't go on without its own
        return 0 if one.type_url in {CLUSTER, ENDPOINTS} else 1
    return 0 if one.name.startswith(_AHEAD) else 2 if one.name in _LAST else 1


def difference(held: Mapping[Key, Resource], wanted: Mapping[Key, bytes]) -> tuple[Step, dict[Key, Resource]]:
    """What leads from the resources that are held to the bodies that are wanted, and those as resources."""
    kept: dict[Key, Resource] = {}
    changed = []
    for key, body in wanted.items():
        known = held.get(key)
        if known is not None and (known.body is body or known.body == body):
            kept[key] = known
        else:
            kept[key] = resource(key[0], key[1], body)
            changed.append(kept[key])
    return Step(tuple(changed), tuple(key for key in held if key not in kept)), kept
