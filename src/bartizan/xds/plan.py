"""The order in which a difference reaches Envoy, so that no request meets something half there."""

from bartizan.xds.release import EXTENSION, Resource, Step

GATE = "gate"
_AHEAD = ("lists", "limits/")


def in_order(difference: Step) -> tuple[Step, ...]:
    """What is named before what names it: the lists and buckets that routes ask, all else that is new or changed, then the gate's table
    that leads there, then what is gone."""
    ranked: dict[int, list[Resource]] = {0: [], 1: [], 2: []}
    for one in difference.changed:
        ranked[_rank(one)].append(one)
    steps = (*(Step(changed=tuple(some)) for some in ranked.values()), Step(removed=difference.removed))
    return tuple(step for step in steps if step.changed or step.removed)


def _rank(one: Resource) -> int:
    if one.type_url != EXTENSION:
        return 1
    return 0 if one.name.startswith(_AHEAD) else 2 if one.name == GATE else 1
