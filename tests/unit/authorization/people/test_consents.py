"""What people have allowed applications."""

from bartizan.authorization.people.consents import agree, agreed, all_of, withdraw
from bartizan.authorization.tokens import Wanted
from tests.unit.authorization.rig import Rig


def test_somebody_is_asked_once_for_each_scope(rig: Rig) -> None:
    ann, bob = rig.person("ann"), rig.person("bob")
    assert not agreed(rig.here, ann, "web", "openid") and agreed(rig.here, ann, "web", "") is False
    agree(rig.here, ann, "web", "openid profile")
    assert agreed(rig.here, ann, "web", "openid") and agreed(rig.here, ann, "web", "profile openid")
    assert not agreed(rig.here, ann, "web", "openid groups") and not agreed(rig.here, ann, "phone", "openid")
    assert not agreed(rig.here, bob, "web", "openid")
    rig.now += 5
    agree(rig.here, ann, "web", "groups")
    assert agreed(rig.here, ann, "web", "openid profile groups")
    assert [(one.client, one.scopes, one.since) for one in all_of(rig.here, ann.id)] == [("web", ("openid", "profile", "groups"), rig.now)]
    assert all_of(rig.here, bob.id) == ()


def test_after_a_year_they_are_asked_anew_and_may_allow_it_again(rig: Rig) -> None:
    ann = rig.person()
    agree(rig.here, ann, "web", "openid profile")
    rig.now += 366 * 86400
    assert not agreed(rig.here, ann, "web", "openid")
    agree(rig.here, ann, "web", "openid")
    assert agreed(rig.here, ann, "web", "openid") and not agreed(rig.here, ann, "web", "profile")


def test_what_is_withdrawn_ends_what_the_application_has(rig: Rig) -> None:
    who = rig.logged_in()[1]
    for name in ("web", "phone"):
        agree(rig.here, who, name, "openid")
        rig.tokens.issue(rig.declared, Wanted(rig.client(name), who, "openid"), refresh=True)
    withdraw(rig.here, who.id, "web")
    withdraw(rig.here, who.id, "nobody")
    assert [one.client for one in all_of(rig.here, who.id)] == ["phone"]
    assert [one.value["client"] for one in rig.tokens.families(who.id)] == ["phone"] and len(rig.gateway.blocked) == 1


def test_who_is_called_as_somebody_was_has_allowed_nothing(rig: Rig) -> None:
    agree(rig.here, rig.person(), "web", "openid")
    rig.accounts.remove("ann")
    assert not agreed(rig.here, rig.person(), "web", "openid")
