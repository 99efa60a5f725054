"""A server within a process that does other things too."""

import pytest

from bartizan.admin.serving import bound, server
from bartizan.errors import Unavailable


@pytest.mark.parametrize(("address", "family"), [("127.0.0.1:0", "AF_INET"), ("localhost:0", "AF_INET"), ("[::1]:0", "AF_INET6")])
def test_a_socket_is_there_before_anything_is_served(address: str, family: str) -> None:
    with bound(address, "the admin API") as found:
        assert found.family.name == family and found.getsockname()[1] > 0


@pytest.mark.parametrize(
    "address", ["127.0.0.1:65536", "127.0.0.1:99999", "127.0.0.1:-1", "127.0.0.1:x", "127.0.0.1:", "192.0.2.1:8080", ""]
)
def test_an_address_that_cant_be_had_is_told(address: str) -> None:
    with pytest.raises(Unavailable) as found:
        bound(address, "the admin API")
    assert found.value.message.startswith(f"The address {address} for the admin API can't be used: ")


def test_one_that_is_in_use_is_told() -> None:
    with bound("127.0.0.1:0", "the admin API") as first:
        first.listen()
        with pytest.raises(Unavailable):
            bound(f"127.0.0.1:{first.getsockname()[1]}", "the admin API")


def test_a_server_tells_nothing_of_itself_and_writes_no_addresses_down() -> None:
    config = server(lambda: None, limit_concurrency=7).config
    assert (config.server_header, config.access_log, config.lifespan, config.limit_concurrency) == (False, False, "off", 7)
