"""Listeners at other addresses than the policies give them."""

import pytest

from bartizan.envoy import message
from bartizan.errors import Invalid
from bartizan.node.listening import addresses, moved
from bartizan.xds.release import LISTENER, Resource, resource


def made(name: str, port: int) -> Resource:
    address = {"socket_address": {"address": "10.0.0.1", "port_value": port}}
    return resource(LISTENER, name, message(LISTENER.rpartition("/")[2], name=name, address=address, stat_prefix="s").SerializeToString())


def where(one: Resource) -> tuple[str, int]:
    listener = message(LISTENER.rpartition("/")[2])
    listener.MergeFromString(one.body)
    assert listener.stat_prefix == "s"
    return listener.address.socket_address.address, listener.address.socket_address.port_value


def test_only_the_one_that_is_named_moves() -> None:
    adapt = moved(addresses(["web=127.0.0.1:18080", "six=[::1]:1"]))
    web, other = made("web", 80), made("other", 80)
    assert where(adapt(web)) == ("127.0.0.1", 18080)
    assert where(adapt(made("six", 80))) == ("::1", 1)
    assert adapt(other) is other
    assert where(web) == ("10.0.0.1", 80), "what is held stays as it came"


def test_another_address_is_another_version() -> None:
    web = made("web", 80)
    here, there = (moved(addresses([f"web=127.0.0.1:{port}"])) for port in (1, 2))
    assert len({web.version, here(web).version, there(web).version}) == 3
    assert here(web) == here(web)


@pytest.mark.parametrize(
    "text", ["", "web", "web=", "web=127.0.0.1", "web=host:80", "web=127.0.0.1:0", "web=127.0.0.1:65536", "=127.0.0.1:80", "web=:80"]
)
def test_what_is_no_address_is_told(text: str) -> None:
    with pytest.raises(Invalid, match="isn't a listener's address"):
        addresses([text])


def test_two_addresses_for_one_are_refused() -> None:
    with pytest.raises(Invalid, match="two addresses"):
        addresses(["web=127.0.0.1:1", "web=127.0.0.1:2"])
