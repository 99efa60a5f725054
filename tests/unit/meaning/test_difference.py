"""What an edit means: each kind of change, told for whom and where."""

from bartizan.compile import Compiled
from bartizan.meaning import Change, Meaning, difference
from tests.unit.meaning.made import FRAME, authorize, made

GOLD, FREE = authorize('principal.plan == "gold"'), authorize('principal.plan == "free"')


def _short(meaning: Meaning) -> list[tuple[str, str, str]]:
    """Where, what, who."""
    return [
        (
            f"{','.join(place.methods) or '*'} {place.path}{'' if place.status == 'kept' else f' {place.status}'}",
            change.what,
            change.who.text,
        )
        for group in meaning.access
        for place in group.places
        for change in group.changes
    ]


def _only(meaning: Meaning) -> Change:
    ((change,),) = [group.changes for group in meaning.access]
    return change


def test_nothing_changes() -> None:
    assert difference(made(GOLD), made(GOLD)) == Meaning()
    # Another name, another order, other words for the same.
    same = made(authorize('principal.plan in ["gold"]', name="other"))
    assert difference(made(GOLD), same) == Meaning()


def test_who_gains_and_who_loses() -> None:
    meaning = difference(made(GOLD), made(FREE))
    assert _short(meaning) == [("* /orders", "loses", "acme"), ("* /orders", "gains", "globex")]
    loses, gains = meaning.access[0].changes
    assert (loses.before.kind, loses.after.kind) == ("allowed", "refused")
    assert [(one.text, one.policies) for one in loses.after.conditions] == [('principal.plan == "free"', ("Authorize/rule",))]
    assert [(one.text, one.policies) for one in gains.before.conditions] == [('principal.plan == "gold"', ("Authorize/rule",))]


def test_methods_and_paths_where_it_changes() -> None:
    after = made(authorize('principal.plan == "gold"', "{methods: [POST, PURGE], paths: [/orders/refunds]}"))
    assert _short(difference(made(), after)) == [("POST,PURGE /orders/refunds", "loses", "globex, tokens of corp")]
    assert _short(difference(after, made())) == [("POST,PURGE /orders/refunds", "gains", "globex, tokens of corp")]


def test_conditions() -> None:
    timed = made(authorize('principal.plan == "gold" && now.hour("UTC") > 7'))
    change = _only(difference(made(GOLD), timed))
    assert (change.what, change.who.text, change.before.kind, change.after.kind) == ("conditions", "acme", "allowed", "conditional")
    # Whoever is left with the same condition isn't told.
    wider = made(authorize('principal.plan in ["gold", "free"] && now.hour("UTC") > 7'))
    assert _short(difference(timed, wider)) == [("* /orders", "gains", "globex")]
    later = made(authorize('principal.plan == "gold" && now.hour("UTC") > 8'))
    assert _short(difference(timed, later)) == [("* /orders", "conditions", "acme")]


def test_routes_that_come_and_go() -> None:
    pets = "kind: Api\nname: pets\npaths: [/pets]\nupstream: http://127.0.0.1:9\n"
    assert _short(difference(made(), made(pets))) == [("* /pets new", "gains", "acme, globex, tokens of corp")]
    meaning = difference(made(), made(pets))
    assert [(place.api, place.status) for group in meaning.access for place in group.places] == [("pets", "new")]
    assert [place.status for group in difference(made(pets), made()).access for place in group.places] == ["removed"]


def test_places_where_the_same_changes_are_told_together() -> None:
    apis = [f"kind: Api\nname: pets-{i}\npaths: [/pets-{i}]\nupstream: http://127.0.0.1:9\n" for i in range(30)]
    own = [authorize('principal.plan != "x"', f"{{api: pets-{i}}}", f"own-{i}") for i in range(30)]
    other = [authorize('principal.plan == "gold"', f"{{api: pets-{i}}}", f"own-{i}") for i in range(30)]
    (group,) = difference(made(*apis, *own), made(*apis, *other)).access
    assert len(group.places) == 30
    (loses,) = group.changes
    assert loses.who.text == "globex" and len(loses.after.conditions[0].policies) == 30


def _limit(windows: str, target: str = "{api: orders}") -> str:
    return f"kind: RateLimit\nname: calls\ntarget: {target}\nper: principal.id\ntiers: [{{windows: [{windows}]}}]\n"


def test_limits() -> None:
    before, after = made(_limit("5/second")), made(_limit("6/second"))
    (change,) = difference(before, after).limits
    assert change.policy == "RateLimit/calls" and "5/second" in change.before and "6/second" in change.after
    assert [(place.path, place.methods) for place in change.places] == [("/orders", ()), ("/orders/health", ())]
    assert [(one.who.text, one.before, one.after) for one in change.moved] == [
        ("everyone", "5/second per principal.id", "6/second per principal.id")
    ]
    (gone,) = difference(after, made()).limits
    assert [(one.before, one.after) for one in gone.moved] == [("6/second per principal.id", "")]
    assert (gone.policy, gone.after) == ("RateLimit/calls", "")
    (narrower,) = difference(before, made(_limit("5/second", "{api: orders, methods: [POST]}"))).limits
    assert narrower.after == "" and all("GET" in place.methods and "POST" not in place.methods for place in narrower.places)
    assert difference(made(), made(_limit("5/second") + "mode: shadow\n")) == Meaning()


