"""The tables of keys: every shard is there, and each key carries its consumer's live identity."""

import orjson
import pytest

from bartizan.envoy import message_type
from bartizan.identity.key_record import KeyRecord
from bartizan.identity.key_text import ALL_SHARDS, OTHER, SHARDS, key_text
from bartizan.identity.table import ConsumerView, fields_of, holders, order_mark, shards
from bartizan.secrets.sealed import Secret

ATTRIBUTES = {"plan": "string", "department": "string", "level": "number", "staff": "bool", "regions": "list"}


def record(consumer: str, shard: str = "a", ident: str = "key_abc") -> KeyRecord:
    return KeyRecord(ident, consumer, "", Secret("bz_" + shard + key_text()[4:]), 0.0, None)


def credentials(body: bytes, name: str) -> dict[str, str]:
    config = message_type("envoy.config.core.v3.TypedExtensionConfig").FromString(body)
    assert config.name == f"keys/{name}"
    auth = message_type("envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth").FromString(config.typed_config.value)
    assert [(source.header, source.query, source.cookie) for source in auth.key_sources] == [("x-bartizan-key", "", "")]
    assert (auth.forwarding.header, auth.forwarding.hide_credentials) == ("x-bartizan-principal", True)
    found = {credential.key: credential.client for credential in auth.credentials}
    assert found  # an empty table would answer in other words than one that doesn't know the key
    return {} if found == {"\n": "-"} else found


def client(view: ConsumerView) -> str:
    (text,) = credentials(shards([record(view.id)], {view.id: view}, ATTRIBUTES)["a"], "a").values()
    return text


def test_every_shard_is_there_even_without_keys() -> None:
    bodies = shards([], {}, {})
    assert set(bodies) == set(ALL_SHARDS)
    assert len(bodies) == 49
    assert all(credentials(body, name) == {} for name, body in bodies.items())


def test_a_key_stands_in_its_shard_and_in_no_other() -> None:
    keys = [record("acme", shard, f"key_{shard}") for shard in SHARDS]
    bodies = shards(keys, {"acme": ConsumerView("acme")}, {})
    for key, shard in zip(keys, SHARDS, strict=True):
        assert credentials(bodies[shard], shard) == {key.key.reveal(): f"{order_mark({})}acme;{key.id};[]"}
    assert credentials(bodies[OTHER], OTHER) == {}


def test_a_key_of_another_form_stands_in_one_of_the_shards_of_all_others() -> None:
    brought = KeyRecord("declared-0", "acme", "", Secret("sk-live-0123456789"), 0.0, None)
    bodies = shards([brought], {"acme": ConsumerView("acme")}, {})
    assert {name: len(credentials(body, name)) for name, body in bodies.items() if credentials(body, name)} == {"other-7": 1}


def test_the_identity_has_a_fixed_order_and_what_is_missing_is_empty() -> None:
    values = {"regions": ("eu", "us"), "level": 3, "staff": False, "plan": "gold"}
    assert client(ConsumerView("acme", ("ops",), values)) == order_mark(ATTRIBUTES) + 'acme;key_abc;["ops"];gold;;3;false;["eu","us"]'
    assert client(ConsumerView("bare")) == order_mark(ATTRIBUTES) + "bare;key_abc;[];;;;;"


@pytest.mark.parametrize(
    "value",
    [
        "=",
        "a=b",
        "id=root",
        "x,y",
        '"',
        "\\",
        "\\1",
        "[]",
        "-",
        "ünï 猫🐈",
        "00",
        "key_abc",
        "^$.*",
        "{}%",
        "a" * 256,
        order_mark(ATTRIBUTES),
    ],
)
def test_odd_characters_stand_as_they_are_and_move_no_field(value: str) -> None:
    whole = client(ConsumerView("acme", (value,), {"plan": value, "department": value, "regions": [value, value]}))
    assert whole.startswith(order_mark(ATTRIBUTES))
    fields = whole.removeprefix(order_mark(ATTRIBUTES)).split(";")
    assert len(fields) == len(fields_of(ATTRIBUTES))
    told = dict(zip(fields_of(ATTRIBUTES), fields, strict=True))
    assert (told["id"], told["key"], told["plan"], told["department"], told["level"]) == ("acme", "key_abc", value, value, "")
    assert orjson.loads(told["groups"]) == [value] and orjson.loads(told["regions"]) == [value, value]


