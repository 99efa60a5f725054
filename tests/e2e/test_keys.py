"""API keys and the principal, as a real Envoy sees them: tables and rules by ECDS, the outcome in its access log."""

import json
import shutil
import socket
import time
from collections.abc import Iterator
from typing import Any

import jwt as pyjwt
import pytest

from bartizan.envoy import message_type
from bartizan.identity.key_record import KeyRecord
from bartizan.identity.key_text import OTHER, SHARDS, key_text, shard_of
from bartizan.identity.principal import CA_HEADER, CERTIFICATE_HEADER
from bartizan.identity.table import KEY_HEADER, PRINCIPAL_HEADER, ConsumerView, order_mark, shards
from bartizan.model.attributes import attribute_problem
from bartizan.secrets.sealed import Secret
from tests.e2e.keys_envoy import ATTRIBUTES, CONSUMERS, GROUPS, ISSUER, SECRET, Gateway


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("keys")
    gateway = Gateway(folder)
    try:
        yield gateway
    finally:
        gateway.close()
        log = (folder / "envoy.log").read_text()
        shutil.rmtree(folder)
    assert "rejected" not in log, log


@pytest.fixture(scope="module")
def acme(gateway: Gateway) -> dict[str, str]:
    return issue(gateway, "acme")


def issue(gateway: Gateway, consumer: str, text: str = "") -> dict[str, str]:
    """The header of a new key that Envoy knows."""
    key = gateway.keys.new(consumer).key
    gateway.push()
    header = {KEY_HEADER: text or key.reveal()}
    gateway.eventually(200, header)
    return header


def token(**claims: Any) -> dict[str, str]:
    payload = {"iss": "idp", "sub": "ann", "exp": int(time.time()) + 600, **claims}
    return {"x-bartizan-token": pyjwt.encode(payload, SECRET, "HS256")}


def test_a_key_becomes_its_consumer_with_every_attribute_in_its_type(gateway: Gateway, acme: dict[str, str]) -> None:
    status, record = gateway.ask(acme)
    ident = next(record.id for record in gateway.keys.records() if record.key.reveal() == acme[KEY_HEADER])
    groups = record["principal"].pop("groups")
    assert status == 200
    assert json.loads(groups) == list(GROUPS)
    assert record["principal"] == {
        "method": "api_key",
        "id": "acme",
        "key": ident,
        "plan": "gold",
        "xplan": "no",
        "level": 3,
        "staff": "true",
        "regions": '["eu","us"]',
    }
    assert record["key"] is None  # hidden from here on


def test_an_attribute_that_is_missing_is_a_key_that_is_missing(gateway: Gateway) -> None:
    principal = gateway.principal(issue(gateway, "bare"))
    assert principal.pop("key").startswith("key_")
    assert principal == {"method": "api_key", "id": "bare", "groups": "[]"}


def test_without_a_key_there_is_no_principal(gateway: Gateway) -> None:
    assert gateway.principal({}) == {}


def test_every_other_key_is_refused_and_all_look_alike(gateway: Gateway, acme: dict[str, str]) -> None:
    right = acme[KEY_HEADER]
    used = {shard_of(record.key.reveal()) for record in gateway.keys.records()}
    empty = next(shard for shard in SHARDS if shard not in used)
    wrong = {
        "unknown": "bz_" + shard_of(right) + key_text()[4:],
        "tampered": right[:-1] + ("0" if right[-1] != "0" else "1"),
        "cut": right[:-1],
        "longer": right + "0",
        "another case": right.swapcase(),
        "in an empty shard": "bz_" + empty + key_text()[4:],
        "in a shard that isn't there": "bz_!" + right[4:],
        "of another kind": "sk-live-0123456789",
        "a prefix only": "bz_",
        "no text": b"\xff\xfe",
        "no text behind the prefix": b"bz_a\xff",
        "nothing": "",
        "quoted": f'"{right}"',
        "two in one": f"{right},{right}",
    }
    answers = {}
    for name, text in wrong.items():
        status, record = gateway.ask({KEY_HEADER: text})
        answers[name] = (status, record["details"].replace("missing_", "unknown_"), record["principal"])
    assert answers == dict.fromkeys(wrong, (401, "unknown_api_key", {}))
    assert len({gateway.client.get("/", headers={KEY_HEADER: text}).text for text in wrong.values()}) == 1


