"""Databases in MaxMind's format: what is one, what isn't, and those that tell nothing."""

from pathlib import Path

import pytest

from bartizan.lib import mmdb
from tests.e2e import places


@pytest.fixture
def city(tmp_path: Path) -> Path:
    places.write(tmp_path / "City.mmdb", places.CITIES)
    return tmp_path / "City.mmdb"


def test_a_database_says_what_it_is_and_which_keys_it_holds(city: Path) -> None:
    found = mmdb.described(city, ("iso_code", "subdivisions", "isp", "autonomous_system_organization"))
    assert (found.kind, found.keys) == ("Test-City", {"iso_code", "subdivisions"})
    assert found.built > 1_700_000_000


def test_keys_of_any_length_are_found(tmp_path: Path) -> None:
    places.write(tmp_path / "ASN.mmdb", places.NETWORKS)
    wanted = {"autonomous_system_number", "autonomous_system_organization"}
    assert mmdb.described(tmp_path / "ASN.mmdb", {*wanted, "autonomous"}).keys == wanted


@pytest.mark.parametrize("cut", [1, 3, 20, 40, 100, 1000])
def test_what_is_cut_off_is_none(city: Path, cut: int) -> None:
    city.write_bytes(city.read_bytes()[:-cut])
    with pytest.raises(ValueError, match=r"^it is"):
        mmdb.described(city)


def test_what_lacks_its_beginning_is_none(city: Path) -> None:
    city.write_bytes(city.read_bytes()[5:])
    with pytest.raises(ValueError, match="its parts don't fit together"):
        mmdb.described(city)


@pytest.mark.parametrize("content", [b"", b"x", b"\xab\xcd\xefMaxMind.com", b"\xab\xcd\xefMaxMind.com\xe1", b"\xab\xcd\xefMaxMind.com\xe0"])
def test_what_isnt_one_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mmdb").write_bytes(content)
    with pytest.raises(ValueError, match=r"^it is"):
        mmdb.described(tmp_path / "a.mmdb")


def test_a_description_that_goes_round_or_on_for_ever_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mmdb").write_bytes(b"\xab\xcd\xefMaxMind.com" + b"\xe1\x41a" * 40_000)
    with pytest.raises(ValueError, match="can't be read"):
        mmdb.described(tmp_path / "a.mmdb")


def test_another_version_is_refused(tmp_path: Path) -> None:
    name = b"binary_format_major_version"
    content = mmdb.telling({}).replace(name + b"\xa1\x02", name + b"\xa1\x03")
    (tmp_path / "a.mmdb").write_bytes(content)
    with pytest.raises(ValueError, match="version 3"):
        mmdb.described(tmp_path / "a.mmdb")


def test_no_file_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        mmdb.described(tmp_path / "a.mmdb")


@pytest.mark.parametrize("everywhere", [{}, {"is_anonymous": "unknown", "autonomous_system_organization": "x"}])
def test_what_is_made_here_is_one(tmp_path: Path, everywhere: dict[str, str]) -> None:
    (tmp_path / "a.mmdb").write_bytes(mmdb.telling(everywhere))
    assert mmdb.described(tmp_path / "a.mmdb", ("is_anonymous", "autonomous_system_organization", "isp")).keys == set(everywhere)
