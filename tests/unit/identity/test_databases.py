"""Databases of places: what is wrong with them, and copies of what is good."""

from pathlib import Path

import pytest

from bartizan.compile.read import assemble, read
from bartizan.envoy.names import place_file
from bartizan.identity.databases import Copies, Databases, put_unknowing, tells, unknowing
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot
from tests.e2e import places


def snapshot(declared: str, allow: str = "true") -> Snapshot:
    text = f"""
kind: Gateway
name: edge
listeners: [{{name: web, address: "127.0.0.1:0"}}]
places: {declared}
---
kind: Authorize
name: it
allow: {allow!r}
"""
    found = assemble([read(text, "all.yaml")], {})
    assert isinstance(found, Snapshot), found
    return found


def problems(folder: Path, declared: str, allow: str = "true", state: Path | None = None) -> list[Problem]:
    return list(Databases(folder, state).problems(snapshot(declared, allow)))


@pytest.fixture
def geo(tmp_path: Path) -> Path:
    places.write_all(tmp_path / "geo")
    return tmp_path / "geo"


def test_good_databases_are_no_problem(geo: Path) -> None:
    assert not problems(geo, "{city: City.mmdb, network: ASN.mmdb, anonymous: Anonymous.mmdb}", "source.tor && source.asn == 1")
    assert not problems(geo, "{}")


def test_a_problem_has_its_place(geo: Path) -> None:
    (found,) = problems(geo, "{city: City.mmdb, network: None.mmdb}", "source.asn == 1")
    assert (found.code, found.at.line, found.at.path) == ("place-database-unusable", 5, "Gateway/edge: places.network")
    assert "can't be read" in found.message


def test_a_file_that_tells_nothing_of_what_it_is_named_for(geo: Path) -> None:
    (found,) = problems(geo, "{anonymous: City.mmdb}")
    assert "tells nothing of source.anonymous" in found.message and "Test-City" in found.message


def test_what_a_policy_asks_for_must_be_told_by_some_file(geo: Path) -> None:
    places.write(geo / "Tor.mmdb", {"192.0.2.0/24": {"is_tor_exit_node": True}})
    assert not problems(geo, "{anonymous: Tor.mmdb}", "source.tor")
    (found,) = problems(geo, "{anonymous: Tor.mmdb}", "!source.hosting")
    assert (found.code, found.at.line) == ("place-untold", 7)
    # Any of several may tell it.
    places.write(geo / "ISP.mmdb", {"192.0.2.0/24": {"isp": "x"}})
    assert problems(geo, "{operator: ISP.mmdb}", "source.asn == 1")
    assert not problems(geo, "{operator: ISP.mmdb, network: ASN.mmdb}", "source.asn == 1")


def test_a_copy_is_made_and_followed(geo: Path, tmp_path: Path) -> None:
    held = Databases(geo, tmp_path)
    gateway = snapshot("{city: City.mmdb}").gateway
    held.declare([gateway])
    copy = tmp_path / place_file("city", "City.mmdb")
    assert copy.read_bytes() == (geo / "City.mmdb").read_bytes()
    before = copy.stat().st_ino
    held.refresh()
    held.refresh()
    assert copy.stat().st_ino == before  # nothing changed
    places.write(geo / "City.mmdb", {**places.CITIES, "192.0.2.192/26": places.city("FR", "IDF", "Paris")})
    held.refresh()
    assert copy.stat().st_ino == before  # it may not be all of it yet
    held.refresh()
    assert copy.read_bytes() == (geo / "City.mmdb").read_bytes() and copy.stat().st_ino != before
    assert not held.warnings()
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