def test_a_key_of_another_form_that_was_brought_along_counts_and_nothing_else_like_it(gateway: Gateway) -> None:
    brought = KeyRecord("declared-0", "acme", "", Secret("sk-live-0123456789"), 0.0, None)
    body = shards([brought], gateway.consumers, ATTRIBUTES)[shard_of(brought.key.reveal())]
    table = message_type("envoy.config.core.v3.TypedExtensionConfig").FromString(body)
    table.name = f"keys/{OTHER}"  # here there is one table of all such keys
    gateway.write("keys-other", table.SerializeToString())
    try:
        assert gateway.eventually(200, {KEY_HEADER: "sk-live-0123456789"})["principal"]["key"] == "declared-0"
        assert [gateway.ask({KEY_HEADER: text})[0] for text in ("sk-live-0123456788", "sk-live-", "bz_!" + "0" * 36)] == [401] * 3
    finally:
        gateway.push()
        gateway.eventually(401, {KEY_HEADER: "sk-live-0123456789"})


@pytest.mark.parametrize("shard", [*SHARDS, OTHER])
def test_a_table_without_keys_refuses_every_key(gateway: Gateway, shard: str) -> None:
    gateway.write(f"keys-{shard}", shards([], {}, {})[shard])
    first = "!" if shard == OTHER else shard
    try:
        for text in (f"bz_{first}" + "0" * 36, f"bz_{first}"):
            status, record = gateway.ask({KEY_HEADER: text})
            assert (status, record["details"]) == (401, "unknown_api_key")
    finally:
        gateway.push()


@pytest.mark.parametrize("value", [b"\n", b"\r\n \n", b"\r\n\t", b"a\nb", b"\x00", b"\r"])
def test_what_stands_in_an_empty_table_cannot_be_sent(gateway: Gateway, value: bytes) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as raw:
        raw.sendall(b"GET /raw HTTP/1.1\r\nhost: a\r\nconnection: close\r\n" + KEY_HEADER.encode() + b":" + value + b"\r\n\r\n")
        status = raw.recv(4096).split(b" ", 2)[1]
    assert status in (b"400", b"401")


def test_a_doubled_key_header_counts_by_its_first_only(gateway: Gateway, acme: dict[str, str]) -> None:
    """The gate refuses doubled keys before; here they must at least not add up, nor let a second one in."""
    wrong = "bz_" + shard_of(acme[KEY_HEADER]) + key_text()[4:]
    assert gateway.ask([(KEY_HEADER, wrong), (KEY_HEADER, acme[KEY_HEADER])])[0] == 401
    assert gateway.principal([(KEY_HEADER, acme[KEY_HEADER]), (KEY_HEADER, wrong)])["id"] == "acme"


def test_a_revoked_key_is_refused_and_a_changed_attribute_is_seen_without_a_new_key(gateway: Gateway) -> None:
    header = issue(gateway, "acme")
    gateway.consumers["acme"] = ConsumerView("acme", ("ops",), {"plan": "silver"})
    gateway.push()
    try:
        deadline = time.monotonic() + 5
        while (principal := gateway.principal(header))["plan"] != "silver":
            assert time.monotonic() < deadline
        assert set(principal) == {"method", "id", "key", "groups", "plan"}
        gateway.keys.revoke(principal["key"])
        gateway.push()
        assert gateway.eventually(401, header)["principal"] == {}
    finally:
        gateway.consumers.update(CONSUMERS)
        gateway.push()


def test_a_key_of_a_consumer_that_is_gone_is_refused(gateway: Gateway) -> None:
    header = issue(gateway, "bare")
    del gateway.consumers["bare"]
    gateway.push()
    try:
        gateway.eventually(401, header)
    finally:
        gateway.consumers.update(CONSUMERS)
        gateway.push()


@pytest.mark.parametrize("value", ["gold;level=9", "a;plan=gold;", "x\n;plan=gold", "gold\0", "", " gold", "g" * 257])
def test_a_value_that_could_be_read_as_a_field_is_refused_when_written_and_again_when_compiled(gateway: Gateway, value: str) -> None:
    for bad in (ConsumerView("eve", (), {"plan": value}), ConsumerView("eve", (value,)), ConsumerView("eve", (), {"regions": [value]})):
        key = gateway.keys.new("eve")
        assert attribute_problem(value) and attribute_problem([value])
        with pytest.raises(ValueError, match="consumer 'eve'"):
            shards(gateway.keys.records(), {"eve": bad}, ATTRIBUTES)
        gateway.keys.revoke(key.id)


