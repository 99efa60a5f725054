"""Every spelling of an address near the gateway is known."""

import pytest

from bartizan.lib.near import is_near, leads_near

LOOPBACK = ("127.0.0.1", "127.1", "127.0.1", "0x7f.1", "0x7f000001", "0X7F000001", "2130706433", "017700000001", "0177.0.0.1", "127.0.0.1.")
NAMED = ("localhost", "LOCALHOST", "localhost.", "a.b.localhost", "metadata", "ip6-localhost", "")
OTHER = ("0.0.0.0", "0", "::", "::1", "0:0:0:0:0:0:0:1", "169.254.169.254", "fe80::1", "fe80::1%eth0", "224.0.0.1", "ff02::1")
EMBEDDED = ("::ffff:127.0.0.1", "::ffff:7f00:1", "::127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::", "2001:0:7f00:1::")
METADATA = ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")


@pytest.mark.parametrize("host", [*LOOPBACK, *NAMED, *OTHER, *EMBEDDED, *METADATA])
def test_an_address_near_the_gateway_is_known_in_every_spelling(host: str) -> None:
    assert is_near(host)


@pytest.mark.parametrize(
    "host", ["203.0.113.7", "10.0.0.7", "2001:db8::7", "orders.internal", "local.host", "::ffff:203.0.113.7", "a1.example"]
)
def test_an_address_that_is_far_away_is_far(host: str) -> None:
    assert not is_near(host)


@pytest.mark.parametrize(("host", "near"), [("localhost", True), ("127.0.0.1", True), ("203.0.113.7", False), ("2001:db8::7", False)])
async def test_where_a_name_leads_is_told(host: str, near: bool) -> None:
    assert await leads_near(host) is near


async def test_a_name_that_leads_nowhere_is_told() -> None:
    with pytest.raises(ValueError, match=r"nobody can tell where it leads"):
        await leads_near("nowhere.invalid")