@pytest.mark.parametrize("content", [b"", b"x" * 5000, None])
def test_what_isnt_good_is_told_and_the_copy_stays(geo: Path, tmp_path: Path, content: bytes | None) -> None:
    held = Databases(geo, tmp_path)
    found = snapshot("{city: City.mmdb}", 'source.city == "x"')
    held.declare([found.gateway])
    copy, good = tmp_path / place_file("city", "City.mmdb"), (geo / "City.mmdb").read_bytes()
    (geo / "City.mmdb").unlink() if content is None else (geo / "City.mmdb").write_bytes(content)
    for _ in range(3):
        held.refresh()
    (warning,) = held.warnings()
    assert "City.mmdb" in warning and "the one before is used on" in warning
    assert copy.read_bytes() == good
    assert not list(held.problems(found)) and not list(Databases(geo, tmp_path).problems(found))
    assert list(Databases(geo).problems(found))  # where nothing is kept
    (geo / "City.mmdb").write_bytes(good)
    for _ in range(2):
        held.refresh()
    assert not held.warnings()


def test_a_file_that_tells_less_is_not_taken(geo: Path, tmp_path: Path) -> None:
    held = Databases(geo, tmp_path)
    held.declare([snapshot("{city: City.mmdb}").gateway])
    places.write(geo / "City.mmdb", {"192.0.2.0/24": places.city("NO")})
    for _ in range(2):
        held.refresh()
    (warning,) = held.warnings()
    assert "tells nothing of source.city, source.region, as the one before did" in warning


def test_another_file_has_another_copy(geo: Path, tmp_path: Path) -> None:
    places.write(geo / "Other.mmdb", {"192.0.2.0/24": places.city("NO", "03", "Oslo")})
    held = Databases(geo, tmp_path)
    for name in ("City.mmdb", "Other.mmdb"):
        held.declare([snapshot(f"{{city: {name}}}").gateway])
        assert (tmp_path / place_file("city", name)).read_bytes() == (geo / name).read_bytes()
    assert (tmp_path / place_file("city", "City.mmdb")).exists()  # a revision that is on its way out may still read it


def test_what_nobody_gave_stands_there_knowing_nothing(tmp_path: Path) -> None:
    for database in ("country", "anonymous"):
        path = tmp_path / "places" / f"{database}.mmdb"
        put_unknowing(path, database)
        assert path.read_bytes() == unknowing(database)
        path.write_bytes(b"damaged")
        put_unknowing(path, database)
        assert path.read_bytes() == unknowing(database)
    with pytest.raises(ValueError, match="tells nothing"):
        tells(tmp_path / "places" / "country.mmdb", "country")
    good = tmp_path / "places" / "good.mmdb"
    places.write(good, places.CITIES)
    put_unknowing(good, "city")
    assert good.read_bytes() != unknowing("city")


def test_the_first_good_file_replaces_what_knows_nothing(geo: Path, tmp_path: Path) -> None:
    copy = tmp_path / "places" / "a.mmdb"
    put_unknowing(copy, "anonymous")
    places.write(geo / "Tor.mmdb", {"192.0.2.0/24": {"is_tor_exit_node": True}})  # though it tells less
    copies = Copies()
    copies.want({copy: ("anonymous", geo / "Tor.mmdb")})
    assert not list(copies.errors([copy])) and copy.read_bytes() == (geo / "Tor.mmdb").read_bytes()


def test_without_any_good_file_it_is_told_that_nothing_is_known(geo: Path, tmp_path: Path) -> None:
    held = Databases(geo, tmp_path)
    held.declare([snapshot("{city: None.mmdb}").gateway])
    (warning,) = held.warnings()
    assert "nothing is known of what it tells" in warning


def test_what_nobody_names_any_more_is_not_told(geo: Path, tmp_path: Path) -> None:
    held = Databases(geo, tmp_path)
    none, city = (snapshot(f"{{city: {name}}}").gateway for name in ("None.mmdb", "City.mmdb"))
    held.declare([city, none])
    assert len(held.warnings()) == 1
    held.declare([city])
    assert not held.warnings()
    held.declare([city, none])
    assert len(held.warnings()) == 1