MARK = order_mark(ATTRIBUTES).encode()


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        (MARK + b"a;k;[];gold;no;3;true;[]", "gold"),
        (MARK + b"a;k;[];;no;3;true;[]", None),
        (MARK + b"a;k;[];gold", "gold"),
        (MARK + b"a;k;[];", None),
        (MARK + b"a;k;[]", None),
        (MARK + b"a", None),
        (MARK, None),
        (MARK[:2], None),
        (MARK + b";;;;;;;", None),
        (MARK + b"a;k;[];gold;no;\xff;\xfe", "gold"),
        (b"\xff" + MARK + b"a;k;[];gold;no", None),
        (b"0" + MARK + b"a;k;[];gold;no;3;true;[]", None),
        (MARK.upper() + b"a;k;[];gold;no;3;true;[]", None),
        (b"a;k;[];gold;no;3;true;[]", None),
        (b";id=a;key=k;groups=[];plan=gold;", None),
        (b"-", None),
        (b"nothing of ours", None),
    ],
)
def test_a_field_that_is_missing_never_leaves_the_whole_text(gateway: Gateway, text: bytes, plan: str | None) -> None:
    principal = gateway.principal({PRINCIPAL_HEADER: text})
    assert principal.get("plan") == plan
    assert principal.get("xplan") in {None, "no"} and principal.get("id") in {None, "a"}


@pytest.mark.parametrize("value", ["=", "a=b", "id=root", "x,y", '"', "\\", "\\1", "[]", "-", "$", "a b", "ünï,\u732b🐈", "g" * 256])
def test_odd_but_allowed_characters_arrive_as_they_are(gateway: Gateway, value: str) -> None:
    gateway.consumers["odd"] = ConsumerView("odd", (value,), {"plan": value, "xplan": value, "regions": [value, value]})
    principal = gateway.principal(issue(gateway, "odd"))
    assert principal.pop("key").startswith("key_")
    assert (json.loads(principal.pop("groups")), json.loads(principal.pop("regions"))) == ([value], [value, value])
    assert principal == {"method": "api_key", "id": "odd", "plan": value, "xplan": value}


ONE = {"plan": "string", "department": "string"}
OTHER_ORDER = {"department": "string", "plan": "string"}
FORTY = {f"a{i}": ("string", "number", "bool", "list")[i % 4] for i in range(40)}


