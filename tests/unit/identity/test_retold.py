"""What is told of consumers ahead of their tables: how much of it there may be, and when the tables tell it."""

from bartizan.envoy import message_type, names
from bartizan.identity.retold import GONE, MOST, Retold

ACME = "3f2a91d0acme;key_a;"


def _entries(count: int, name: str = "c") -> dict[str, str]:
    return {f"3f2a91d0{name}{number};key_a;": f"3f2a91d0{name}{number};key_a;[];gold" for number in range(count)}


def _inner(body: bytes) -> tuple[str, bytes]:
    config = message_type("envoy.config.core.v3.TypedExtensionConfig").FromString(body)
    assert config.name == names.RETOLD  # type: ignore[attr-defined]
    inner = config.typed_config  # type: ignore[attr-defined]
    return inner.type_url.rpartition(".")[2], inner.value


def test_without_entries_it_isnt_there_and_with_some_each_stands_in_it() -> None:
    told = Retold()
    assert _inner(told.body())[0] == "FilterChainConfig" and told.due(1e9) is None
    assert told.tell({"a": {ACME: ACME + "[];100 % gold"}}, 0)
    kind, value = _inner(told.body())
    assert kind == "Composite" and ACME.encode() in value
    assert b"[];100 %% gold" in value, "Envoy reads it as a format string"
    assert told.body() is told.body()


def test_what_is_told_last_counts_and_each_shard_is_dropped_by_itself() -> None:
    told = Retold()
    told.tell({"a": {ACME: ACME + "[];gold"}, "b": _entries(3)}, 0)
    told.tell({"a": {ACME: ACME + "[];iron"}}, 1)
    assert len(told) == 4
    assert b";gold" not in _inner(told.body())[1].replace(b"[];gold", b"", 3) and b";iron" in told.body()
    told.drop(("b", "c"))
    assert len(told) == 1 and b"c0" not in told.body() and b";iron" in told.body()
    told.drop("a")
    assert len(told) == 0 and _inner(told.body())[0] == "FilterChainConfig" and told.due(1e9) is None


def test_who_counts_no_more_is_refused() -> None:
    told = Retold()
    told.tell({"a": {ACME: ACME + "[];gold"}}, 0)
    told.tell({"a": {ACME: GONE}}, 0)
    kind, value = _inner(told.body())
    assert kind == "Composite" and b"ApiKeyAuth" in value and b"HeaderMutation" not in value and len(told) == 1


def test_what_has_no_room_is_refused_and_leaves_what_was_told() -> None:
    told = Retold()
    assert told.tell({"a": _entries(MOST)}, 0) and told.tell({"a": _entries(5)}, 0), "these are there already"
    before = told.body()
    assert not told.tell({"a": {ACME: ACME + "[]"}}, 0)
    assert told.body() is before and len(told) == MOST
    told.drop("a")
    assert not told.tell({"a": {ACME: ACME + "x" * 8192}}, 0), "Envoy takes no value of any length"
    assert told.tell({}, 0) and len(told) == 0


def test_tables_tell_it_one_after_the_other_when_it_has_rested() -> None:
    told = Retold()
    told.tell({"a": _entries(1)}, 10)
    told.tell({"b": _entries(1, "d")}, 11)
    told.tell({"a": _entries(1)}, 14)
    assert told.due(14.9) is None
    assert told.due(15.1) == "a", "what changes again and again doesn't put it off"
    told.drop("a")
    assert told.due(15.9) is None and told.due(16) is None, "no faster than one a second"
    assert told.due(16.2) == "b"
    assert told.due(17.3) == "b", "until it is dropped"


def test_when_there_is_much_nothing_rests() -> None:
    told = Retold()
    told.tell({"a": _entries(MOST // 2), "b": _entries(1, "d")}, 10)
    assert told.due(10.01) == "a"
    told.drop("a")
    assert told.due(10.5) is None and told.due(15.1) == "b"
