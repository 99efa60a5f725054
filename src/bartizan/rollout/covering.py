"""What compiled policies say of a route: which policies cover it, as they are declared, and since which revision."""

from collections.abc import Mapping
from typing import Any

from bartizan.compile import Compiled, Stamped
from bartizan.compile.covering import covering, scopes_of


def told_of_route(compiled: Compiled, stamps: Mapping[str, Stamped], api: str, route: str, method: str) -> dict[str, Any]:
    """What `explain` wants to know. `revisions` are those that brought the route's rules, of which a record names one."""
    found = covering(compiled, api, route, method)
    revisions = {stamps[scope].revision for scope in scopes_of(compiled, api, route) if scope in stamps}
    policies = [
        {"policy": one.policy, "role": one.role, "shadow": one.shadow, "declared": policy.model_dump(mode="json", by_alias=True)}
        for policy, one in found
    ]
    return {"revision": compiled.snapshot.revision, "revisions": sorted(revisions), "policies": policies}