@pytest.fixture(scope="module")
def eve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of its own, whose attributes change."""
    folder = tmp_path_factory.mktemp("orders")
    made = Gateway(folder, ONE)
    made.consumers["eve"] = ConsumerView("eve", (), {"plan": "finance", "department": "sales"})
    try:
        yield made
    finally:
        made.close()
        log = (folder / "envoy.log").read_text()
        shutil.rmtree(folder)
    assert "rejected" not in log, log


@pytest.mark.parametrize("first", ["rules", "tables"])
def test_tables_of_another_order_never_give_a_value_to_the_wrong_attribute(eve: Gateway, first: str) -> None:
    """Attributes that change their order: Envoy holds the new rules and the old tables for a while, or the other way round."""
    eve.attributes = ONE
    header = issue(eve, "eve")
    whole = {"plan": "finance", "department": "sales", "groups": "[]", "id": "eve", "method": "api_key"}
    key = eve.eventually_principal(header, whole | {"key": "*"})["key"]
    eve.attributes = OTHER_ORDER
    eve.push_rules() if first == "rules" else eve.push_tables()
    # The key counts, but nobody knows whose it is, so nothing that asks for anyone lets it through.
    eve.eventually_principal(header, {"method": "api_key"})
    eve.push()
    assert eve.eventually_principal(header, whole | {"key": "*"})["key"] == key


def test_while_attributes_change_nobody_notices(eve: Gateway) -> None:
    """The rules know the former order too, and come first."""
    eve.attributes = ONE
    eve.consumers["eve"] = ConsumerView("eve", (), {"plan": "finance", "department": "sales"})
    header = issue(eve, "eve")
    whole = {"plan": "finance", "department": "sales", "groups": "[]", "id": "eve", "method": "api_key"}
    key = eve.eventually_principal(header, whole | {"key": "*"})["key"]
    eve.attributes = OTHER_ORDER
    for push in (lambda: eve.push_rules(formerly=ONE), eve.push_tables, eve.push_rules):
        push()
        for _ in range(60):
            assert eve.principal(header) == whole | {"key": key}


def test_many_attributes_each_keep_their_place(eve: Gateway) -> None:
    values = {"string": lambda i: f"v{i}", "number": lambda i: i, "bool": lambda i: i % 8 == 2, "list": lambda i: [f"v{i}", "x"]}
    told = {name: values[kind](i) for i, (name, kind) in enumerate(FORTY.items()) if i % 5}
    eve.attributes = FORTY
    eve.consumers["eve"] = ConsumerView("eve", ("ops",), told)
    header = issue(eve, "eve")
    shown = {
        name: value if isinstance(value, int | str) and not isinstance(value, bool) else json.dumps(value, separators=(",", ":"))
        for name, value in told.items()
    }
    eve.eventually_principal(header, {"method": "api_key", "id": "eve", "key": "*", "groups": '["ops"]', **shown})


def test_only_what_is_asked_for_is_lifted(eve: Gateway) -> None:
    eve.attributes = FORTY
    eve.consumers["eve"] = ConsumerView("eve", ("ops",), {"a0": "x", "a1": 1, "a39": ["eu"]})
    header = issue(eve, "eve")
    eve.push_rules(asked=frozenset({"a39"}))
    eve.eventually_principal(header, {"method": "api_key", "id": "eve", "key": "*", "a39": '["eu"]'})


def test_a_token_becomes_the_same_principal_as_a_key(gateway: Gateway, acme: dict[str, str]) -> None:
    by_key = gateway.principal(acme)
    by_token = gateway.principal(token(plan="gold", xplan="no", level=3, staff=True, regions=["eu", "us"], groups=list(GROUPS)))
    names = (*ATTRIBUTES, "groups")
    assert {name: by_token[name] for name in names} == {name: by_key[name] for name in names}
    assert {name: by_token[name] for name in by_token if name not in names} == {"method": "jwt", "issuer": "corp", "id": ISSUER + "|ann"}


def test_a_token_without_claims_is_an_id_and_no_more(gateway: Gateway) -> None:
    assert gateway.principal(token()) == {"method": "jwt", "issuer": "corp", "id": ISSUER + "|ann"}


@pytest.mark.parametrize(
    ("name", "claim", "value"),
    [
        ("level", 2.5, 2.5),
        ("level", -7, -7),
        ("level", 0, 0),
        ("level", 123456789012345, 123456789012345),
        ("level", 1e300, None),
        ("level", "inf", None),
        ("level", "nan", None),
        ("level", "-infinity", None),
        ("level", "0x10", None),
        ("level", "1e999", None),
        ("level", "many", None),
        ("level", True, None),
        ("level", [1], None),
        ("level", None, None),
        ("staff", False, "false"),
        ("staff", "yes", None),
        ("staff", 1, None),
        ("staff", ["true"], None),
        ("plan", "gold", "gold"),
        ("plan", "a;level=9;", "a;level=9;"),
        ("plan", "WyIdaho!", "WyIdaho!"),
        ("plan", "eye", "eye"),
        *(("plan", claim, None) for claim in ([], ["gold"], ["ü"], [["gold"]], [{}], [1, 2], [-1], [True], [False], [None])),
        *(("plan", claim, None) for claim in ({}, {"gold": 1}, None, "")),
        ("regions", [], "[]"),
        ("regions", ["eu"], '["eu"]'),
        ("regions", [">>>???~~~", "ÿÿÿ"], '["\\u003e\\u003e\\u003e???~~~","ÿÿÿ"]'),
        ("regions", "eu", None),
        ("regions", "Wales and England", None),
        ("regions", {"eu": 1}, None),
        ("regions", 5, None),
        ("regions", True, None),
    ],
)
def test_a_claim_lands_in_its_declared_type_or_not_at_all(gateway: Gateway, name: str, claim: Any, value: Any) -> None:
    principal = gateway.principal(token(**{name: claim}))
    assert principal.get(name) == value
    assert (name in principal) == (value is not None)
    assert principal["id"] == ISSUER + "|ann"


def test_a_certificate_is_a_principal(gateway: Gateway) -> None:
    headers = {CA_HEADER: "partners", CERTIFICATE_HEADER: "partners|spiffe://acme/orders"}
    assert gateway.principal(headers) == {"method": "mtls", "issuer": "partners", "id": "partners|spiffe://acme/orders"}
