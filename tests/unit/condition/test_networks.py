"""Networks, and that their patterns find exactly their addresses."""

import random
import re
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bartizan.condition.networks import covers_mapped, mapped, network, patterns, span


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10.0.0.0/8", IPv4Network("10.0.0.0/8")),
        ("10.1.2.3", IPv4Network("10.1.2.3/32")),
        ("::ffff:10.0.0.0/104", IPv4Network("10.0.0.0/8")),
        ("::ffff:1.2.3.4", IPv4Network("1.2.3.4/32")),
        ("2001:DB8::/32", IPv6Network("2001:db8::/32")),
        ("::/0", IPv6Network("::/0")),
    ],
)
def test_networks(text: str, found: object) -> None:
    assert network(text) == found


@pytest.mark.parametrize(
    "text",
    ["", "localhost", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/255.0.0.0", "fe80::1%eth0", "10.0.0", "2001:db8::1/32", "1/8", " 10.0.0.1"],
)
def test_what_is_not_a_network(text: str) -> None:
    with pytest.raises(ValueError, match="write"):
        network(text)


def test_mapped_addresses() -> None:
    assert mapped(IPv4Network("10.0.0.0/8")) == IPv6Network("::ffff:10.0.0.0/104")
    assert covers_mapped(IPv6Network("::/8"))
    assert not covers_mapped(IPv6Network("2001:db8::/32"))
    assert not covers_mapped(IPv4Network("0.0.0.0/0"))


def found(of: IPv4Network | IPv6Network, text: str) -> bool:
    return any(re.search(pattern, text) for pattern in patterns(of))


@given(st.integers(0, 2**32 - 1), st.integers(0, 32), st.integers(0, 31), st.integers(0, 2**32 - 1))
def test_patterns_of_ipv4(address: int, length: int, flipped: int, other: int) -> None:
    of = IPv4Network((address, length), strict=False)
    for each in (address, address ^ 1 << flipped, other):
        candidate = IPv4Address(each)
        for text in (str(candidate), f"{candidate}:80", f"::ffff:{candidate}", f"[::ffff:{candidate}]:80"):
            assert found(of, text) == (candidate in of), (of, text)


_GROUPS = st.sampled_from([0, 0, 0, 1, 0xAB, 0x2001, 0xDB8, 0xFFFF, 0x1230])


@given(st.lists(_GROUPS, min_size=8, max_size=8), st.integers(1, 128), st.integers(0, 127), st.randoms())
def test_patterns_of_ipv6(groups: list[int], length: int, flipped: int, chance: random.Random) -> None:
    address = int("".join(f"{each:04x}" for each in [groups[0] or 0x2001, *groups[1:]]), 16)
    of = IPv6Network((address, length), strict=False)
    if int(of.network_address) >> 112 == 0:
        return
    inside = int(of.network_address) | (chance.choice([0, 1, address, chance.getrandbits(128)]) & int(of.hostmask))
    for each in (address, address ^ 1 << flipped, inside):
        text = socket.inet_ntop(socket.AF_INET6, each.to_bytes(16, "big"))  # as Envoy writes it
        if each >> 112:
            assert found(of, text) == found(of, f"[{text}]:80") == (IPv6Address(each) in of), (of, text)


def test_patterns_of_every_ipv6_address() -> None:
    every, loopback = IPv6Network("::/0"), IPv6Network("::1/128")
    for text in ("::1", "[::1]:80", "2001:db8::1", "1:2:3:4:5:6:7:8", "::", "::1.2.3.4"):
        assert found(every, text)
        assert found(loopback, text) == ("::1" in text and text[-1] != "4" and "db8" not in text)
    for text in ("10.0.0.1", "10.0.0.1:80", "::ffff:10.0.0.1", "[::ffff:10.0.0.1]:80"):
        assert not found(every, text)
    with pytest.raises(ValueError, match="zeros"):
        patterns(IPv6Network("::8:0/112"))


@given(st.integers(0, 70000), st.integers(0, 70000), st.sampled_from([10, 16]))
def test_spans(one: int, other: int, base: int) -> None:
    low, high = sorted((one, other))
    pattern = re.compile("|".join(span(low, high, base)))
    for number in {low, high, max(0, low - 1), high + 1, (low + high) // 2, low * 10, high // 10}:
        digits = str(number) if base == 10 else f"{number:x}"
        assert bool(pattern.fullmatch(digits)) == (low <= number <= high)