def _frame(old: str, new: str) -> Compiled:
    assert old in FRAME
    return made(GOLD, frame=FRAME.replace(old, new))


def test_callers_that_change_are_told_apart() -> None:
    meaning = difference(made(GOLD), _frame("plan: free", "plan: gold"))
    assert (meaning.access, meaning.callers) == ((), ("1 consumer changed: globex",))
    assert [(change.what, change.who.text) for group in meaning.live for change in group.changes] == [("gains", "globex")]
    # A policy that changes with them is told for the callers as they are afterwards.
    both = difference(made(GOLD), made(FREE, frame=FRAME.replace("plan: free", "plan: gold")))
    assert _short(both) == [("* /orders", "loses", "acme, globex")]
    assert [(change.what, change.who.text) for group in both.live for change in group.changes] == [("gains", "globex")]


def test_callers_that_come_and_go() -> None:
    new = "kind: Consumer\nname: new\nattributes: {plan: gold}\n"
    meaning = difference(made(GOLD), made(GOLD, new))
    assert meaning.callers == ("1 consumer new: new",)
    assert [(change.what, change.who.text) for group in meaning.live for change in group.changes] == [("gains", "new")]
    gone = difference(made(GOLD, new), made(GOLD))
    assert [(change.what, change.who.names) for group in gone.live for change in group.changes] == [("loses", ("new",))]
    enabled = difference(made(GOLD), _frame("disabled: true", "attributes: {plan: gold}"))
    assert [(change.what, change.who.text) for group in enabled.live for change in group.changes] == [("gains", "gone")]


def test_an_attribute_that_is_declared_no_more_is_nobodys() -> None:
    frame = FRAME.replace("level: number, ", "").replace(", level: 7", "").replace(", level: 2", "")
    rule = "has(principal.trusted) || has(principal.level)"
    before, after = made(authorize(rule)), made(authorize("has(principal.trusted)"), frame=frame)
    meaning = difference(before, after)
    # Callers change first: by the policies as they were, without the attribute.
    assert [(change.what, change.who.text) for group in meaning.live for change in group.changes] == [("loses", "globex")]
    assert meaning.access == ()


def test_a_host_that_loses_its_own_api_falls_back_to_that_of_all_hosts() -> None:
    own = "kind: Api\nname: own\nhosts: [api.example.com]\npaths: [/orders]\nupstream: http://127.0.0.1:9\n"
    refunds = authorize('principal.plan == "gold"', "{api: orders, paths: [/orders/refunds]}")
    meaning = difference(made(own, refunds), made(refunds))
    # The place is one of the other API's, and yet it changes for this host alone.
    ((place,),) = [group.places for group in meaning.access]
    assert (place.host, place.path, place.api, place.status) == ("api.example.com", "/orders/refunds", "orders", "kept")
    assert _short(meaning) == [("* /orders/refunds", "loses", "globex, tokens of corp")]


TIERS = """kind: RateLimit
name: calls
target: {api: orders}
per: principal.id
tiers:
  - {when: 'principal.plan == "gold"', windows: [9/second]}
  - {windows: [%d/second]}
"""


def test_who_falls_under_another_limit() -> None:
    (change,) = difference(made(TIERS % 1), made(TIERS % 2)).limits
    (moved,) = change.moved  # nothing changes for those with plan=gold
    assert (moved.who.text, moved.before, moved.after) == (
        "anonymous callers, globex, tokens of corp",
        "1/second per principal.id",
        "2/second per principal.id",
    )


def test_a_consumer_with_another_attribute_falls_under_another_limit() -> None:
    before, after = made(TIERS % 1), made(TIERS % 1, frame=FRAME.replace("plan: free", "plan: gold"))
    meaning = difference(before, after)
    assert (meaning.limits, meaning.empty) == ((), False)
    (change,) = meaning.live_limits
    assert [(one.who.text, one.before, one.after) for one in change.moved] == [
        ("globex", "1/second per principal.id", "9/second per principal.id")
    ]
    # Those who come new had no limit before that they could lose.
    new = made(TIERS % 1, "kind: Consumer\nname: new\nattributes: {plan: gold}\n")
    assert difference(before, new).live_limits == ()


def test_where_callers_are_stays_a_condition() -> None:
    frame = FRAME.replace("attributes:", "places: {city: a.mmdb, anonymous: b.mmdb}\nattributes:", 1)
    gold = 'principal.plan == "gold"'
    before, native, in_cel = (
        made(authorize(allow), frame=frame) for allow in (gold, f'{gold} && source.country == "DE"', f"{gold} && size(source.city) == 3")
    )
    for after in (native, in_cel):
        change = _only(difference(before, after))
        assert (change.who.text, change.after.kind) == ("acme", "conditional")
        assert "source." in change.after.conditions[0].text
    assert difference(native, native) == Meaning()
    (both,) = difference(native, made(authorize(f'{gold} && source.country == "NO"'), frame=frame)).access[0].changes
    assert both.who.text == "acme"
