"""What an edit means, for people."""

from collections.abc import Iterable, Iterator

from bartizan.cli.output import painted, printable
from bartizan.meaning import Change, Condition, Group, LimitChange, Meaning, Place

_MOST_GROUPS, _MOST_PLACES = 40, 3
_SIGNS = {"loses": ("- loses", "red"), "gains": ("+ gains", "yellow"), "conditions": ("~ other conditions", "yellow")}


def lines(meaning: Meaning) -> Iterator[str]:
    """As people read it."""
    if meaning.access:
        yield painted("who may call what:", "bold")
        yield from _groups(meaning.access)
    if meaning.limits:
        yield painted("limits:", "bold")
        yield from _limits(meaning.limits)
    if meaning.callers:
        yield painted("callers (this holds at once, and a rollback of policies doesn't take it back):", "bold")
        yield from (f"  {printable(sentence)}" for sentence in meaning.callers)
        yield from _groups(meaning.live)
        yield from _limits(meaning.live_limits)
    if meaning.empty:
        yield "nobody gains or loses access, no condition and no limit changes"


def _groups(groups: tuple[Group, ...]) -> Iterator[str]:
    for group in groups[:_MOST_GROUPS]:
        yield f"  {_places(group.places)}"
        for change in group.changes:
            yield from _change_lines(change)
    yield from _more(len(groups), "groups of routes")


def _more(count: int, what: str) -> Iterator[str]:
    if count > _MOST_GROUPS:
        yield f"  ... and {count - _MOST_GROUPS:,} more {what}: `--json` tells all"


def _places(places: tuple[Place, ...]) -> str:
    named = [f"{', '.join(one.methods) or 'any method'} {'' if one.host == '*' else one.host}{one.path}" for one in places]
    apis = list(dict.fromkeys(one.api for one in places))
    shown = "; ".join(named[:_MOST_PLACES])
    if len(places) > _MOST_PLACES:
        return f"{len(places):,} routes of {_counted(len(apis), 'API')}: {shown} and {len(places) - _MOST_PLACES:,} more"
    status = {one.status for one in places}
    kept = f", {status.pop()}" if len(status) == 1 and status != {"kept"} else ""
    return f"{shown} (API {', '.join(apis)}{kept})"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _change_lines(change: Change) -> Iterator[str]:
    sign, colour = _SIGNS[change.what]
    yield f"    {painted(sign, colour)}: {printable(change.who.text)}"
    if change.what == "loses":
        yield from _conditions("refused by", change.after.conditions)
        yield from _conditions("it was let through where", change.before.conditions)
    elif change.what == "gains":
        yield from _conditions("it was refused by", change.before.conditions)
        yield from _conditions("only where", change.after.conditions)
    else:
        yield from _other_conditions(change.before.conditions, change.after.conditions)


def _other_conditions(before: tuple[Condition, ...], after: tuple[Condition, ...]) -> Iterator[str]:
    old, new = {one.text for one in before}, {one.text for one in after}
    yield from _conditions("now only where", (one for one in after if one.text not in old))
    yield from _conditions("no longer only where", (one for one in before if one.text not in new))
    if old == new:
        yield from _conditions("what this reads has changed:", after)


def _conditions(label: str, conditions: Iterable[Condition]) -> Iterator[str]:
    for one in conditions:
        more = f" and {len(one.policies) - 1:,} like it" if len(one.policies) > 1 else ""
        says = "" if one.policies[:1] == (one.text,) else f": {printable(one.text)}"
        yield f"        {label} {one.policies[0] if one.policies else ''}{more}{says}"


def _limits(limits: tuple[LimitChange, ...]) -> Iterator[str]:
    for limit in limits[:_MOST_GROUPS]:
        yield f"  {_places(limit.places)}"
        yield f"    {painted('~', 'yellow')} {limit.policy}"
        if not limit.moved:
            yield f"        was: {printable(limit.before) or 'not there'}"
            yield f"        now: {printable(limit.after) or 'not there'}"
        for one in limit.moved:
            yield f"        {printable(one.who.text)}: {printable(one.before) or 'no limit'}, now {printable(one.after) or 'no limit'}"
    yield from _more(len(limits), "changes of limits")
