"""Policies that decide nothing are found, and none that decides anything."""

import pytest

from bartizan.meaning.dead import idle
from tests.unit.meaning.made import FRAME, authorize, made

GOLD = 'principal.plan == "gold"'
DENY = '{kind: IpAccess, name: NAME, target: {api: orders}, deny: ["192.0.2.0/24"]}'


def found(*documents: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """What decides nothing, by its id."""
    return {one.policy.id: (one.why, one.covered_by) for one in idle(made(*documents))}


def test_of_two_that_say_the_same_the_narrower_is_dead() -> None:
    both = (authorize(GOLD), authorize(GOLD, "{api: orders, paths: [/orders/refunds]}", "refunds"))
    assert found(*both) == {"Authorize/refunds": ("dead", ("Authorize/rule",))}
    # On its own it isn't; nor is one that asks for something else there.
    assert found(both[1]) == {}
    assert found(both[0], authorize("principal.level > 3", "{api: orders, paths: [/orders/refunds]}", "refunds")) == {}


@pytest.mark.parametrize(
    ("stricter", "weaker"),
    [
        (GOLD, f'{GOLD} || principal.plan == "silver"'),
        (f"{GOLD} && principal.level > 3", GOLD),
        (GOLD, 'principal.plan != "free"'),
        (f'now.before("2030-01-01T00:00:00Z") && {GOLD}', GOLD),
        ('request.method == "GET"', 'request.method != "POST"'),
        (GOLD, "has(principal.plan)"),
        ("principal.level >= 7", "principal.level > 2"),
        ("principal.level == 7", "principal.level > 2"),
        ('principal.plan in ["gold", "silver"]', 'principal.plan in ["gold", "silver", "free"]'),
        ('principal.id.startsWith("acme-eu")', 'principal.id.startsWith("acme")'),
        ('source.ip.within("10.1.0.0/16")', 'source.ip.within(["10.0.0.0/8", "192.0.2.0/24"])'),
        ('!(principal.plan in ["gold", "free"])', 'principal.plan != "free"'),
    ],
)
def test_one_that_a_stricter_one_covers_is_dead(stricter: str, weaker: str) -> None:
    told = found(authorize(stricter, name="strict"), authorize(weaker, name="weak"))
    assert told == {"Authorize/weak": ("dead", ("Authorize/strict",))}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("principal.level >= 2", "principal.level >= 7"),
        ('principal.plan in ["gold", "silver"]', 'principal.plan in ["gold", "free"]'),
        ('source.ip.within("10.0.0.0/8")', 'source.ip.within("10.1.0.0/16")'),
        ('principal.plan != "gold"', 'principal.plan != "free"'),
        ("principal.level < 5", "principal.level > 3"),
        ('principal.department == "sales"', GOLD),
    ],
)
def test_neither_of_two_that_ask_for_different_things_is_dead(one: str, other: str) -> None:
    told = found(authorize(one, name="one"), authorize(other, name="other"))
    assert told.keys() <= {"Authorize/one"}
    # The first may be covered by a stricter second, never the other way round.
    assert told == ({"Authorize/one": ("dead", ("Authorize/other",))} if "7" in other or "10.1" in other else {})


@pytest.mark.parametrize(
    "condition",
    [GOLD, "principal.level >= 2", 'request.headers["x-a"] == "b"', 'now.after("2020-01-01T00:00:00Z")', 'principal.id != "nobody"'],
)
def test_one_that_refuses_nobody_of_today_isnt_dead(condition: str) -> None:
    """Every consumer may have the plan: the next one may not."""
    everyone = FRAME.replace("plan: free", "plan: gold")
    assert [one.policy.id for one in idle(made(authorize(condition), frame=everyone))] == []


def test_one_that_lets_everything_through() -> None:
    assert found(authorize("true")) == {"Authorize/rule": ("allows everything", ())}
    assert found(authorize('request.path.startsWith("/")')) == {"Authorize/rule": ("allows everything", ())}
    assert found(authorize("principal.id != ''")) == {}


def test_networks_that_are_refused_already_and_methods_that_nobody_answers() -> None:
    assert found(DENY.replace("NAME", "a"), DENY.replace("NAME", "b")) == {"IpAccess/a": ("dead", ("IpAccess/b",))}
    frame = FRAME.replace("paths: [/orders]", "paths: [/orders]\nmethods: [GET]")
    told = {one.policy.id: one.why for one in idle(made(authorize(GOLD, "{api: orders, methods: [POST]}"), frame=frame))}
    assert told == {"Authorize/rule": "dead"}


def test_two_that_cover_each_other_arent_both_dead() -> None:
    three = [authorize(GOLD, name=name) for name in ("one", "three", "two")]
    told = found(*three)
    assert len(told) == 2 and all(why == "dead" for why, _ in told.values())
    (left,) = {"Authorize/one", "Authorize/two", "Authorize/three"} - told.keys()
    assert all(left in covered_by for _, covered_by in told.values())


def test_the_owners_floor_stays() -> None:
    floor = authorize(GOLD, "{api: orders, paths: [/orders/refunds]}", "theirs") + "floor: true\n"
    assert found(floor, authorize(GOLD, "{api: orders, paths: [/orders/refunds]}", "ours")) == {
        "Authorize/ours": ("dead", ("Authorize/theirs",))
    }


def test_a_shadow_decides_nothing_anyway_and_isnt_told() -> None:
    assert found(authorize(GOLD), authorize(GOLD, name="tried") + "mode: shadow\n") == {}
