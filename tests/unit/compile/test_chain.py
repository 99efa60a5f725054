"""A route's chain: which policies share a filter, in what order they are asked, and who refuses."""

import itertools
from typing import Any

import pytest

from bartizan.compile.chain import deciding, policy_chain
from bartizan.envoy import message_type
from bartizan.envoy.filters import typed
from bartizan.envoy.matching import all_of, any_of, header, negated
from bartizan.envoy.messages import message
from bartizan.model.api import Api
from bartizan.policies import Fragment, PolicyKind
from bartizan.policies.authorize import Authorize
from tests.chains import Step, steps

API: dict[str, Any] = {"name": "orders", "paths": ("/orders",), "upstream": {"endpoints": ({"url": "http://127.0.0.1:1"},)}}
FRAME = ("upgrade-not-enabled",)
READS = 100
"""Levels of messages that Envoy reads."""


def api(**more: Any) -> Api:
    return Api(**API, **more)


def policy(name: str, mode: str = "enforce") -> PolicyKind:
    return Authorize.model_validate({"name": name, "mode": mode, "allow": "true"})


def decides(name: str, mode: str = "enforce", **more: Any) -> tuple[PolicyKind, Fragment]:
    return policy(name, mode), Fragment(permit=header(f"x-{name}", exact="yes"), **more)


def own_filter(name: str) -> Any:
    return typed(name, message("envoy.extensions.filters.http.body_size_limit.v3.BodySizeLimit", max_request_bytes={"value": 1}))


def ids(*names: str) -> tuple[str, ...]:
    return tuple(name if "-" in name else f"Authorize/{name}" for name in names)


def joined(*names: str) -> Step:
    asked = ids(*names)
    return Step(",".join(asked), asked)


def watched(name: str) -> Step:
    return Step(f"Authorize/{name}", notes=(f"Authorize/{name}",))


def chain(*covered: tuple[PolicyKind, Fragment], of: Api | None = None) -> list[Step]:
    return steps(policy_chain(of or api(), covered))


def test_neighbours_share_a_filter_and_are_asked_in_order() -> None:
    assert chain(decides("b"), decides("a"), decides("c")) == [joined("b", "a", "c", *FRAME)]


def test_a_route_without_policies_asks_what_the_frame_asks() -> None:
    assert chain() == [joined(*FRAME)]


def nested(levels: int) -> Any:
    """A predicate that holds where the header is there, with this many levels around it."""
    made = header("x-deep", exact="yes")
    for level in range(levels):
        made = negated(made) if level % 3 == 2 else (any_of, all_of)[level % 2]([made, header("x-deep", exact="no")])
    return made


def depth(of: Any) -> int:
    """How deep messages lie inside each other; what an Any holds is read apart."""
    inner = [value for field, value in of.ListFields() if field.type == field.TYPE_MESSAGE]
    each = [one for value in inner for one in ([value] if hasattr(value, "ListFields") else value)]
    return 1 + max(map(depth, each), default=0)


def filters(chain: Any) -> list[Any]:
    """The RBAC filters of a chain, unpacked."""
    composite = message_type("envoy.extensions.filters.http.composite.v3.CompositePerRoute").FromString(chain.value)
    action: Any = message_type("envoy.extensions.filters.http.composite.v3.ExecuteFilterAction")
    run = action.FromString(composite.matcher.on_no_match.action.typed_config.value)  # type: ignore[attr-defined]
    rbac = message_type("envoy.extensions.filters.http.rbac.v3.RBAC")
    return [rbac.FromString(one.typed_config.value) for one in run.filter_chain.typed_config if one.typed_config.type_url.endswith("RBAC")]


@pytest.mark.parametrize("levels", [0, 1, 4, 10, 25, 40])
@pytest.mark.parametrize("count", [1, 7, 8, 9, 21, 22, 50])
def test_so_many_share_a_filter_as_envoy_can_read_and_none_is_lost(count: int, levels: int) -> None:
    names = [f"p{i}" for i in range(count)]
    covered = [(policy(name), Fragment(permit=nested(levels))) for name in names]
    found = chain(*covered)
    assert tuple(itertools.chain.from_iterable(step.asks for step in found)) == (*ids(*names), *FRAME)
    assert len({step.name for step in found}) == len(found)
    assert not any(step.notes for step in found)
    deepest = [depth(one) for one in filters(policy_chain(api(), covered))]
    assert max(deepest) < READS
    # One filter costs as much as ten predicates, so none is made in vain.
    assert all(len(one.asks) * 4 + levels * 2 + 16 > 80 for one in found[:-1])


