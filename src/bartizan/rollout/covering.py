"""What the active state says of a route: which policies cover it, as they are declared, and since which revision."""

from typing import Any

from bartizan.compile.covering import covering, scopes_of
from bartizan.rollout.state import State


def told_of_route(state: State, api: str, route: str, method: str) -> dict[str, Any]:
    """What `explain` asks of a running gateway. `revisions` are those that brought the route's rules, of which a record names one."""
    found = covering(state.compiled, api, route, method)
    revisions = {state.stamps[scope].revision for scope in scopes_of(state.compiled, api, route) if scope in state.stamps}
    policies = [
        {"policy": one.policy, "role": one.role, "shadow": one.shadow, "declared": policy.model_dump(mode="json", by_alias=True)}
        for policy, one in found
    ]
    return {"revision": state.compiled.snapshot.revision, "revisions": sorted(revisions), "policies": policies}
