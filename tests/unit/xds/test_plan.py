"""The order of a difference: what is named before what names it."""

from bartizan.xds.plan import difference, in_order
from bartizan.xds.release import CLUSTER, EXTENSION, ROUTES, SECRET, Resource, Step, resource


def _changed(*keys: tuple[str, str]) -> tuple[Resource, ...]:
    return tuple(resource(type_url, name, name.encode()) for type_url, name in keys)


def _keys(step: Step) -> list[str]:
    return [one.name for one in step.changed]


def test_upstreams_lists_and_buckets_then_the_rest_then_the_gate_then_removals() -> None:
    changed = _changed(
        (EXTENSION, "gate"), (ROUTES, "*/orders"), (EXTENSION, "limits/2"), (CLUSTER, "a"), (EXTENSION, "lists"), (EXTENSION, "keys/a")
    )
    changed += _changed((EXTENSION, "retold"))
    steps = in_order(Step(changed, ((ROUTES, "*/old"),)))
    assert [_keys(step) for step in steps] == [["limits/2", "a", "lists"], ["*/orders", "keys/a"], ["gate", "retold"], []]
    assert steps[-1].removed == ((ROUTES, "*/old"),)


def test_a_route_called_like_a_list_is_no_list() -> None:
    assert [_keys(step) for step in in_order(Step(_changed((ROUTES, "lists"), (ROUTES, "gate"))))] == [["lists", "gate"]]


def test_a_certificate_towards_an_upstream_comes_with_it_and_a_listeners_with_the_rest() -> None:
    changed = _changed((SECRET, "certificate/web"), (SECRET, "towards/0f"), (CLUSTER, "a"), (ROUTES, "*/orders"))
    assert [_keys(step) for step in in_order(Step(changed))] == [["towards/0f", "a"], ["certificate/web", "*/orders"]]


def test_what_a_login_needs_comes_before_its_routes() -> None:
    changed = _changed((ROUTES, "*/orders"), (SECRET, "login/0f/client"), (SECRET, "login/0f/cookies"))
    assert [_keys(step) for step in in_order(Step(changed))] == [["login/0f/client", "login/0f/cookies"], ["*/orders"]]


def test_nothing_is_no_step() -> None:
    assert in_order(Step()) == ()


def test_only_what_differs_is_sent_and_what_is_kept_is_the_same_object() -> None:
    held = {(one.type_url, one.name): one for one in _changed((ROUTES, "same"), (ROUTES, "other"), (ROUTES, "gone"))}
    wanted = {(ROUTES, "same"): b"same", (ROUTES, "other"): b"changed", (CLUSTER, "new"): b"new"}
    step, kept = difference(held, wanted)
    assert [(one.name, one.body) for one in step.changed] == [("other", b"changed"), ("new", b"new")]
    assert step.removed == ((ROUTES, "gone"),)
    assert kept.keys() == wanted.keys() and kept[ROUTES, "same"] is held[ROUTES, "same"]
    assert difference(kept, wanted) == (Step(), kept)