def test_another_order_or_another_set_of_attributes_has_another_mark() -> None:
    sets = [
        {},
        {"plan": "string"},
        {"plan": "string", "department": "string"},
        {"department": "string", "plan": "string"},
        {"plandepartment": "string"},
        {"plan": "string", "department": "string", "level": "number"},
    ]
    assert len({order_mark(one) for one in sets}) == len(sets)
    # A type changes no place.
    assert order_mark({"plan": "string"}) == order_mark({"plan": "number"})


def test_what_is_not_declared_is_not_told() -> None:
    assert client(ConsumerView("acme", (), {"secret": "x", "plan": "gold"})) == order_mark(ATTRIBUTES) + "acme;key_abc;[];gold;;;;"


def test_an_attribute_cannot_stand_for_the_identity() -> None:
    view = ConsumerView("acme", (), {"id": "root", "groups": ["admins"], "key": "key_x"})
    bodies = shards([record("acme")], {"acme": view}, {"id": "string", "groups": "list"})
    assert list(credentials(bodies["a"], "a").values()) == [order_mark({"id": "string", "groups": "list"}) + "acme;key_abc;[];acme;[]"]


def test_keys_of_consumers_that_are_not_there_are_left_out() -> None:
    bodies = shards([record("gone"), record("acme")], {"acme": ConsumerView("acme")}, {})
    assert [text.split(";")[0] for text in credentials(bodies["a"], "a").values()] == [order_mark({}) + "acme"]


def test_one_key_never_stands_twice_in_a_table() -> None:
    """Envoy would refuse the table, and print the key."""
    first = record("acme", ident="key_1")
    again, others = KeyRecord("key_2", "acme", "", first.key, 0.0, None), KeyRecord("key_3", "other", "", first.key, 0.0, None)
    views = {"acme": ConsumerView("acme"), "other": ConsumerView("other")}
    (client,) = credentials(shards([first, again], views, {})["a"], "a").values()
    assert client.split(";")[:2] == [order_mark({}) + "acme", "key_1"]
    # Of two consumers with one key nobody could say whom it means.
    assert credentials(shards([first, others], views, {})["a"], "a") == {}
    assert len(credentials(shards([first, others], {"acme": views["acme"]}, {})["a"], "a")) == 1


@pytest.mark.parametrize(
    "view",
    [
        ConsumerView("ac;me"),
        ConsumerView(""),
        ConsumerView("acme", ("a;b",)),
        ConsumerView("acme", (), {"plan": "gold;level=9"}),
        ConsumerView("acme", (), {"plan": "a\nb"}),
        ConsumerView("acme", (), {"regions": ["a;b"]}),
        ConsumerView("acme", (), {"level": float("nan")}),
    ],
)
def test_a_value_that_could_end_its_field_is_a_broken_promise(view: ConsumerView) -> None:
    with pytest.raises(ValueError, match="consumer"):
        client(view)


def test_equal_input_gives_equal_bytes_and_one_change_touches_one_shard() -> None:
    keys = [record("acme", shard) for shard in SHARDS] + [record("other", "c")]
    consumers = {"acme": ConsumerView("acme", ("ops",), {"plan": "gold"}), "other": ConsumerView("other")}
    before = shards(keys, consumers, ATTRIBUTES)
    assert shards(keys, dict(consumers), dict(ATTRIBUTES)) == before
    after = shards(keys, {**consumers, "other": ConsumerView("other", (), {"plan": "silver"})}, ATTRIBUTES)
    assert {shard for shard in before if before[shard] != after[shard]} == {"c"}


def test_who_counts_is_read_back_from_the_tables() -> None:
    views = {name: ConsumerView(name, ("ops",), {"plan": "gold"}) for name in ("acme", "globex")}
    keys = [record("acme"), record("globex", ident="key_x"), record("acme", "b", "key_y"), record("gone")]
    bodies = shards(keys, views, ATTRIBUTES)
    assert holders(bodies["a"]) == {("acme", "key_abc"), ("globex", "key_x")}
    assert holders(bodies["b"]) == {("acme", "key_y")}
    assert ("acme", "key_abc") not in holders(bodies["c"])
