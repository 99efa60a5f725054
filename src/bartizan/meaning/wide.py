"""Rules that let everything through, and rules that time puts out of force: told from what is written."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from ipaddress import ip_network

from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot
from bartizan.policies import PolicyKind
from bartizan.policies.authorize import Authorize
from bartizan.policies.cors import Cors
from bartizan.policies.ip_access import IpAccess
from bartizan.policies.public import Public

_BEFORE = re.compile(r'\bnow\.before\(\s*(?:"([^"]+)"|\'([^\']+)\')\s*\)')
_LATE = "Behind that moment it refuses everyone whom nothing else in the condition lets through."


def wide(snapshot: Snapshot) -> Iterator[Problem]:
    """Entries that let everybody through. What a condition lets through as a whole is told by `dead.idle`."""
    for policy in _enforced(snapshot):
        held = snapshot.resource(policy)
        if isinstance(policy, IpAccess) and isinstance(policy.allow, tuple):
            for place, text in enumerate(policy.allow):
                if ip_network(text).prefixlen == 0:
                    hint = "Name the networks that may come, or leave `allow` out and name those that may not in `deny`."
                    yield Problem(held.place(("allow", place)), "network-everywhere", f"{text} lets through every address", hint)
        if isinstance(policy, Cors) and "*" in policy.origins:
            told = "* lets pages of every origin call"
            yield Problem(held.place(("origins",)), "origin-any", told, "Name the origins whose pages may call.")
        if isinstance(policy, Public) and policy.target.api is None:
            told = "it serves every API without authentication" + (" below these paths" if policy.target.paths else "")
            yield Problem(
                held.place(("target",)), "public-everywhere", told, "Name the API in `target`, so that the next one isn't open too."
            )


def expiring(snapshot: Snapshot, now: datetime, within: timedelta) -> Iterator[Problem]:
    """Conditions on the time that soon never hold again, and freezes that end or are over."""
    for policy in _enforced(snapshot):
        if isinstance(policy, Authorize):
            for match in _BEFORE.finditer(policy.allow):
                if (over := _is_over(match[1] or match[2], now, within)) is not None:
                    told = "never holds again" if over else "soon never holds again"
                    yield Problem(snapshot.resource(policy).place(("allow",)), "rule-expires", f"`{match[0]}` {told}", _LATE)
    for place, freeze in enumerate(snapshot.gateway.releases.freezes):
        if (over := _is_over(freeze.until, now, within)) is not None:
            at = snapshot.resource(snapshot.gateway).place(("releases", "freezes", place))
            text = f"the freeze ({freeze.reason}) {'is over since' if over else 'ends at'} {freeze.until}"
            yield Problem(at, "freeze-ends", text, "Take it out." if over else "Then changes are let out again.")


def _is_over(text: str, now: datetime, within: timedelta) -> bool | None:
    """Whether this moment has passed; None if it doesn't come soon."""
    try:
        end = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if end.tzinfo is None or end > now + within else end <= now


def _enforced(snapshot: Snapshot) -> Iterable[PolicyKind]:
    return (one for one in snapshot.policies if isinstance(one, PolicyKind) and one.mode == "enforce")
