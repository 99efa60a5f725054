"""What an edit means as JSON, and read back from it."""

from collections.abc import Mapping
from typing import Any

from bartizan.meaning.changes import Change, Condition, Group, LimitChange, Meaning, Moved, Place, State
from bartizan.meaning.who import Who


def told(meaning: Meaning) -> dict[str, Any]:
    """As JSON."""
    return {
        "same": meaning.empty,
        "access": list(map(_group, meaning.access)),
        "limits": list(map(_limit, meaning.limits)),
        "callers": list(meaning.callers),
        "live": list(map(_group, meaning.live)),
        "live_limits": list(map(_limit, meaning.live_limits)),
    }


def _limit(limit: LimitChange) -> dict[str, Any]:
    moved = [{"who": _who(one.who), "before": one.before or None, "after": one.after or None} for one in limit.moved]
    before, after = limit.before or None, limit.after or None
    return {"policy": limit.policy, "before": before, "after": after, "places": list(map(_place, limit.places)), "moved": moved}


def _group(group: Group) -> dict[str, Any]:
    return {"places": list(map(_place, group.places)), "changes": list(map(_change, group.changes))}


def _place(place: Place) -> dict[str, Any]:
    return {
        "api": place.api,
        "host": place.host,
        "path": place.path,
        "methods": list(place.methods) or None,
        "status": place.status,
    }


def _change(change: Change) -> dict[str, Any]:
    return {"what": change.what, "who": _who(change.who), "before": _state(change.before), "after": _state(change.after)}


def _who(who: Who) -> dict[str, Any]:
    return {
        "text": who.text,
        "anonymous": who.anonymous,
        "tokens_of": list(who.issuers),
        "certificates_of": list(who.cas),
        "consumers": who.consumers,
        "names": list(who.names),
    }


def _state(state: State) -> dict[str, Any]:
    return {"kind": state.kind, "conditions": [{"text": one.text, "policies": list(one.policies)} for one in state.conditions]}


def read_back(told: Mapping[str, Any]) -> Meaning:
    """What `told` gave."""
    limits, live_limits = (tuple(map(_limited, told[name])) for name in ("limits", "live_limits"))
    access, live = (tuple(map(_grouped, told[name])) for name in ("access", "live"))
    return Meaning(access, limits, tuple(told["callers"]), live, live_limits)


def _limited(told: Mapping[str, Any]) -> LimitChange:
    moved = (Moved(_people(one["who"]), one["before"] or "", one["after"] or "") for one in told["moved"])
    return LimitChange(told["policy"], told["before"] or "", told["after"] or "", tuple(map(_placed, told["places"])), tuple(moved))


def _grouped(told: Mapping[str, Any]) -> Group:
    return Group(tuple(map(_placed, told["places"])), tuple(map(_changed, told["changes"])))


def _placed(told: Mapping[str, Any]) -> Place:
    return Place(told["api"], told["host"], told["path"], tuple(told["methods"] or ()), told["status"])


def _changed(told: Mapping[str, Any]) -> Change:
    return Change(told["what"], _people(told["who"]), _stated(told["before"]), _stated(told["after"]))


def _people(who: Mapping[str, Any]) -> Who:
    return Who(who["text"], who["anonymous"], tuple(who["tokens_of"]), tuple(who["certificates_of"]), who["consumers"], tuple(who["names"]))


def _stated(told: Mapping[str, Any]) -> State:
    return State(told["kind"], tuple(Condition(one["text"], tuple(one["policies"])) for one in told["conditions"]))
