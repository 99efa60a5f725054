"""What a scratch instance holds: production's own configuration, but for its sources and its end."""

from pathlib import Path
from typing import Any

from bartizan.compile import Resources, compile
from bartizan.compile.read import assemble, read
from bartizan.condition import Sources
from bartizan.envoy import message_type, names
from bartizan.model.snapshot import Snapshot
from bartizan.scratch.frame import scratch_resources
from bartizan.scratch.instance import production
from tests.certificates import authority

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}, {name: open, address: "127.0.0.1:8081"}]
---
kind: Api
name: orders
paths: [/orders]
upstream: https://orders.internal
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [a]
jwks: {keys: []}
groups: roles
---
kind: Authenticate
name: callers
any: [api_key, {jwt: corp}]
---
kind: RateLimit
name: tight
per: source.ip
tiers: [{windows: [1/day]}]
---
kind: Tls
name: own
target: {listener: web}
certificate: own.pem
private_key: {file: own.key}
http: {address: "127.0.0.1:8082"}
client_cas: {partners: partners.pem}
"""
HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def both() -> tuple[Resources, Resources]:
    snapshot = assemble([read(FILES, "a.yaml")], {"partners.pem": authority("Partners").pem})
    assert isinstance(snapshot, Snapshot), snapshot
    compiled = compile(snapshot, Sources(time="header", address="header"))
    assert not compiled.problems
    before = production(compiled)
    return before, scratch_resources(before, {"web": Path("/run/a.sock"), "open": Path("/run/b.sock")})


BEFORE, AFTER = both()


def listener(held: Resources, name: str) -> Any:
    return message_type("envoy.config.listener.v3.Listener").FromString(held[names.LISTENER, name])


def connections(held: Resources, name: str) -> Any:
    return message_type(HCM).FromString(listener(held, name).filter_chains[-1].filters[-1].typed_config.value)


def discovered(held: Resources, name: str, kind: str) -> Any:
    config: Any = message_type("envoy.config.core.v3.TypedExtensionConfig").FromString(held[names.ECDS, name])
    return message_type(f"envoy.extensions.filters.http.{kind}").FromString(config.typed_config.value)


def test_routes_and_most_filters_are_productions_own_bytes() -> None:
    changed = {key for key in BEFORE.keys() & AFTER.keys() if BEFORE[key] != AFTER[key]}
    shard = {key for key in changed if key[1].startswith("limits/")}
    assert changed - shard == {(names.LISTENER, "web"), (names.LISTENER, "open"), (names.ECDS, names.GATE), (names.ECDS, names.TOKENS)}
    assert len(shard) == 1
    assert {key[0] for key in AFTER} >= {names.ROUTES, names.SCOPE, names.ECDS}


def test_there_are_no_upstreams_no_secrets_and_no_listeners_that_lead_elsewhere() -> None:
    assert {key[0] for key in BEFORE.keys() - AFTER.keys()} == {names.CLUSTER, names.SECRET, names.LISTENER}
    assert {key[1] for key in AFTER if key[0] == names.LISTENER} == {"web", "open"}


def test_listeners_are_private_sockets_without_tls() -> None:
    found = listener(AFTER, "web")
    assert (found.address.pipe.path, found.address.pipe.mode) == ("/run/a.sock", 0o600)
    assert not found.listener_filters and not found.filter_chains[0].HasField("transport_socket")
    assert listener(BEFORE, "web").filter_chains[0].HasField("transport_socket")


def test_filters_stand_in_productions_order_between_one_that_tells_and_one_that_answers() -> None:
    for name in ("web", "open"):
        before = [one.name for one in connections(BEFORE, name).http_filters]
        after = [one.name for one in connections(AFTER, name).http_filters]
        assert after == ["teller", *before[:-1], "answer", before[-1]]


def test_nothing_is_written_and_the_caller_is_who_the_question_says() -> None:
    found = connections(AFTER, "web")
    assert not found.access_log
    (early,) = found.early_header_mutation_extensions
    kind = "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
    mutations: Any = message_type(kind).FromString(early.typed_config.value)
    assert [one.append.header.key for one in mutations.mutations] == ["x-bartizan-key"]  # takes nothing of ours away
    assert not found.use_remote_address.value
    assert [one.name for one in found.original_ip_detection_extensions] == ["source"]


def test_answers_keep_their_status_and_tell_details() -> None:
    before, after = connections(BEFORE, "web").local_reply_config, connections(AFTER, "web").local_reply_config
    assert [one.status_code.value for one in after.mappers[:-1]] == [one.status_code.value for one in before.mappers]
    assert all(one.headers_to_add[-1].header.key == "x-bartizan-told-details" for one in after.mappers)


def test_no_limit_is_ever_used_up() -> None:
    held = [discovered(BEFORE, names.limits(shard), "local_ratelimit.v3.LocalRateLimit").descriptors for shard in range(names.LIMIT_SHARDS)]
    assert sum(map(len, held)) == 1
    for shard in range(names.LIMIT_SHARDS):
        assert not discovered(AFTER, names.limits(shard), "local_ratelimit.v3.LocalRateLimit").descriptors


def test_the_token_filter_leaves_alone_the_claims_that_the_question_gives() -> None:
    before, after = (discovered(held, names.TOKENS, "jwt_authn.v3.JwtAuthentication") for held in (BEFORE, AFTER))
    assert [len(before.providers["corp"].claim_to_headers), len(after.providers["corp"].claim_to_headers)] == [2, 0]
    assert after.rules == before.rules


def test_the_gate_is_productions_with_one_more_step() -> None:
    before, after = (discovered(held, names.GATE, "lua.v3.Lua").default_source_code.inline_string for held in (BEFORE, AFTER))
    assert after.startswith(before) and "x-bartizan-given" in after.removeprefix(before)
    assert not [brace for brace in ("{given}", "{scope}", "{key}", "{token}", "{refusal}") if brace in after]


def test_production_holds_nobodys_key_and_an_unused_one_for_each_issuer() -> None:
    tables = [discovered(BEFORE, name, "api_key_auth.v3.ApiKeyAuth") for type_url, name in BEFORE if name.startswith("keys/")]
    assert len(tables) == 49
    assert {credential.client for table in tables for credential in table.credentials} == {"-"}
    again, _ = both()
    keys = [
        discovered(held, names.TOKENS, "jwt_authn.v3.JwtAuthentication").providers["corp"].local_jwks.inline_string
        for held in (BEFORE, again)
    ]
    assert keys[0] != keys[1] and all('"d"' not in key and "ES256" in key for key in keys)
