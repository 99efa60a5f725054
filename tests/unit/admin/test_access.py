"""Who asks the admin API, and what they may."""

from bartizan.admin.access import Caller
from bartizan.identity.operators import ROLES, Operator

MAY = {
    "context": {"push"},
    "viewer": {"view"},
    "proposer": {"view", "propose"},
    "editor": {"view", "propose", "edit", "push"},
    "approver": {"view", "approve"},
    "admin": {"view", "propose", "edit", "approve", "administer", "push"},
}


def test_each_role_may_do_its_own_and_the_owner_of_the_folder_all() -> None:
    everything = {"view", "propose", "edit", "approve", "administer", "push"}
    assert set(MAY) == set(ROLES)
    for role in ROLES:
        caller = Caller("x", "192.0.2.1", Operator("tok_1", "x", role, 0.0, None))
        assert {what for what in everything if caller.may(what)} == MAY[role]
    assert all(Caller("local:x", "local", None).may(what) for what in everything)
