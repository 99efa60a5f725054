"""Where the admin API may be served, and how."""

from pathlib import Path

import pytest

from bartizan.admin.options import Door
from tests.certificates import authority


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    certificate, key = authority("api").server().save(tmp_path, "api")
    return Path(certificate), Path(key)


@pytest.mark.parametrize("address", ["127.0.0.1:9181", "[::1]:9181", "127.8.8.8:1"])
def test_on_loopback_it_needs_no_tls(address: str, pair: tuple[Path, Path]) -> None:
    assert Door(address).problem() is None
    assert Door(address, *pair).problem() is None


@pytest.mark.parametrize("address", ["0.0.0.0:9181", "[::]:9181", "192.0.2.1:9181"])
def test_beyond_loopback_it_does(address: str, pair: tuple[Path, Path]) -> None:
    assert "needs TLS" in (Door(address).problem() or "")
    assert Door(address, *pair).problem() is None


def test_a_certificate_without_its_key_and_a_name_are_no_door(pair: tuple[Path, Path]) -> None:
    assert "both" in (Door("127.0.0.1:1", pair[0]).problem() or "")
    assert "both" in (Door("127.0.0.1:1", None, pair[1]).problem() or "")
    assert "isn't an IP address" in (Door("localhost:1").problem() or "")


def test_a_pair_that_cant_be_used_is_told_before_anything_starts(pair: tuple[Path, Path], tmp_path: Path) -> None:
    other = Path(authority("other").server().save(tmp_path, "other")[1])
    assert "can't be used" in (Door("127.0.0.1:1", pair[0], other).problem() or "")
    missing = Door("127.0.0.1:1", tmp_path / "nowhere.pem", pair[1]).problem() or ""
    assert "nowhere.pem" in missing
    assert "No such file" in missing
