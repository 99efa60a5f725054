"""Live data as filters: what there is none of costs no filter, and the gate's table says what is declared."""

from bartizan.compile.live import ClientCertificates, blocks, brakes, gate, limits, lists
from bartizan.condition import Sources
from bartizan.envoy import message_type
from bartizan.envoy.filters import nothing
from bartizan.envoy.matching import header
from bartizan.model.gateway import Gateway
from bartizan.policies import Bucket, IpList

GATEWAY = Gateway.model_validate({"name": "edge", "listeners": [{"name": "web", "address": "127.0.0.1:1"}]})
_COMPOSITE = "envoy.extensions.filters.http.composite.v3.Composite"
_SET = "envoy.extensions.filters.http.set_metadata.v3.Config"
_EXECUTE = "envoy.extensions.filters.http.composite.v3.ExecuteFilterAction"


def listed(name: str) -> IpList:
    return IpList(name, ("192.0.2.0/24",))


def noted(composite: object) -> list[tuple[str, dict[str, str]]]:
    """Where a list's filter notes what, in and out of it."""
    matcher = composite.matcher  # type: ignore[attr-defined]
    actions = [matcher.matcher_list.matchers[0].on_match.action, matcher.on_no_match.action]
    found = [message_type(_EXECUTE).FromString(one.typed_config.value).typed_config.typed_config.value for one in actions]  # type: ignore[attr-defined]
    (first, second) = [message_type(_SET).FromString(one).metadata[0] for one in found]  # type: ignore[attr-defined]
    return [(one.metadata_namespace, dict(one.value)) for one in (first, second)]


def test_what_there_is_none_of_is_no_filter() -> None:
    assert limits(0, ()) == blocks(()) == brakes(()) == lists((), Sources()) == nothing()


def test_what_there_is_one_of_is_a_filter() -> None:
    bucket = Bucket((("limit", "a"),), 1, 1, 1, 0, False)
    assert limits(0, [bucket]).DESCRIPTOR.name == "LocalRateLimit"
    assert blocks(["192.0.2.1/32"]).DESCRIPTOR.name == "RBAC"
    assert brakes([("one", header("x-a", exact="1"))]).DESCRIPTOR.name == "RBAC"
    assert lists([listed("a")], Sources()).DESCRIPTOR.name == "Composite"


def test_one_list_stands_alone_and_several_in_a_chain() -> None:
    alone = lists([listed("a")], Sources())
    assert noted(alone) == [("bartizan.lists", {"a": "in"}), ("bartizan.lists", {"a": "out"})]
    both = lists([listed("b"), listed("a")], Sources())
    chain = message_type(_EXECUTE).FromString(both.matcher.on_no_match.action.typed_config.value).filter_chain.typed_config  # type: ignore[attr-defined]
    assert [one.name for one in chain] == ["a", "b"]
    assert message_type(_COMPOSITE).FromString(chain[0].typed_config.value) == alone


def test_the_gates_table_of_spellings() -> None:
    made = gate((), GATEWAY, ClientCertificates({}, {}), 8192, ["/orders", "/Items", "/items"])
    text = made.default_source_code.inline_string
    assert '["/orders"]="/orders"' in text
    assert '["/items"]={["/Items"]=true,["/items"]=true}' in text
