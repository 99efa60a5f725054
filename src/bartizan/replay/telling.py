"""What came of a replay as JSON, and read back from it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from bartizan.replay.judging import Change
from bartizan.replay.tally import Group, Seen, Tally, Where

_TOLD = 10_000
_SHOWN: tuple[Change, ...] = ("newly refused", "newly allowed", "refused by another")
NEVER_TOLD = (
    "Records hold no query, no header but the user agent, and no body: policies that ask for them can't be told.",
    "Limits count anew each time: a request that a limit refused is taken for one that every policy let through.",
    "Of preflights it is compared that they are answered, not what the answer permits.",
)
"""What no record can tell, whatever the candidate."""


def told(tally: Tally, most: int = _TOLD) -> dict[str, Any]:
    """The counts, and the largest groups of each change."""
    return {
        "requests": tally.records,
        "judged": tally.judged,
        "same": tally.counts["same"],
        "newly_refused": tally.counts["newly refused"],
        "newly_allowed": tally.counts["newly allowed"],
        "refused_by_another": tally.counts["refused by another"],
        "untold": tally.counts["untold"],
        "by_attributes_of_now": tally.now,
        "groups": [_group(*one) for change in _SHOWN for one in tally.of(change)[:most]],
        "untold_because": [{"policy": policy or None, "lacks": lacks, "count": count} for policy, lacks, count in tally.untold()],
        "not_decided": dict(tally.no_decision),
        "never_told": NEVER_TOLD,
        "questions": tally.asked,
    }


def read_back(told: Mapping[str, Any]) -> Tally:
    """What `told` gave, but for groups that it left out."""
    tally = Tally(asked=told["questions"], now=told["by_attributes_of_now"])
    names: dict[Change, str] = {"same": "same", "untold": "untold", **{change: change.replace(" ", "_") for change in _SHOWN}}
    tally.counts.update({change: told[name] for change, name in names.items()})
    tally.no_decision.update(told["not_decided"])
    for one in told["groups"]:
        where = Where(one["who"] or "", one["api"] or "", one["route"] or "", one["method"] or "")
        tally.groups[Group(one["change"], one["policy"], where)] = Seen(one["count"], list(one["request_ids"]))
    for one in told["untold_because"]:
        group = Group("untold", one["policy"] or "", Where("", "", "", ""), tuple(one["lacks"]))
        tally.groups[group] = Seen(one["count"])
    return tally


def _group(group: Group, seen: Seen) -> dict[str, Any]:
    where = {name: value or None for name, value in asdict(group.where).items()}
    return {"change": group.change, "policy": group.policy, **where, "count": seen.count, "request_ids": seen.samples}
