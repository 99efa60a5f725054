"""Which open streams may go on."""

import pytest

from bartizan.identity.brake import Brake, What
from bartizan.lib.connections import Ends
from bartizan.node.streams import OpenStreams, Standing, Stream


def record(**more: str) -> dict[str, str]:
    return {"id": "1", "peer": "127.0.0.1:1000", "local": "127.0.0.1:80", "source": "192.0.2.7", "path": "/orders/1", **more}


def stream(**more: str) -> Stream:
    return OpenStreams(5).note([record(**more)], 0)[0]


def brake(what: What, value: str, until: float = 100) -> Brake:
    return Brake("brk_1", what, value, "stolen", "ann", 0, until)


@pytest.mark.parametrize(
    ("principal", "key", "goes_on"),
    [
        ("acme", "key_a", True),
        ("acme", "key_b", False),
        ("globex", "key_a", False),
        ("acme", "declared-0", False),
        ("acme", "", True),  # by a token
        ("", "", True),  # a public route
    ],
)
def test_a_key_counts_for_its_consumer_alone(principal: str, key: str, goes_on: bool) -> None:
    standing = Standing(frozenset({("acme", "key_a"), ("globex", "key_c")}))
    assert (standing.against(stream(principal=principal, key=key), 50) == "") == goes_on


@pytest.mark.parametrize(
    ("what", "value", "more", "goes_on"),
    [
        ("consumer", "acme", {"principal": "acme"}, False),
        ("consumer", "acme", {"principal": "acme2"}, True),
        ("consumer", "https://idp|" + "a" * 300, {"principal": ("https://idp|" + "a" * 300)[:256]}, False),
        ("key", "key_a", {"principal": "acme", "key": "key_a"}, False),
        ("key", "key_b", {"principal": "acme", "key": "key_a"}, True),
        ("ip", "192.0.2.0/24", {}, False),
        ("ip", "192.0.2.7/32", {}, False),
        ("ip", "192.0.3.0/24", {}, True),
        ("ip", "0.0.0.0/0", {"source": "2001:db8::1"}, True),
        ("ip", "192.0.2.0/24", {"source": "::ffff:192.0.2.9"}, False),
        ("ip", "2001:db8::/32", {"source": "2001:db8::1"}, False),
        ("ip", "192.0.2.0/24", {"source": ""}, True),
        ("path", "/orders", {}, False),
        ("path", "/orders", {"path": "/ORDERS"}, False),
        ("path", "/order", {}, True),
        ("path", "/", {"path": "/x"}, False),
        ("path", "/v1/orders", {"stripped": "/v1"}, False),
        ("path", "/orders", {"stripped": "/v1"}, True),
    ],
)
def test_a_block_meets_what_it_names(what: What, value: str, more: dict[str, str], goes_on: bool) -> None:
    standing = Standing(frozenset({("acme", "key_a")}), (brake(what, value),))
    assert (standing.against(stream(**more), 50) == "") == goes_on
    assert standing.against(stream(**more), 100) == "", "the block has ended"


@pytest.mark.parametrize(("device", "goes_on"), [("laptop", False), ("phone", True), ("", True)])
def test_a_device_that_is_lost_ends_its_streams(device: str, goes_on: bool) -> None:
    standing = Standing(frozenset({("acme", "key_a")}), lost=frozenset({"laptop"}))
    assert (standing.against(stream(device=device), 50) == "") == goes_on


def test_streams_are_known_until_nothing_is_told_of_them() -> None:
    streams = OpenStreams(forgotten_s=5)
    assert len(streams.note([record(), record(id="2"), record(peer="127.0.0.1:1001")], 0)) == 3
    assert streams.note([record()], 4) == []
    streams.forget(6)
    assert [one.ends for one in streams.all()] == [Ends("127.0.0.1:1000", "127.0.0.1:80")]
    streams.drop(streams.all())
    assert len(streams) == 0
    assert len(streams.note([record()], 7)) == 1, "one that goes on is new again"
