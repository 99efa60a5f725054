"""The order in which a difference reaches Envoy, so that no request meets something half there."""

from bartizan.xds.release import EXTENSION, Step

GATE = "gate"


def in_order(difference: Step) -> tuple[Step, ...]:
    """What is named before what names it: all that is new or changed, then the gate's table that leads there, then what is gone."""
    ahead = tuple(one for one in difference.changed if one.key != (EXTENSION, GATE))
    gate = tuple(one for one in difference.changed if one.key == (EXTENSION, GATE))
    steps = (Step(changed=ahead), Step(changed=gate), Step(removed=difference.removed))
    return tuple(step for step in steps if step.changed or step.removed)
