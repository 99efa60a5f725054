"""Live data as filters: what there is none of costs no filter, and the gate's table says what is declared."""

from bartizan.compile.live import Asked, ClientCertificates, Credentials, blocks, brakes, gate, limits, lists, tokens, unasked
from bartizan.compile.proofs import callout
from bartizan.condition import Sources
from bartizan.envoy import message_type
from bartizan.envoy.filters import nothing
from bartizan.envoy.matching import header
from bartizan.model.consumer import Issuer
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
    made = gate((), GATEWAY, Credentials(ClientCertificates({}, {})), 8192, ["/orders", "/Items", "/items"])
    text = made.default_source_code.inline_string
    assert '["/orders"]="/orders"' in text
    assert '["/items"]={["/Items"]=true,["/items"]=true}' in text


def issuer(name: str, prefix: str | None, **more: object) -> Issuer:
    told = {"name": name, "issuer": f"https://{name}.example.com", "audiences": ["orders"], **more}
    how = {"url": f"https://{name}.example.com/i", "client_id": "gw", "client_secret": {"file": "x"}, "prefix": prefix}
    return Issuer.model_validate({**told, **({"introspection": how} if prefix is not None else {})})


SIGNS, ASKS, BOTH = issuer("signs", None), issuer("asks", "a_"), issuer("both", "", jwks={"keys": []})


def test_nobody_is_asked_where_nothing_wants_it() -> None:
    assert callout((), [SIGNS]) == nothing() and unasked([SIGNS]) == []
    assert Asked.of([SIGNS]) == Asked(), "without introspection the gate needs to know nothing of issuers"


def test_who_is_asked_and_who_has_keys() -> None:
    found = Asked.of([SIGNS, BOTH, ASKS])
    assert found == Asked((("a_", "asks"), ("", "both")), frozenset({"signs", "both"}))
    assert found.names == {"asks", "both"}


def test_the_token_filter_leaves_alone_what_is_asked_about() -> None:
    made = tokens([ASKS, BOTH, SIGNS], {})
    assert set(made.providers) == {"both", "signs"}
    (_, leaves) = made.rules[0].match.headers
    assert (leaves.name, leaves.present_match, leaves.invert_match) == ("x-bartizan-asks", True, True)
    assert len(tokens([SIGNS], {}).rules[0].match.headers) == 1


def test_the_call_out_may_set_nothing_else() -> None:
    """Were it every header of ours, what an issuer says could become anybody's identity."""
    asked = callout({"dpop"}, [ASKS]).matcher.matcher_list.matchers[0].on_match.action
    inner = message_type(_EXECUTE).FromString(asked.typed_config.value).typed_config.typed_config.value  # type: ignore[attr-defined]
    made = message_type("envoy.extensions.filters.http.ext_authz.v3.ExtAuthz").FromString(inner)
    said = made.http_service.authorization_response  # type: ignore[attr-defined]
    patterns = [one.exact or f"{one.prefix}*" for one in said.allowed_upstream_headers.patterns]
    own = ["x-bartizan-proof", "x-bartizan-jkt", "x-bartizan-cnf", "x-bartizan-verdict", "x-bartizan-jti", "x-bartizan-sid"]
    own += ["x-bartizan-sub-*", "x-bartizan-claim-*"]
    assert patterns == own
    assert not said.allowed_upstream_headers_to_append.patterns and not said.allowed_client_headers_on_success.patterns
    assert not made.failure_mode_allow and made.status_on_error.code == 503  # type: ignore[attr-defined]
    assert not made.HasField("with_request_body")