def test_a_deep_condition_among_shallow_ones_only_splits_where_it_must() -> None:
    covered = [(policy(f"p{i}"), Fragment(permit=nested(30 if i == 10 else 0))) for i in range(20)]
    found = chain(*covered)
    assert tuple(itertools.chain.from_iterable(step.asks for step in found)) == (*ids(*(f"p{i}" for i in range(20))), *FRAME)
    assert max(depth(one) for one in filters(policy_chain(api(), covered))) < READS
    assert 1 < len(found) < 6


def test_a_policy_in_shadow_keeps_its_place_and_splits_what_stands_around_it() -> None:
    covered = (decides("a"), decides("b"), decides("s", "shadow"), decides("c"), decides("t", "shadow"), decides("u", "shadow"))
    assert chain(*covered) == [
        Step("shadows"),  # notes for the record that there are some
        joined("a", "b"),
        watched("s"),
        joined("c"),
        watched("t"),
        watched("u"),
        joined(*FRAME),
    ]


def test_a_policy_in_shadow_refuses_nobody() -> None:
    found = chain(decides("s", "shadow"))
    assert not any("Authorize/s" in step.asks for step in found)


def test_only_routes_with_shadows_tell_so() -> None:
    assert "shadows" not in [step.name for step in chain(decides("a"))]
    # One that decides nothing, such as a limit in shadow, leaves no verdict.
    assert "shadows" not in [step.name for step in chain((policy("limit", "shadow"), Fragment()))]


def test_a_filter_of_a_policys_own_stands_behind_its_permit_and_before_the_next() -> None:
    covered = (decides("a"), decides("b", filters=(own_filter("mine"),)), decides("c"))
    found = chain(*covered)
    assert [step.name for step in found if not step.asks] == ["mine"]
    flat = [one for step in found for one in (step.asks or (step.name,))]
    assert flat == [*ids("a", "b"), "mine", *ids("c"), *FRAME]
    in_shadow = chain(decides("a"), decides("b", "shadow", filters=(own_filter("mine"),)), decides("c"))
    assert in_shadow == [Step("shadows"), joined("a"), watched("b"), Step("mine"), joined("c", *FRAME)]


def test_a_policy_without_a_permit_splits_nothing() -> None:
    assert chain(decides("a"), (policy("limit"), Fragment()), decides("b")) == [joined("a", "b", *FRAME)]


def test_methods_and_upgrades_are_asked_behind_all_policies() -> None:
    found = chain(*(decides(f"p{i}") for i in range(8)), decides("s", "shadow"), of=api(methods=("GET",)))
    assert found[-1] == joined("method-not-allowed", *FRAME)
    assert [step.name for step in found].count(found[-1].name) == 1


def test_bodies_are_looked_at_last_and_not_on_websockets() -> None:
    covered = (decides("a", body_filters=(own_filter("bodies"),)), decides("b"))
    plain = policy_chain(api(), covered)
    assert [step.name for step in steps(plain)] == [joined("a", "b", *FRAME).name, "bodies"]
    with_sockets = policy_chain(api(websocket=True), covered)
    assert steps(with_sockets)[:-1] == steps(with_sockets, websocket=True) == steps(plain)[:-1]
    assert steps(with_sockets)[-1] == Step("bodies")


def test_the_upstream_is_told_who_calls_behind_all_that_may_refuse() -> None:
    found = chain(*(decides(f"p{i}") for i in range(9)), of=api(identity_headers={"x-caller": "id"}))
    assert [step.name for step in found][-1] == "identity"


def test_the_record_is_told_who_decides_in_the_order_of_the_chain() -> None:
    covered = (decides("b"), decides("s", "shadow"), (policy("limit"), Fragment()), decides("a", filters=(own_filter("mine"),)))
    assert deciding(covered) == ids("b", "a")
    asked = [name for step in chain(*covered) for name in step.asks]
    assert asked == [*deciding(covered), *FRAME]
