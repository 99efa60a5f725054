"""Where the admin API may be served, and how."""

from pathlib import Path

import pytest

from bartizan.admin.options import Door

PAIR = (Path("a.pem"), Path("a.key"))


@pytest.mark.parametrize("address", ["127.0.0.1:9181", "[::1]:9181", "127.8.8.8:1"])
def test_on_loopback_it_needs_no_tls(address: str) -> None:
    assert Door(address).problem() is None
    assert Door(address, *PAIR).problem() is None


@pytest.mark.parametrize("address", ["0.0.0.0:9181", "[::]:9181", "192.0.2.1:9181"])
def test_beyond_loopback_it_does(address: str) -> None:
    assert "needs TLS" in (Door(address).problem() or "")
    assert Door(address, *PAIR).problem() is None


def test_a_certificate_without_its_key_and_a_name_are_no_door() -> None:
    assert "both" in (Door("127.0.0.1:1", PAIR[0]).problem() or "")
    assert "both" in (Door("127.0.0.1:1", None, PAIR[1]).problem() or "")
    assert "isn't an IP address" in (Door("localhost:1").problem() or "")
